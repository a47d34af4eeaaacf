"""The answer to a question about a long document, with its page and place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qwenvl_kit.display.blocks import Html, bar, facts, folded, notes, table
from qwenvl_kit.display.pictures import SHOWN_PX, Shown, figure
from qwenvl_kit.display.replies import reply_blocks
from qwenvl_kit.display.styles import framed
from qwenvl_kit.display.text import count
from qwenvl_kit.documents.blocks import Block
from qwenvl_kit.errors import MessageError, QwenVLKitError
from qwenvl_kit.grounding.boxes import Box, sides_of
from qwenvl_kit.grounding.drawing import draw_places
from qwenvl_kit.media.images import decode_image
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.results import Reply
from qwenvl_kit.tasks.answer_from_document.index import RankedPage
from qwenvl_kit.tasks.document_qa import DocumentAnswer
from qwenvl_kit.tasks.shown_pages import ShownPage

if TYPE_CHECKING:
    import PIL.Image


@dataclass(frozen=True, repr=False)
class CitedAnswer(DocumentAnswer):
    """An answer with the page and the place on which it stands. `str(answer)` is its text.

    Attributes:
        looked_at: the pages that were shown to the model, the best first, each with its score.
        num_pages: the number of pages of the document.
        box: the place of the answer on its page, in pixels of the upright original page; None if it
            was not found.
        block: the block of the parsed document that holds it; None if the place was located in the
            picture, or not found.
        locating: the reply that located the place; None if there was no need.
        shown: the pages that were shown.
        policy: the rules for opening them again.
        warnings: messages about the search and the place.
    """

    looked_at: tuple[RankedPage, ...] = ()
    num_pages: int = 1
    box: Box | None = None
    block: Block | None = None
    locating: Reply | None = None
    shown: Sequence[ShownPage] = field(default=(), compare=False)
    policy: MediaPolicy = field(default_factory=MediaPolicy, compare=False)
    warnings: tuple[str, ...] = ()

    def draw(self, *, font: str | None = None) -> PIL.Image.Image:
        """Return a picture of the answer's page with its place.

        Args:
            font: the path of a font file for the label; None chooses one.

        Raises:
            MessageError: the answer has no page.
            MediaError: the page cannot be opened any more.
        """
        page = next((one for one in self.shown if one.number == self.page), None)
        if page is None:
            raise MessageError(
                "the answer names no page", expected="an answer with a page", hint="answer.pages"
            )
        return draw_places(
            decode_image(page.part.source, self.policy), [self.box] if self.box else [], font
        )

    def _known(self) -> dict[str, object]:
        place = f"{sides_of(self.box)} px" if self.box else None
        return {"box": place, **super()._known()}

    def _repr_html_(self) -> str:
        """Return the page with the place, the answer, and the pages that were looked at."""
        rows = [
            (str(page.number), "" if page.score is None else f"{page.score:.2f}",
             " ".join(page.words))
            for page in self.looked_at
        ]  # fmt: skip
        answered = [("" if self.page is None else str(self.page), self.text, bar(self.confidence))]
        told = f"{len(self.looked_at)} of {count(self.num_pages, 'page')} looked at"
        return framed(
            self._picture().text,
            table(("page", "answer", "confidence"), answered, numbers=(0,)),
            facts(told, f"box {sides_of(self.box)} px" if self.box else ""),
            notes(self.warnings),
            folded(
                "the pages that were looked at",
                table(("page", "score", "words of the question"), rows, numbers=(0, 1)),
            ),
            folded("the reply", reply_blocks(self.reply)),
        )

    def _picture(self) -> Html:
        if self.page is None:
            return Html("")
        try:
            shown = Shown(self.draw(), f"page {self.page}")
        except (QwenVLKitError, OSError) as error:
            shown = Shown(None, f"page {self.page} cannot be shown: {error}")
        return Html(f'<div class="qvk-whole">{figure(shown, SHOWN_PX).text}</div>')
