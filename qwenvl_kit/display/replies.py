"""The forms of replies, failures and lists of them, from what they have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from qwenvl_kit.display.blocks import Cell, Rows, bar, clipped, facts, folded, notes, table
from qwenvl_kit.display.pictures import Shown, strip
from qwenvl_kit.display.styles import framed
from qwenvl_kit.display.text import count, html, percent, seconds, short_repr, shortened
from qwenvl_kit.display.tokens import Piece, legend, text_block
from qwenvl_kit.display.viewing import viewer_of
from qwenvl_kit.errors import UnsupportedFeatureError
from qwenvl_kit.safe_text import plain

_MOST_PICTURES = 6
_MOST_NOTES = 8
_CELL_CHARACTERS = 300
ENDS: Mapping[str, str] = {
    "length": "cut off: the limit of tokens was reached",
    "cancelled": "cancelled",
    "deadline": "cut off: its time was over",
    "repetition": "cut off: it repeated itself",
}
"""The words for each reason, but "stop", why an answer ended."""


class ReplyLike(Protocol):
    """The parts of a reply that its forms show; see `Reply`."""

    @property
    def text(self) -> str:
        """The answer."""

    @property
    def thinking(self) -> str | None:
        """The thoughts."""

    @property
    def confidence(self) -> float | None:
        """The confidence."""

    @property
    def finish_reason(self) -> Any:
        """The reason why the answer ended."""

    @property
    def usage(self) -> Any:
        """The numbers of tokens."""

    @property
    def timing(self) -> Any:
        """The seconds of each stage."""

    @property
    def plan(self) -> Any:
        """The plan, which may know the pictures."""

    @property
    def request_id(self) -> str | None:
        """The id of the request."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings."""

    @property
    def tool_calls(self) -> Any:
        """Calls of tools."""

    @property
    def samples(self) -> tuple[str, ...]:
        """Other answers."""

    @property
    def agreement(self) -> float | None:
        """The share of other answers that are the same."""

    @property
    def is_abstained(self) -> bool:
        """True if the confidence is too low."""

    @property
    def abstain_below(self) -> float | None:
        """The lowest confidence that is accepted."""

    @property
    def calibrated_confidence(self) -> float | None:
        """The calibrated confidence."""

    @property
    def tokens(self) -> Any:
        """The tokens with their scores."""

    @property
    def text_bounds(self) -> Sequence[int] | None:
        """The start of the first token in `text`, then the end of each; None if they differ."""


def reply_repr(reply: ReplyLike) -> str:
    """Return a reply in one line: answer, confidence, tokens and seconds."""
    return short_repr(
        "Reply",
        reply.text,
        confidence=reply.confidence,
        tokens=reply.usage.completion_tokens,
        seconds=float(reply.timing.total),
        finish_reason=None if reply.finish_reason == "stop" else reply.finish_reason,
        request_id=reply.request_id,
    )


def reply_html(reply: ReplyLike) -> str:
    """Return a reply as HTML, with its pictures as far as they are known."""
    return framed(strip(pictures_of(reply.plan)), reply_blocks(reply))


def reply_blocks(reply: ReplyLike) -> str:
    """Return thoughts, answer, facts and warnings of a reply, without style and pictures."""
    thoughts = reply.thinking or ""
    thought = text_block([Piece(thoughts)]) if thoughts else ""
    pieces = pieces_of(reply)
    parts = [
        folded(f"thoughts, {count(len(thoughts), 'character')}", thought),
        text_block(pieces) if reply.text else "",
        *(_call(call) for call in reply.tool_calls),
        facts(*_facts(reply)),
        facts(legend()) if any(piece.level for piece in pieces) else "",
        folded(count(len(reply.samples), "sample"), _samples(reply)),
        notes(_notes(reply)),
    ]
    return "".join(parts)


def pieces_of(reply: ReplyLike) -> list[Piece]:
    """Return the answer in pieces with their probabilities; one without if they are not known."""
    bounds = reply.text_bounds
    if bounds is None or not reply.tokens:
        return [Piece(reply.text)]
    pieces, at = list[Piece](), 0
    for token, start, end in zip(reply.tokens, bounds, bounds[1:]):
        first, last = max(start, at), min(end, len(reply.text))
        if last > first:
            if first > at:
                pieces.append(Piece(reply.text[at:first]))
            pieces.append(_piece(reply.text[first:last], token))
            at = last
    return [*pieces, Piece(reply.text[at:])] if at < len(reply.text) else pieces


def scored_pieces(reply: ReplyLike) -> list[Piece]:
    """Return the tokens of an answer that have text.

    Raises:
        UnsupportedFeatureError: there are none.
    """
    pieces = [piece for piece in pieces_of(reply) if piece.probability is not None]
    if not pieces:
        raise UnsupportedFeatureError(
            "the reply has no scores of its tokens", expected="a backend that gives scores"
        )
    return pieces


