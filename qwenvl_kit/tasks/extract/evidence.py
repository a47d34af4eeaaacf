"""Evidence: the place on a page from which each value was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from qwenvl_kit.display.blocks import Cell, bar, facts, folded, notes, table
from qwenvl_kit.display.pictures import SHOWN_PX, Shown, figure, sheet, strip
from qwenvl_kit.display.replies import reply_blocks
from qwenvl_kit.display.styles import framed
from qwenvl_kit.display.text import count, percent, short_repr, shortened
from qwenvl_kit.errors import MessageError, QwenVLKitError
from qwenvl_kit.grounding.boxes import Box, sides_of
from qwenvl_kit.grounding.drawing import draw_places, drawing_of
from qwenvl_kit.media.images import decode_image
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.results import Reply
from qwenvl_kit.tasks.extract.extraction import Extraction
from qwenvl_kit.tasks.shown_pages import ShownPage

if TYPE_CHECKING:
    import PIL.Image

_Value = TypeVar("_Value")

_MOST_PAGES_SHOWN = 4
"""The most pages that a notebook shows at once; `draw(page)` draws any."""


@dataclass(frozen=True)
class Evidence:
    """The place from which a value was read.

    Attributes:
        value: the value, as JSON has it.
        confidence: the confidence in the value, in [0, 1]: calibrated if the chat has a
            `Calibrator`, otherwise the probability of its tokens; None without scores.
        page: the number of its page, from 1; None if the model names none.
        box: its place, in pixels of the upright original page; None if the model gives none. The
            confidence of the box is that of its coordinates.
        read_back: the text that a second look read within the box; None without a second look.
        is_confirmed: True if that text holds the value, False if it does not; None without a second
            look, and for what need not be printed as it is: yes or no, and one of several words.
    """

    value: Any
    confidence: float | None
    page: int | None
    box: Box | None
    read_back: str | None = None
    is_confirmed: bool | None = None

    @property
    def found(self) -> bool:
        """True if the value has a place, and no second look has read something else there."""
        return self.value is not None and self.box is not None and self.is_confirmed is not False

    def __repr__(self) -> str:
        facts = {
            "confidence": percent(self.confidence),
            "page": self.page,
            "box": f"{sides_of(self.box)} px" if self.box else None,
            "found": self.found,
        }
        known = [f"{name}={value}" for name, value in facts.items() if value not in (None, "")]
        return f"Evidence({shortened(repr(self.value))}, {', '.join(known)})"


@dataclass(frozen=True, repr=False)
class EvidencedExtraction(Extraction[_Value]):
    """A typed value, with the place on a page from which each value inside it was read.

    `confidences` holds raw probabilities as in every `Extraction`; `evidence[...].confidence` is
    calibrated if the chat has a calibrator. `reply` is the answer with the values.

    Attributes:
        evidence: the evidence of each value inside, by its path, such as `items[0].name`.
        shown: the pages that were shown.
        policy: the rules for opening them again.
        replies: the replies that located values and read them back, in the order asked.
        warnings: messages about evidence that could not be read, and about values without any.
    """

    evidence: Mapping[str, Evidence]
    shown: Sequence[ShownPage] = field(repr=False, compare=False)
    policy: MediaPolicy = field(repr=False, compare=False)
    replies: tuple[Reply, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """The paths of values that stand nowhere on the pages, as far as the model can tell.

        Values that are None are not among them.
        """
        return tuple(
            name
            for name, found in self.evidence.items()
            if found.value is not None and not found.found
        )

    @property
    def pages(self) -> tuple[int, ...]:
        """The numbers of the pages that were shown."""
        return tuple(page.number for page in self.shown)

    def draw(self, page: int | None = None, *, font: str | None = None) -> PIL.Image.Image:
        """Return a picture of the values' places, with their names and confidences.

        A value that a second look did not confirm has a question mark.

        Args:
            page: the number of the page to draw, in its original size; None draws a single page, or
                a sheet of all pages that hold values.
            font: the path of a font file for all labels; None chooses one for each label.

        Raises:
            MessageError: no such page was shown.
            MediaError: a page cannot be opened any more.
        """
        if page is None and len(self.shown) > 1:
            pages = [one for one in self.shown if self._boxes(one.number)] or self.shown[:1]
            return sheet([Shown(self._drawn(one, font), f"page {one.number}") for one in pages])
        found = [one for one in self.shown if page is None or one.number == page]
        if not found:
            raise MessageError(
                f"page={page!r} was given", expected=f"one of {', '.join(map(str, self.pages))}"
            )
        return self._drawn(found[0], font)

    def to_dict(self) -> dict[str, Any]:
        """Return the evidence of each value as plain values, which JSON can hold."""
        return {
            name: {
                "value": found.value,
                "confidence": found.confidence,
                "page": found.page,
                "box": [*_sides(found.box)] if found.box else None,
                "found": found.found,
                "read_back": found.read_back,
            }
            for name, found in self.evidence.items()
        }

    def __repr__(self) -> str:
        missing = self.missing
        return short_repr(
            "EvidencedExtraction",
            self.value,
            confidence=self.confidence,
            missing=", ".join(missing[:3]) + ", ..." * (len(missing) > 3) or None,
            tokens=self.reply.usage.completion_tokens,
            seconds=float(self.reply.timing.total),
        )

    def _repr_html_(self) -> str:
        """Return the pages with the places on them, and a table of the values."""
        paged = ["page"] if len(self.shown) > 1 else []
        headings = ("field", "value", "confidence", *paged, "box in px", "place")
        rows: list[list[Cell]] = [
            [
                *(name, _words(found.value), bar(found.confidence)),
                *([_page(found)] if paged else []),
                *(sides_of(found.box), _told(found)),
            ]
            for name, found in self.evidence.items()
        ]
        with_boxes = [page for page in self.shown if self._boxes(page.number)] or self.shown[:1]
        more = len(with_boxes) - _MOST_PAGES_SHOWN
        lowest = percent(self.confidence)
        return framed(
            self._pictures(with_boxes[:_MOST_PAGES_SHOWN]),
            table(headings, rows),
            facts(
                f"lowest confidence {lowest}" if lowest else "",
                f"{count(more, 'more page')} with values" if more > 0 else "",
            ),
            notes(self.warnings),
            folded("the answer", reply_blocks(self.reply)),
        )

    def _boxes(self, page: int) -> list[Box]:
        """The boxes of a page, each with the name and the confidence of its value."""
        return [
            replace(
                found.box,
                label=name if found.found else f"{name} ?",
                confidence=found.confidence,
            )
            for name, found in self.evidence.items()
            if found.box is not None and found.page == page
        ]

    def _whole(self, page: ShownPage) -> PIL.Image.Image:
        return decode_image(page.part.source, self.policy)

    def _drawn(self, page: ShownPage, font: str | None) -> PIL.Image.Image:
        return draw_places(self._whole(page), self._boxes(page.number), font)

    def _pictures(self, pages: Iterable[ShownPage]) -> str:
        shown = [self._shown(page) for page in pages]
        if len(shown) > 1:
            return strip(shown, SHOWN_PX // 2)
        return "".join(
            f'<div class="qvk-whole">{figure(one, SHOWN_PX).text}</div>' for one in shown
        )

    def _shown(self, page: ShownPage) -> Shown:
        caption = f"page {page.number}" if len(self.shown) > 1 else ""
        try:
            return Shown(drawing_of(self._whole(page), self._boxes(page.number)).image, caption)
        except (QwenVLKitError, OSError) as error:
            return Shown(None, f"{caption} cannot be shown: {error}".strip())


def _sides(box: Box) -> tuple[float, float, float, float]:
    return box.x1_px, box.y1_px, box.x2_px, box.y2_px


def _words(value: Any) -> str:
    return "" if value is None else str(value)


def _page(found: Evidence) -> Cell:
    return "" if found.page is None else str(found.page)


def _told(found: Evidence) -> Cell:
    if found.value is None:
        return ""
    if found.box is None:
        return "stands nowhere"
    if found.is_confirmed is None:
        return "found"
    return "found and read again" if found.is_confirmed else f"reads {found.read_back!r}"
