"""Later looks at the pages: where values stand, and what stands in their boxes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.geometry import Region
from qwenvl_kit.grounding.boxes import Box
from qwenvl_kit.grounding.coordinates import PlaceMapper
from qwenvl_kit.grounding.place_parser import parse_places
from qwenvl_kit.messages.message import ImagePart, Message
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Request
from qwenvl_kit.results import Failure, Reply
from qwenvl_kit.tasks.extract.evidence_form import WrittenValue
from qwenvl_kit.tasks.extract.printed import is_printed
from qwenvl_kit.tasks.locate import BOX_PROMPTS
from qwenvl_kit.tasks.prompts import Language
from qwenvl_kit.tasks.read_text import PROMPTS as READING_PROMPTS
from qwenvl_kit.tasks.shown_pages import ShownPage

TEXT_NAMES = MappingProxyType({"en": 'the text "{text}"', "zh": "文字“{text}”"})
"""The words by which a value that should be printed on a page is looked for."""

_MOST_CHARACTERS = 100
"""The most characters of a value that are looked for."""

_MARGIN = 0.25
_LEAST_MARGIN_PX = 2
"""The margin around a box that is read back, as a share of its height, and in pixels: the numbers
of a box are rounded, and letters reach beyond it."""

_LOCATING = Sampling(max_new_tokens=512)
_READ_TOKENS = 256
"""Room for the words beside a value; a value has no more tokens than characters."""


@dataclass
class Looks:
    """The later looks of one extraction: what they share, and what came of them.

    Attributes:
        chat: the model to ask.
        pages: the pages that were shown.
        regions: the part of each page that was shown, by its number, in pixels of the original.
        language: the language of the prompts.
        budget: the budget of each picture.
        replies: the replies so far.
        warnings: messages about looks that failed or were not clear.
    """

    chat: VisionChat
    pages: Sequence[ShownPage]
    regions: Mapping[int, Region]
    language: Language
    budget: BudgetChoice | None
    replies: list[Reply] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def part_of(self, page: int | None) -> ImagePart | None:
        """The picture of a page; None if no such page was shown."""
        parts = (shown.part for shown in self.pages if shown.number == page)
        found = next(parts, None)
        return found if isinstance(found, ImagePart) else None

    def ask(
        self, asked: Sequence[tuple[ImagePart, str]], sampling: Sampling, names: Sequence[str]
    ) -> list[Reply | None]:
        """Put each question to its picture, all in one batch; None where that failed."""
        requests = [Request(Message.user(part, question)) for part, question in asked]
        results = self.chat.ask_many(requests, sampling=sampling, budget=self.budget)
        for result, name in zip(results, names):
            if isinstance(result, Failure):
                self.warnings.append(f"{name}: a later look failed: {result.error}")
        self.replies += [result for result in results if isinstance(result, Reply)]
        return [result if isinstance(result, Reply) else None for result in results]


def locate_values(
    looks: Looks, written: Sequence[WrittenValue], pages: Sequence[int | None]
) -> list[Box | None]:
    """Locate each value on its page, each text once.

    A text that stands in several places is given to the values with that text in reading order:
    from above, then from the left.
    """
    places: dict[tuple[int, str], list[int]] = defaultdict(list)
    for at, (one, page) in enumerate(zip(written, pages)):
        text = "" if one.value is None else _wanted(one, looks.language)
        if text and page is not None and looks.part_of(page) is not None:
            places[page, text].append(at)
    wordings = BOX_PROMPTS[looks.chat.family.box_format, looks.language]
    asked = [
        (part, wordings.replace("{what}", text))
        for page, text in places
        if (part := looks.part_of(page)) is not None
    ]
    names = [written[indices[0]].name for indices in places.values()]
    found: list[Box | None] = [None] * len(written)
    for reply, indices in zip(looks.ask(asked, _LOCATING, names), places.values()):
        if reply is not None:
            _share(looks, reply, written, indices, found)
    return found


def _wanted(one: WrittenValue, language: Language) -> str:
    """The words by which a value is looked for; empty for none."""
    if not one.is_literal:
        return one.description or one.name
    text = one.value if isinstance(one.value, str) else _as_written(one.text)
    line = " ".join(text.split())[:_MOST_CHARACTERS]
    return TEXT_NAMES[language].replace("{text}", line) if line else ""


def _as_written(text: str) -> str:
    """A number of JSON without the mark that ended it."""
    return text.strip().rstrip(",]}").rstrip()


def _share(
    looks: Looks,
    reply: Reply,
    written: Sequence[WrittenValue],
    indices: Sequence[int],
    found: list[Box | None],
) -> None:
    """Give the boxes of an answer to the values that were looked for."""
    name = written[indices[0]].name
    places = parse_places(reply.text)
    mapper = PlaceMapper(reply.plan.images[0], looks.chat.family, reply, name)
    boxes = mapper.boxes(places.places or places.polygons)
    looks.warnings += [f"{name}: {warning}" for warning in (*places.warnings, *mapper.warnings)]
    boxes.sort(key=lambda box: (box.y1_px, box.x1_px))
    if len(boxes) > len(indices):
        looks.warnings.append(f"{name}: {len(boxes)} places have its text; the first is given")
    for number, at in enumerate(indices):
        if boxes:
            found[at] = replace(boxes[min(number, len(boxes) - 1)], label=written[at].name)


def read_back(
    looks: Looks,
    written: Sequence[WrittenValue],
    pages: Sequence[int | None],
    boxes: Sequence[Box | None],
) -> Mapping[str, tuple[str, bool | None]]:
    """Read what stands in each box, and tell if it holds the value; see `is_printed`.

    Returns:
        The text and the verdict by the name of the value; the verdict is None for values that need
        not be printed as they are.
    """
    asked, seen = list[tuple[ImagePart, str]](), list[WrittenValue]()
    question = READING_PROMPTS["plain"][looks.language]
    for one, page, box in zip(written, pages, boxes):
        part = looks.part_of(page)
        if box is not None and part is not None and page is not None:
            crop = _around(box, looks.regions[page])
            asked.append((replace(part, crop=crop, height_px=None, width_px=None), question))
            seen.append(one)
    longest = max((len(one.text) for one in seen), default=0)
    sampling = Sampling(max_new_tokens=_READ_TOKENS + longest)
    replies = looks.ask(asked, sampling, [one.name for one in seen])
    return {
        one.name: (reply.text.strip(), _verdict(looks, one, reply))
        for one, reply in zip(seen, replies)
        if reply is not None
    }


def _verdict(looks: Looks, one: WrittenValue, reply: Reply) -> bool | None:
    """True if a reading holds a value, False if not; None if that cannot be told."""
    if not one.is_literal:
        return None
    holds = is_printed(one.value, reply.text)
    if not holds and reply.finish_reason != "stop":
        looks.warnings.append(f"{one.name}: the second look was cut short ({reply.finish_reason})")
        return None
    return holds


def _around(box: Box, limits: Region) -> Region:
    """The pixels of a box and its margin, within the part of the page that was shown."""
    margin = max(_LEAST_MARGIN_PX, _MARGIN * (box.y2_px - box.y1_px))
    inner = box.region
    return Region(
        max(limits.x1_px, math.floor(inner.x1_px - margin)),
        max(limits.y1_px, math.floor(inner.y1_px - margin)),
        min(limits.x2_px, math.ceil(inner.x2_px + margin)),
        min(limits.y2_px, math.ceil(inner.y2_px + margin)),
    )