def _piece(text: str, token: Any) -> Piece:
    return Piece(text, token.probability, token.alternatives)


def _facts(reply: ReplyLike) -> Iterator[Cell]:
    if reply.confidence is not None:
        kind = "" if reply.calibrated_confidence is None else " (calibrated)"
        yield f"confidence {percent(reply.confidence)}{kind}"
    yield count(reply.usage.completion_tokens, "token")
    yield seconds(reply.timing.total)
    visual = reply.usage.visual_tokens
    yield f"prompt {count(reply.usage.prompt_tokens, 'token')}, {visual:,} of them visual"
    if reply.agreement is not None:
        yield f"agreement {percent(reply.agreement)}"
    if reply.request_id is not None:
        yield f"id {reply.request_id}"


def _notes(reply: ReplyLike) -> Iterator[str]:
    if reply.finish_reason in ENDS:
        yield ENDS[reply.finish_reason]
    if reply.is_abstained:
        yield f"abstained: the confidence is below {percent(reply.abstain_below)}"
    yield from (f"given up: {loss}" for loss in reply.plan.degradations[:_MOST_NOTES])
    yield from reply.warnings[:_MOST_NOTES]
    if len(reply.warnings) > _MOST_NOTES:
        yield count(len(reply.warnings) - _MOST_NOTES, "more warning")


def _call(call: Any) -> str:
    arguments = clipped(repr(dict(call.arguments)), 1000)
    return f"<pre>{html(f'calls {call.name}({arguments})')}</pre>"


def _samples(reply: ReplyLike) -> str:
    rows = [(clipped(sample, _CELL_CHARACTERS),) for sample in reply.samples]
    return table(("answer",), rows) if rows else ""


def pictures_of(plan: Any) -> list[Shown]:
    """Return thumbnails of what was shown; films, and pictures that are not known, are words."""
    viewer = viewer_of(plan)
    entries = list(plan.media.values())
    if viewer is None:
        return []
    shown = [viewer.thumbnail(entry) for entry in entries[:_MOST_PICTURES]]
    rest = len(entries) - _MOST_PICTURES
    return [*shown, Shown(None, f"and {rest} more")] if rest > 0 else shown


def failure_repr(index: int, error: BaseException, request_id: str | None) -> str:
    """Return a failure in one line: its place, and the error with its message."""
    told = f"{type(error).__name__}: {plain(str(error))}"
    given = "" if request_id is None else f", request_id={request_id!r}"
    return f"Failure({index}, {shortened(told, 160)}{given})"


def failure_html(where: str, error: BaseException) -> str:
    """Return a failure as HTML."""
    return framed(notes([f"{where} failed: {type(error).__name__}: {error}"]))


COLUMNS = ("", "id", "answer", "confidence", "tokens", "seconds", "error")
"""The headings of a table of results."""


def results_html(results: Sequence[Any]) -> str:
    """Return replies and failures as a table; a failure has an `error`."""
    is_named = any(result.request_id is not None for result in results)
    failed = sum(hasattr(result, "error") for result in results)
    absent = {1: not is_named, 6: not failed}
    used = [at for at in range(len(COLUMNS)) if not absent.get(at)]

    def cells(index: int) -> list[Cell]:
        row = _row(index, results[index])
        return [_as_cell(at, row[at]) for at in used]

    numbers = [used.index(at) for at in (0, 4, 5)]
    told = f"{count(len(results), 'result')}, {count(failed, 'failure')}"
    headings = [COLUMNS[at] for at in used]
    return framed(table(headings, Rows(len(results), cells), numbers), facts(told))


def _row(at: int, result: Any) -> tuple[Any, ...]:
    name = "" if result.request_id is None else str(result.request_id)
    if hasattr(result, "error"):
        words = f"{type(result.error).__name__}: {result.error}"
        return (str(at), name, "", None, "", "", clipped(words, _CELL_CHARACTERS))
    tokens = f"{result.usage.completion_tokens:,}"
    text = clipped(result.text, _CELL_CHARACTERS)
    return (str(at), name, text, result.confidence, tokens, seconds(result.timing.total), "")


def _as_cell(at: int, value: Any) -> Cell:
    return bar(value) if COLUMNS[at] == "confidence" else str(value)


def results_repr(results: Sequence[object], most: int = 6) -> str:
    """Return a list in a few lines: its first results, and the number of the others."""
    lines = [f" {result!r}," for result in results[:most]]
    if len(results) > most:
        lines.append(f" ... {len(results) - most:,} more")
    inside = "\n".join(lines).strip().rstrip(",")
    return f"[{inside}]"
