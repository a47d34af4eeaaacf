"""The tags of calls in an answer, and where a value between them ends.

A value is written as it is and may hold tags itself: a text about tags does, or a file with a call
in it. So a closing tag ends a value only where the call goes on behind it, and where as many
parameters were closed as were opened within the value. Where that leaves two ends, none is chosen.
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
        kind: "tool_call", "function" or "parameter", with a slash before it if it closes.
        name: what it names; empty where it names nothing.
        start, stop: where it stands.
    """

    kind: str
    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class ValueEnd:
    """Where a value ends.

    Attributes:
        start: the place after its last character.
        stop: where the call goes on.
        is_closed: whether a closing tag stands between them.
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
        self._functions: list[int] = []  # how many stand open, of those with a line of their own
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
        """The first tag that begins at a place or behind it."""
        index = bisect_left(self._starts, at)
        return self._found[index] if index < len(self._found) else None

    def end_of_value(self, opening: Tag, others: Collection[str]) -> ValueEnd:
        """Where the value of a parameter ends.

        Args:
            opening: the tag before it.
            others: parameters that may come after it.

        Raises:
            UnreadError: the answer ends within it, or it may end at two places.
        """
        index = bisect_left(self._starts, opening.start)
        even = _first_behind(self._ends_at.get(self._depths[index] - 1, ()), index)
        last = _first_behind(self._ends, index) if even is None else even
        broken = self._breach(index + 1, len(self._found) if last is None else last, others)
        end = last if broken is None else broken
        if end is None:
            raise UnreadError(
                f"it is cut off within {opening.name!r}", len(self._text), is_cut=True
            )
        tag = self._found[end]
        is_doubled = self._text[opening.stop : tag.start].rstrip().endswith("</parameter>")
        if is_doubled if even is None else broken is not None:
            raise UnreadError(f"its {opening.name!r} may end at two places", tag.start)
        if even is None and self._holds_opened(index + 1, end, others):
            raise UnreadError(f"its {opening.name!r} may go on", tag.stop)
        return ValueEnd(
            tag.start, tag.stop if broken is None else tag.start, is_closed=broken is None
        )

    def _holds_opened(self, begin: int, end: int, others: Collection[str]) -> bool:
        """Whether a call is begun within a value and not ended, as where an answer is cut off.

        So is one whose closing tag was left out before the next of the tool's parameters.
        """
        inner = 0
        for tag in self._found[begin:end]:
            if not tag.kind.startswith("/") and self._has_own_line(tag):
                return True
            if tag.kind == "parameter" and tag.name in others:
                return True
            inner += _FUNCTIONS.get(tag.kind, 0)
        return inner > 0

    def _breach(self, begin: int, end: int, others: Collection[str]) -> int | None:
        """The index of the first tag by which the call goes on although no value was closed."""
        before = self._functions[begin - 1]
        has_whole_calls = self._functions[end - 1] == before  # which stand there as text
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
        """Whether nothing but other calls stands behind the end of a function."""
        is_closed = self._is_followed_by(index, "/tool_call")
        if self._is_followed_by(index + is_closed, "tool_call", "function"):
            return True
        return self._ends_text(index + is_closed) and (is_closed or not self._opens_call())

    def _opens_call(self) -> bool:
        """Whether the last call was opened by a tag, without which it may be whole at the end."""
        last = next((tag for tag in reversed(self._found) if tag.kind.endswith("tool_call")), None)
        return last is not None and last.kind == "tool_call"

    def _may_end_value(self, index: int) -> bool:
        others = ("parameter", "/function", "tool_call", "/tool_call", "function")
        is_closing = self._found[index].kind == "/parameter"
        return is_closing and (self._ends_text(index) or self._is_followed_by(index, *others))

    def _is_followed_by(self, index: int, *kinds: str) -> bool:
        """Whether the next tag is of such a kind, and nothing but white space before it."""
        if index + 1 >= len(self._found) or self._found[index + 1].kind not in kinds:
            return False
        return not self._text[self._found[index].stop : self._found[index + 1].start].strip()

    def _ends_text(self, index: int) -> bool:
        return index + 1 == len(self._found) and not self._text[self._found[index].stop :].strip()


def _tags_of(text: str) -> Iterator[Tag]:
    for found in _TAG.finditer(text):
        yield Tag(found[1] or found[2], (found[3] or "").strip("\"'"), *found.span())


def _first_behind(places: Sequence[int], index: int) -> int | None:
    """The first of rising places that is greater than one."""
    at = bisect_left(places, index + 1)
    return places[at] if at < len(places) else None
