"""Fenced blocks of code in an answer."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SOON = 100
"""The lines after marks behind code in which a closing fence is still looked for."""

_MARK = re.compile(r"`{3,}|~{3,}")
_LATE_TAG = re.compile(r"(`{3,})[ \t]*([\w+#-]*)[ \t]*")
"""A fence with at most a tag behind it, for one that stands behind words: `Here it is: ```html`."""

_TAG_AND_CODE = re.compile(r"([A-Za-z][\w+#.-]*)<")
"""The name of a language with code right behind it: `html<!DOCTYPE html>`."""


@dataclass(frozen=True)
class Fence:
    """A fenced block.

    Attributes:
        tag: the first word after the opening fence, in lower case; empty if there is none.
        text: the code, without the line ends around it.
        start: the index of the code in the answer.
        is_closed: True if a closing fence follows the code.
    """

    tag: str
    text: str
    start: int
    is_closed: bool

    @property
    def stop(self) -> int:
        """The index in the answer of the end of the code."""
        return self.start + len(self.text)


def read_fences(answer: str) -> tuple[Fence, ...]:
    """Return the fenced blocks of an answer, in their order.

    The rules are those of CommonMark 0.31.2, section 4.5: a block ends with a line that has as many
    marks as it began with, or more, and nothing else. Three things that models write are read, too:
    a fence behind words, a closing fence behind the last line of code, and code behind the name of
    its language. The time is linear in the length of the answer.

    Args:
        answer: the text of an answer.
    """
    found: list[Fence] = []
    lines = _lines(answer)
    closings = _last_closings(answer, lines)
    at = 0
    while at < len(lines):
        opened = _opened(answer, *lines[at])
        at += 1
        if opened is None:
            continue
        mark, tag, start = opened
        last = max((n for bare, n in closings.items() if bare.startswith(mark)), default=-1)
        stop, after = _closed(answer, lines, mark, range(at, last + 1))
        at = len(lines) if after is None else after
        found.append(_fence(answer, tag, start, len(answer) if stop is None else stop, stop))
    return tuple(found)


def _lines(answer: str) -> list[tuple[int, int]]:
    """The start and end of each line, without its end mark."""
    lines, start = [], 0
    for line in answer.split("\n"):
        lines.append((start, start + len(line.rstrip("\r"))))
        start += len(line) + 1
    return lines


def _opened(answer: str, start: int, end: int) -> tuple[str, str, int] | None:
    """The fence that a line opens, its tag, and the index at which its code begins."""
    line = answer[start:end]
    indent = len(line) - len(line.lstrip())
    mark = _MARK.match(line, indent)
    if mark is None:
        return _opened_late(line, end)
    rest = line[mark.end() :]
    if mark[0][0] == "`" and "`" in rest:  # code within the line
        return None
    tag = (rest.split(maxsplit=1) or [""])[0]
    both = _TAG_AND_CODE.match(tag)
    if both:
        return mark[0], both[1].lower(), start + line.index(tag, mark.end()) + len(both[1])
    return mark[0], tag.lower(), end + 1


def _opened_late(line: str, end: int) -> tuple[str, str, int] | None:
    at = line.find("`")
    late = _LATE_TAG.fullmatch(line, at) if at > 0 else None
    return (late[1], late[2].lower(), end + 1) if late else None


def _last_closings(answer: str, lines: list[tuple[int, int]]) -> dict[str, int]:
    """The last line of each kind that is a closing fence: marks and nothing else."""
    bare = ((answer[start:end].strip(), number) for number, (start, end) in enumerate(lines))
    return {line: number for line, number in bare if _MARK.fullmatch(line)}


def _closed(
    answer: str, lines: list[tuple[int, int]], mark: str, span: range
) -> tuple[int | None, int | None]:
    """The index at which the code of a fence ends, and the line after it; None if it does not.

    A line of marks alone ends it. Marks behind code end it where no such line follows before the
    next fence, or soon.

    Args:
        answer: the answer.
        lines: its lines.
        mark: the opening fence.
        span: the lines from the one after it to the last closing fence.
    """
    late: tuple[int, int] | None = None
    for index in range(span.start, len(lines)):
        start, end = lines[index]
        line = answer[start:end].rstrip()
        begins = line.lstrip().startswith(mark)
        if begins and _is_bare(line, mark):
            return start, index + 1
        if late and (begins or index >= span.stop or index - late[1] > _SOON):
            return late
        if late is None and line.endswith(mark) and not line[: -len(mark)].endswith(mark[0]):
            late = start + len(line) - len(mark), index + 1
    return late or (None, None)


def _is_bare(line: str, mark: str) -> bool:
    """True if a line has marks of one kind alone."""
    return not line.strip().strip(mark[0])


def _fence(answer: str, tag: str, start: int, end: int, stop: int | None) -> Fence:
    whole = answer[start:end]
    text = whole.strip("\r\n")
    begun = start + len(whole) - len(whole.lstrip("\r\n"))
    return Fence(tag, text, min(begun, len(answer)), stop is not None)
