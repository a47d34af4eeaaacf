"""The parser of partial JSON: the values so far, each with its position in the text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, Union

from qwenvl_kit.structured_output.json_types import read_json

_SPACE = re.compile(r"[ \t\r\n]*")
_HEX = "[0-9a-fA-F]"
_FIRST_HALF = rf"\\u[dD][89abAB]{_HEX}{{2}}"
"""The first half of a surrogate pair, to which the next escape may belong."""
_TEXT = re.compile(
    rf'(?:[^"\\]|\\[^u]|\\u(?![dD][89abAB]){_HEX}{{4}}'
    rf"|{_FIRST_HALF}(?:\\u{_HEX}{{4}}|(?=[^\\]|\\[^u])))*"
)
_CUT_ESCAPE = re.compile(rf"\\(?:u{_HEX}{{0,3}})?|{_FIRST_HALF}(?:\\(?:u{_HEX}{{0,3}})?)?")
_PLAIN = re.compile(r"[-+0-9.eE]+|true|false|null")
_MAX_DEPTH = 100
Path: TypeAlias = tuple[Union[str, int], ...]
Due: TypeAlias = Literal["value", "first", "name", "colon", "next", "nothing"]
"""The token that is expected next. "first", after an opening bracket, is a name, a value or the
closing bracket. "next", after an item, is a comma or the closing bracket."""


@dataclass(frozen=True)
class Leaf:
    """A value that holds no other values.

    Attributes:
        path: its place: names of fields and indices of lists.
        start, stop: the positions of its characters and of the one after them, which ended it.
    """

    path: Path
    start: int
    stop: int


@dataclass
class _Level:
    """An open object or list, with the items that are complete.

    Attributes:
        found: the items.
        name: in an object, the name of the field whose value comes next.
    """

    found: Any
    name: str = ""

    @property
    def due(self) -> Due:
        """The kind of token that an item begins with."""
        return "name" if isinstance(self.found, dict) else "value"

    @property
    def step(self) -> str | int:
        """The name or index of the next item."""
        return self.name if isinstance(self.found, dict) else len(self.found)

    def put(self, value: Any) -> None:
        """Add an item."""
        if isinstance(self.found, dict):
            self.found[self.name] = value
        else:
            self.found.append(value)

    def with_item(self, value: Any) -> Any:
        """A copy with one more item."""
        if isinstance(self.found, dict):
            return {**self.found, self.name: value}
        return [*self.found, value]


@dataclass
class _String:
    """A string that is not complete yet.

    Attributes:
        start: the position of its opening quote.
        at: the position up to which it was read.
        pieces: the characters that were read.
    """

    start: int
    at: int
    pieces: list[str] = field(default_factory=list)


class PartialJson:
    """Parses JSON that may be cut off anywhere, and may be continued.

    Strings count as far as they go; numbers and words only once they are complete. Each character
    is read once, so the time is linear in the length. Complete values are the same objects in all
    results of `value`.

    Args:
        text: JSON, or the beginning of it.
    """

    def __init__(self, text: str = "") -> None:
        self._text = ""
        self._at = 0
        self._due: Due = "value"
        self._levels: list[_Level] = []
        self._string: _String | None = None
        self._ended: list[tuple[Path, int, int]] = []
        self._whole: Any = None
        self._is_broken = False
        self.feed(text)

    def feed(self, text: str) -> None:
        """Parse the next part of the text."""
        self._text += text
        while not self._is_broken and self._due != "nothing" and self._step():
            pass

    @property
    def is_whole(self) -> bool:
        """True if the JSON value is complete."""
        return self._due == "nothing"

    @property
    def leaves(self) -> list[Leaf]:
        """The complete leaves, in order."""
        length = len(self._text)
        return [Leaf(path, start, min(end + 1, length)) for path, start, end in self._ended]

    @property
    def value(self) -> Any:
        """The value so far; None if there is none yet."""
        if self.is_whole:
            return self._whole
        begun = self._string if self._due == "value" else None
        inner = "".join(begun.pieces) if begun else None
        for level in reversed(self._levels):
            inner = level.found.copy() if inner is None else level.with_item(inner)
        return inner

    def _step(self) -> bool:
        """Read one token; False if it is not complete yet."""
        if self._string is None:
            found = _SPACE.match(self._text, self._at)
            self._at = self._at if found is None else found.end()
        if self._at >= len(self._text) and self._string is None:
            return False
        if self._due == "colon":
            return self._take(":") or self._break_off()
        if self._due == "next":
            return self._close() or self._take(",") or self._break_off()
        if self._due == "first":
            if self._close():
                return True
            self._due = self._levels[-1].due
        return self._name() if self._due == "name" else self._item()

    def _take(self, mark: str) -> bool:
        """Skip a colon or comma; False if it is not there."""
        if not self._text.startswith(mark, self._at):
            return False
        self._at += 1
        self._due = "value" if mark == ":" else self._levels[-1].due
        return True

    def _close(self) -> bool:
        """Skip the closing bracket; False if it is not there."""
        level = self._levels[-1]
        if not self._text.startswith("}" if isinstance(level.found, dict) else "]", self._at):
            return False
        self._at += 1
        self._levels.pop()
        self._put(level.found)
        return True

    def _name(self) -> bool:
        name = self._read_string()
        if name is None:
            return False
        self._levels[-1].name = name
        self._due = "colon"
        return True

    def _item(self) -> bool:
        if len(self._levels) > _MAX_DEPTH:
            return self._break_off()
        mark = self._text[self._at : self._at + 1]
        if self._string is None and mark in "{[":
            self._levels.append(_Level({} if mark == "{" else []))
            self._at += 1
            self._due = "first"
            return True
        is_string = self._string is not None or mark == '"'
        start = self._string.start if self._string else self._at
        value = self._read_string() if is_string else self._read_plain()
        if self._at == start or self._string is not None or self._is_broken:
            return False
        self._ended.append((tuple(level.step for level in self._levels), start, self._at))
        self._put(value)
        return True

    def _put(self, value: Any) -> None:
        """Add a complete value."""
        if self._levels:
            self._levels[-1].put(value)
            self._due = "next"
        else:
            self._whole, self._due = value, "nothing"

    def _read_string(self) -> str | None:
        """A complete string; None if it is not complete, and its beginning is kept."""
        if self._string is None:
            if self._text[self._at] != '"':  # in place of a name
                self._break_off()
                return None
            self._string = _String(self._at, self._at + 1)
        read = self._string
        found = _TEXT.match(self._text, read.at)
        end = read.at if found is None else found.end()
        is_ended = self._text.startswith('"', end)
        is_cut = end == len(self._text) or bool(_CUT_ESCAPE.fullmatch(self._text, end))
        try:
            read.pieces.append(str(json.loads(f'"{self._text[read.at : end]}"', strict=False)))
        except ValueError:
            is_ended = is_cut = False
        read.at = end
        if is_ended:
            self._string, self._at = None, end + 1
            return "".join(read.pieces)
        if not is_cut:  # an escape that JSON does not have
            read.pieces.clear()
            self._break_off()
        return None

    def _read_plain(self) -> Any:
        """A complete number or word; None if it is not complete, and it is read again later."""
        found = _PLAIN.match(self._text, self._at)
        is_word = found is not None and found[0] in ("true", "false", "null")
        if found is None or not (is_word or found.end() < len(self._text)):
            return None
        try:
            value = read_json(found[0])
        except ValueError:
            self._break_off()
            return None
        self._at = found.end()
        return value

    def _break_off(self) -> bool:
        """Stop parsing, as the text is no JSON."""
        self._is_broken = True
        return False
