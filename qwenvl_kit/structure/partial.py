"""JSON as far as it has been written: its values, and where each of them stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from qwenvl_kit.structure.kinds import read_json

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_PLAIN = re.compile(r"[-+0-9.eE]+|true|false|null")
_MAX_DEPTH = 100
_BROKEN_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{0,3})?$")


@dataclass(frozen=True)
class Leaf:
    """A value without values inside.

    Attributes:
        path: where it stands: names of fields and places in lists.
        start, stop: its characters in the text, and the one after them, which ended it.
    """

    path: tuple[str | int, ...]
    start: int
    stop: int


class PartialJson:
    """What a text holds that may be cut off anywhere.

    Strings count as far as they go; numbers and words only once they have ended.

    Args:
        text: JSON, or the beginning of it.

    Attributes:
        value: what it stands for so far; None if it is nothing yet.
        leaves: values that have ended, in their order.
        is_whole: whether nothing is missing.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.leaves: list[Leaf] = []
        self.is_whole = True
        self.value = self._value(())

    def _value(self, path: tuple[str | int, ...]) -> Any:
        self._skip()
        if len(path) > _MAX_DEPTH:
            self.is_whole, self._at = False, len(self._text)
            return None
        first = self._text[self._at : self._at + 1]
        if first == "{":
            return self._object(path)
        if first == "[":
            return self._array(path)
        start = self._at
        value = self._string() if first == '"' else self._plain()
        if self.is_whole:
            self.leaves.append(Leaf(path, start, min(self._at + 1, len(self._text))))
        return value

    def _object(self, path: tuple[str | int, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self._at += 1
        for _ in self._items("}"):
            name = self._string()
            self._skip()
            if not self.is_whole or not self._take(":"):
                self.is_whole = False
                break
            value = self._value((*path, name))
            if self.is_whole or value is not None:
                found[name] = value
        return found

    def _array(self, path: tuple[str | int, ...]) -> list[Any]:
        found: list[Any] = []
        self._at += 1
        for _ in self._items("]"):
            value = self._value((*path, len(found)))
            if self.is_whole or value is not None:
                found.append(value)
        return found

    def _items(self, end: str) -> Iterator[None]:
        """Once for each item, until the end or where the text breaks off."""
        self._skip()
        if self._take(end):
            return
        while self._at < len(self._text):
            yield
            self._skip()
            if not self.is_whole or self._take(end):
                return
            if not self._take(","):
                break
            self._skip()
        self.is_whole = False

    def _string(self) -> str:
        if not self._text.startswith('"', self._at):  # where a name was due
            self.is_whole, self._at = False, len(self._text)
            return ""
        whole = _STRING.match(self._text, self._at)
        if whole is None:
            self.is_whole = False
            begun = _BROKEN_ESCAPE.sub("", self._text[self._at :])
            self._at = len(self._text)
            written = f'{begun}"'
        else:
            self._at, written = whole.end(), whole[0]
        try:
            return str(json.loads(written, strict=False))
        except ValueError:  # nothing yet, or an escape that JSON does not have
            self.is_whole = False
            return ""

    def _plain(self) -> Any:
        found = _PLAIN.match(self._text, self._at)
        if found is None:
            self.is_whole, self._at = False, len(self._text)
            return None
        self._at = found.end()
        is_ended = self._at < len(self._text) or found[0] in ("true", "false", "null")
        try:
            value = read_json(found[0])
        except ValueError:
            is_ended, value = False, None
        if not is_ended:
            self.is_whole = False
            return None
        return value

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        self._at = self._at if found is None else found.end()

    def _take(self, character: str) -> bool:
        is_there = self._text.startswith(character, self._at)
        self._at += is_there
        return is_there
