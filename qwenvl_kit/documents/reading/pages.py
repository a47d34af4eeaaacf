"""The pages of answers, in each form, with their places mapped to the pixels of a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

from qwenvl_kit.documents.blocks import Block
from qwenvl_kit.documents.reading.html_pages import read_html_page
from qwenvl_kit.documents.reading.json_pages import read_json_page
from qwenvl_kit.documents.reading.markdown_pages import read_markdown_page
from qwenvl_kit.documents.reading.written import WrittenBlock, WrittenPage
from qwenvl_kit.families import Family
from qwenvl_kit.grounding.boxes import Box
from qwenvl_kit.grounding.coordinates import PlaceMapper
from qwenvl_kit.grounding.written_places import WrittenPlace
from qwenvl_kit.plans import ImagePlan
from qwenvl_kit.results import Reply

PageForm: TypeAlias = Literal["markdown", "html", "blocks"]
"""The form in which a model writes a page."""

READERS: Mapping[str, Callable[[str], WrittenPage]] = MappingProxyType(
    {"markdown": read_markdown_page, "html": read_html_page, "blocks": read_json_page}
)

MOST_CHARACTERS = 400_000
"""The characters of an answer that are read; a page of print has some thousands."""


def read_page_blocks(
    reply: Reply, family: Family, form: PageForm, *, page: int = 1, image_index: int = 0
) -> tuple[tuple[Block, ...], tuple[str, ...]]:
    """Read the blocks of a page from a reply, whoever wrote the prompt; never raises.

    Args:
        reply: the reply about the picture of the page.
        family: the family that wrote it; `chat.family`.
        form: the form of the answer.
        page: the number of the page.
        image_index: the index of the picture among those of the request, from 0 on.

    Returns:
        The blocks, with boxes in pixels of the upright original picture, and warnings.
    """
    written = READERS[form](reply.text[:MOST_CHARACTERS])
    told = list(written.warnings)
    if len(reply.text) > MOST_CHARACTERS:
        told.append(f"the answer was read up to {MOST_CHARACTERS:,} characters")
    placing = _Placing(reply.plan.images[image_index], family, reply)
    blocks = tuple(placing.placed(written.blocks, page))
    return blocks, tuple(dict.fromkeys([*told, *placing.warnings]))


class _Placing:
    """Maps the places of one reply."""

    def __init__(self, plan: ImagePlan, family: Family, reply: Reply) -> None:
        self._mapper = PlaceMapper(plan, family, reply, "")
        self._reply = reply

    @property
    def warnings(self) -> list[str]:
        """Messages about places that had to be corrected."""
        return self._mapper.warnings

    def placed(self, written: Iterable[WrittenBlock], page: int) -> Iterator[Block]:
        """Yield the blocks with their boxes and confidences."""
        for each in written:
            yield Block(
                each.kind,
                each.text,
                self._box(each),
                self._reply.confidence_between(each.start, each.stop),
                each.level,
                each.table,
                page,
            )

    def _box(self, block: WrittenBlock) -> Box | None:
        if block.numbers is None:
            return None
        place = WrittenPlace(block.kind, block.numbers, *block.numbers_at, block.attributes)
        return next(iter(self._mapper.boxes([place])), None)
