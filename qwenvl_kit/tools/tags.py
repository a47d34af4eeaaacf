"""The tags of tool calls in an answer, and the end of each value between them.

A value is written without escapes and may hold tags itself, such as a text about tags, or a file
with a call in it. So a closing tag ends a value only if the call continues after it, and if all
parameters that were opened within the value were closed. If that leaves two possible ends, neither
is chosen.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from qwenvl_kit.tools.literals import UnreadError

_TAG = re.compile(
    r"<(tool_call|/tool_call|/function|/parameter)>|<(function|parameter)=[ \t]*([^<>\s]+)[ \t]*>"
)
_CHANGES = {"parameter": 1, "/parameter": -1}
_FUNCTIONS = {"function": 1, "/function": -1}


@dataclass(frozen=True)
class Tag:
    """A tag in an answer.

    Attributes:
        kind: "tool_call", "function" or "parameter", with a slash before it if it is a closing tag.
        name: the name in the tag; may be empty.
        start, stop: its position.
    """

    kind: str
    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class ValueEnd:
    """The end of a value.

    Attributes:
        start: the position after its last character.
        stop: the position where the call continues.
        is_closed: True if there is a closing tag between them.
    """

    start: int
    stop: int
    is_closed: bool = True


class Tags:
    """All tags of an answer; found once, as many values may have to be searched.

    Args:
        text: the answer.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._found = list(_tags_of(text))
        self._starts = [tag.start for tag in self._found]
        self._depths: list[int] = []
        self._ends: list[int] = []
        self._ends_at: dict[int, list[int]] = {}
        self._functions: list[int] = []  # the number of open functions that begin a line
        depth = functions = 0
        for index, tag in enumerate(self._found):
            depth += _CHANGES.get(tag.kind, 0)
            functions += _FUNCTIONS.get(tag.kind, 0) * self._has_own_line(tag)
            self._depths.append(depth)
            self._functions.append(functions)
            if self._may_end_value(index):
                self._ends.append(index)
                self._ends_at.setdefault(depth, []).append(index)

    def after(self, at: int) -> Tag | None:
        """The first tag at a position or after it."""
        index = bisect_left(self._starts, at)
        return self._found[index] if index < len(self._found) else None

    def end_of_value(self, opening: Tag, others: Collection[str]) -> ValueEnd:
        """The end of a parameter's value.

        Args:
            opening: the tag before the value.
            others: the parameters that may follow.

        Raises:
            UnreadError: the answer ends within the value, or the value may end at two positions.
        """
        index = bisect_left(self._starts, opening.start)
        even = _first_after(self._ends_at.get(self._depths[index] - 1, ()), index)
        last = _first_after(self._ends, index) if even is None else even
        continuation = self._first_continuation(
            index + 1, len(self._found) if last is None else last, others
        )
        end = last if continuation is None else continuation
        if end is None:
            raise UnreadError(
                f"it is cut off within {opening.name!r}", len(self._text), is_cut=True
            )
        tag = self._found[end]
        is_doubled = self._text[opening.stop : tag.start].rstrip().endswith("</parameter>")
        if is_doubled if even is None else continuation is not None:
            raise UnreadError(f"its {opening.name!r} may end at two places", tag.start)
        if even is None and self._holds_opened(index + 1, end, others):
            raise UnreadError(f"it is unclear where its {opening.name!r} ends", tag.stop)
        return ValueEnd(
            tag.start,
            tag.stop if continuation is None else tag.start,
            is_closed=continuation is None,
        )

    def _holds_opened(self, begin: int, end: int, others: Collection[str]) -> bool:
        """True if a call begins within a value and does not end, as in an answer that was cut off.

        A value whose closing tag is missing before the tool's next parameter counts, too.
        """
        inner = 0
        for tag in self._found[begin:end]:
            if not tag.kind.startswith("/") and self._has_own_line(tag):
                return True
            if tag.kind == "parameter" and tag.name in others:
                return True
            inner += _FUNCTIONS.get(tag.kind, 0)
        return inner > 0

    def _first_continuation(self, begin: int, end: int, others: Collection[str]) -> int | None:
        """The index of the first tag at which the call continues without a closing tag."""
        before = self._functions[begin - 1]
        has_whole_calls = self._functions[end - 1] == before  # as part of a text
        for index in range(begin, end):
            is_inside = has_whole_calls and self._functions[index - 1] > before
            if not is_inside and self._goes_on(index, others):
                return index
        return None

    def _goes_on(self, index: int, others: Collection[str]) -> bool:
        tag = self._found[index]
        if not self._has_own_line(tag):
            return False
        if tag.kind == "parameter":
            return tag.name in others
        if tag.kind == "/tool_call":
            return self._ends_text(index) or self._is_followed_by(index, "tool_call")
        return tag.kind == "/function" and self._ends_call(index)

    def _has_own_line(self, tag: Tag) -> bool:
        before = self._text[max(0, tag.start - 80) : tag.start]
        return before.rpartition("\n")[1] == "\n" and not before.rpartition("\n")[2].strip(" \t")

    def _ends_call(self, index: int) -> bool:
        """True if only other calls follow the end of a function."""
        is_closed = self._is_followed_by(index, "/tool_call")
        if self._is_followed_by(index + is_closed, "tool_call", "function"):
            return True
        return self._ends_text(index + is_closed) and (is_closed or not self._opens_call())

    def _opens_call(self) -> bool:
        """True if the last call has an opening tag; without one, it may be complete at the end."""
        last = next((tag for tag in reversed(self._found) if tag.kind.endswith("tool_call")), None)
        return last is not None and last.kind == "tool_call"

    def _may_end_value(self, index: int) -> bool:
        others = ("parameter", "/function", "tool_call", "/tool_call", "function")
        is_closing = self._found[index].kind == "/parameter"
        return is_closing and (self._ends_text(index) or self._is_followed_by(index, *others))

    def _is_followed_by(self, index: int, *kinds: str) -> bool:
        """True if the next tag is of one of these kinds, with only white space before it."""
        if index + 1 >= len(self._found) or self._found[index + 1].kind not in kinds:
            return False
        return not self._text[self._found[index].stop : self._found[index + 1].start].strip()

    def _ends_text(self, index: int) -> bool:
        return index + 1 == len(self._found) and not self._text[self._found[index].stop :].strip()


def _tags_of(text: str) -> Iterator[Tag]:
    for found in _TAG.finditer(text):
        yield Tag(found[1] or found[2], (found[3] or "").strip("\"'"), *found.span())


def _first_after(places: Sequence[int], index: int) -> int | None:
    """The first of rising positions that is greater than an index."""
    at = bisect_left(places, index + 1)
    return places[at] if at < len(places) else None
