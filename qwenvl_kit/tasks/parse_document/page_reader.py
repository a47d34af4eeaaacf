"""The pages of a window: looked at, asked about, asked again in halves, and read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qwenvl_kit.documents.blocks import Block
from qwenvl_kit.documents.pages import Page
from qwenvl_kit.documents.reading.pages import read_page_blocks
from qwenvl_kit.errors import MediaError, QwenVLKitError, release_frames
from qwenvl_kit.geometry import Region, Size
from qwenvl_kit.media.images import decode_image
from qwenvl_kit.messages.message import ImagePart
from qwenvl_kit.requests import Request
from qwenvl_kit.results import Reply
from qwenvl_kit.tasks.parse_document.asking import Asker, without_scores
from qwenvl_kit.tasks.parse_document.halves import half_regions, merged_halves
from qwenvl_kit.tasks.parse_document.prompts import PageQuestion, degrees_of, turn_request
from qwenvl_kit.tasks.parse_document.sources import SourcePage
from qwenvl_kit.tasks.parse_document.turning import UPSIDE_DOWN, goes_upwards, turned, turned_back

if TYPE_CHECKING:
    import PIL.Image

_BLANK_LEVELS = 16
"""The most by which red, green or blue of the pixels of an empty page differ, of 255."""

_TURN_CONFIDENCE = 0.6
"""The confidence from which on a page is turned."""

_CUT = {
    "length": "was cut at max_new_tokens",
    "repetition": "repeated itself",
    "deadline": "took too long and was cut",
    "cancelled": "was cancelled",
}
_HALVED = frozenset({"length", "repetition"})


@dataclass
class _State:
    """A page as far as it is known.

    Attributes:
        source: the page.
        size: the size of its picture; None until it is known.
        degrees: the degrees by which it is turned clockwise.
        is_blank: True if nothing stands on it.
        warnings: messages for its reader.
        replies: the answers so far.
    """

    source: SourcePage
    size: Size | None = None
    degrees: int = 0
    is_blank: bool = False
    warnings: tuple[str, ...] = ()
    replies: tuple[Reply, ...] = ()

    @property
    def is_cropped(self) -> bool:
        """True if only a part of its picture is to be read, which is never turned."""
        return self.source.part.crop is not None

    @property
    def key(self) -> str:
        """The key of its answer in the journal."""
        return f"page {self.source.number}"


@dataclass(frozen=True)
class PageReader:
    """Reads the pages of a window.

    Attributes:
        asker: asks the questions.
        question: the question about each page.
        language: the language of the question about its orientation.
        turns_pages: True if pages are asked about and turned.
    """

    asker: Asker
    question: PageQuestion
    language: str
    turns_pages: bool

    def pages(self, window: Sequence[SourcePage]) -> Iterator[Page]:
        """Yield the pages of a window in their order."""
        states = [_State(source) for source in window]
        for state in states:
            self._look(state)
        open_states = [state for state in states if not state.is_blank]
        if self.turns_pages:
            self._find_turns([state for state in open_states if not state.is_cropped])
        answers = self.asker.answers(
            {state.key: lambda state=state: self._request(state) for state in open_states}  # type: ignore[misc]
        )
        cut = [state for state in open_states if self._is_cut(answers[state.key])]
        halves = self._halves(cut, answers)
        for state in states:
            yield self._page(state, answers.get(state.key), halves.get(state.key))

    @staticmethod
    def _is_cut(answer: Reply | QwenVLKitError) -> bool:
        return isinstance(answer, Reply) and answer.finish_reason in _HALVED

    def _look(self, state: _State) -> None:
        """Find out if a page is blank, unless the journal has its answer."""
        noted = self.asker.journal.get(f"{state.key} blank")
        if noted is not None:
            state.is_blank = True
            state.size = Size(height_px=noted["height_px"], width_px=noted["width_px"])
            return
        if state.key in self.asker.journal:
            return
        try:
            picture = self._picture(state)
        except MediaError as error:  # raised again by the request that shows it
            release_frames(error)
            return
        state.size = Size(height_px=picture.height, width_px=picture.width)
        if not state.is_cropped and _is_blank(picture):
            state.is_blank = True
            size = {"height_px": picture.height, "width_px": picture.width}
            self.asker.note(f"{state.key} blank", size)

    def _picture(self, state: _State) -> PIL.Image.Image:
        return decode_image(state.source.fresh_part.source, self.asker.chat.policy)

    def _find_turns(self, states: Sequence[_State]) -> None:
        """Ask which way up each page is."""
        keys = {f"{state.key} orientation": state for state in states}
        answers = self.asker.answers(
            {
                key: lambda state=state, key=key: turn_request(  # type: ignore[misc]
                    replace(state.source.fresh_part, budget="quick"), self.language, key
                )
                for key, state in keys.items()
            }
        )
        for key, state in keys.items():
            answer = answers[key]
            if isinstance(answer, Reply):
                self._turn(state, answer)
            else:
                state.warnings += (f"its orientation is not known: {answer}",)

    def _turn(self, state: _State, reply: Reply) -> None:
        degrees = degrees_of(reply.text, self.language)
        if degrees and reply.confidence is not None and reply.confidence < _TURN_CONFIDENCE:
            state.warnings += (f"it may be turned, but that is not sure ({reply.confidence:.0%})",)
        elif degrees:
            state.degrees = degrees
            state.warnings += (f"it was turned clockwise by {degrees} degrees to be read",)

    def _part(self, state: _State) -> ImagePart:
        """The picture of a page as it is shown: turned, if it has to be."""
        part = state.source.fresh_part
        if not state.degrees:
            return part
        return ImagePart(turned(self._picture(state), state.degrees), budget=part.budget)

    def _request(self, state: _State) -> Request:
        return self.question.request(self._part(state), state.key)

    def _halves(
        self, cut: Sequence[_State], answers: dict[str, Reply | QwenVLKitError]
    ) -> dict[str, list[Reply | QwenVLKitError]]:
        """Ask about the halves of pages whose answers were cut, and return them by page."""
        questions = {}
        keys: dict[str, list[str]] = {}
        for state in cut:
            whole = answers[state.key]
            plan = whole.plan.images[0] if isinstance(whole, Reply) else None
            regions = None if plan is None else half_regions(plan.original, plan.crop)
            for half, region in zip(("upper half", "lower half"), regions or ()):
                key = f"{state.key} {half}"
                keys.setdefault(state.key, []).append(key)
                questions[key] = lambda state=state, region=region, key=key: self._half(
                    state, region, key
                )
        found = self.asker.answers(questions)
        return {page: [found[key] for key in halves] for page, halves in keys.items()}

    def _half(self, state: _State, region: Region, key: str) -> Request:
        return self.question.request(replace(self._part(state), crop=region), key)

    def _page(
        self,
        state: _State,
        answer: Reply | QwenVLKitError | None,
        halves: Sequence[Reply | QwenVLKitError] | None,
    ) -> Page:
        number = state.source.number
        if state.is_blank:
            return Page(number, state.size, warnings=("the page is blank",))
        if not isinstance(answer, Reply):
            return Page(number, state.size, (), state.warnings, error=answer)
        read = self._read(answer, number)
        blocks, told = read
        if halves:
            blocks, told = self._of_halves(answer, read, halves, number)
        size = self._size(state, answer)
        blocks = tuple(turned_back(block, state.degrees, size) for block in blocks)
        told = (*state.warnings, *told)
        if not state.degrees and goes_upwards(blocks):
            told = (*told, UPSIDE_DOWN)
        if not blocks:
            told = (*told, "nothing was read")
        asked = (answer, *(half for half in halves or () if isinstance(half, Reply)))
        return Page(
            number,
            size,
            blocks,
            tuple(dict.fromkeys(told)),
            turned_degrees=state.degrees,
            replies=tuple(without_scores(reply) for reply in asked),
        )

    def _read(self, reply: Reply, number: int) -> tuple[tuple[Block, ...], tuple[str, ...]]:
        family = self.asker.chat.family
        blocks, told = read_page_blocks(reply, family, self.question.form, page=number)
        cut = _CUT.get(reply.finish_reason)
        ended = () if cut is None else (f"the answer {cut}",)
        return blocks, (*ended, *reply.warnings, *told)

    def _of_halves(
        self,
        whole: Reply,
        read: tuple[tuple[Block, ...], tuple[str, ...]],
        halves: Sequence[Reply | QwenVLKitError],
        number: int,
    ) -> tuple[tuple[Block, ...], tuple[str, ...]]:
        """The blocks of both halves as one page; those of the whole page if a half failed."""
        reason = f"the answer {_CUT[whole.finish_reason]}"
        failed = next((half for half in halves if not isinstance(half, Reply)), None)
        if failed is not None:
            told = f"{reason}, and reading it in halves failed: {failed}"
            return _without_loop(read[0]), (told, *read[1])
        found = [self._read(half, number) for half in halves if isinstance(half, Reply)]
        plan = whole.plan.images[0]
        shown = Region(0, 0, plan.original.width_px, plan.original.height_px)
        shown = plan.crop or shown
        middle = (shown.y1_px + shown.y2_px) / 2
        blocks = merged_halves(_without_loop(found[0][0]), _without_loop(found[1][0]), middle)
        told = f"{reason}; the page was read again in two halves"
        more = [
            f"{half}: {message}"
            for half, (_, messages) in zip(("upper half", "lower half"), found)
            for message in messages
        ]
        return tuple(blocks), (told, *more)

    @staticmethod
    def _size(state: _State, reply: Reply) -> Size:
        """The size of the picture before it was turned."""
        if state.size is not None:
            return state.size
        shown = reply.plan.images[0].original
        if state.degrees in (90, 270):
            return Size(height_px=shown.width_px, width_px=shown.height_px)
        return shown


def _is_blank(picture: PIL.Image.Image) -> bool:
    """True if all pixels of a page have nearly the same colour: two may have the same grey."""
    colours = picture.convert("RGB").getextrema()
    return all(high - low <= _BLANK_LEVELS for low, high in colours)  # type: ignore[misc]


def _without_loop(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """The blocks without those at the end that repeat the one before them."""
    kept = list(blocks)
    while (
        len(kept) > 1
        and kept[-1].text
        and (kept[-1].kind, kept[-1].text)
        == (
            kept[-2].kind,
            kept[-2].text,
        )
    ):
        kept.pop()
    return tuple(kept)
