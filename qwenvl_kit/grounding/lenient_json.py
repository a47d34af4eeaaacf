"""A lenient JSON parser that keeps the position of each value; syntax errors are tolerated.

No other parser of broken JSON that we know gives the positions of values in the text, from which a
box gets its confidence. In addition, json-repair (0.64) takes the `12` of a number that was cut off
as the number, silently drops one of two boxes of an object, does not report what it corrected, and
needs quadratic time; `pydantic_core.from_json` stops at a surplus brace.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

NUMBER = r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"

MISMATCHED = "brackets or quotes of the answer do not match; only the clear parts were read"
CUT_OFF = "the answer ends inside its list of places"
TOO_DEEP = "brackets are nested too deeply to be read"

_MAX_DEPTH = 100
_MAX_DIGITS = 300
"""The most digits of a number; a float cannot hold more."""

_OPENING = re.compile(r"[{\[]")
_CLOSERS = {"{": "}", "[": "]", "(": ")"}
_SPACE = re.compile(r"\s*")
_COLON = re.compile(r"\s*:")
_COMMENT = re.compile(r"(?://|#)[^\n]*")
_BARE = re.compile(r"""[^\s,:{}\[\]()"'](?:[^,:{}\[\]()"'\n]|(?<=\w)["'])*""")
"""A word without quotes: a number, `true`, or prose with its apostrophes."""

_NUMBER = re.compile(NUMBER)
_WHOLE_NUMBER = re.compile(r"[-+]?[0-9]+")
_BREAK = re.compile(r"[,}\]\n]")
_WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_ENDS = {quote: re.compile(rf"\\.|{quote}", re.DOTALL) for quote in ('"', "'")}
_AFTER_A_STRING = re.compile(r"""\s*(?:[,:}\])`#]|//|$|(?<=\n)["'{\[]|["'][^"'\n]{1,40}["']\s*:)""")
"""The text after a closing quote. A quote that is followed by other text is part of the string,
where the model did not escape it."""

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@dataclass
class Value:
    """A JSON value with its position in the text.

    Attributes:
        start, stop: the position of its characters.
        value: the Python value, without parts that were cut off.
        is_whole: False if the text ends inside the value.
        opener: the opening bracket; empty for a string, a number or a word.
        items: the items of a list; in an object, the values without a name.
        fields: the fields of an object, with their names.
    """

    start: int
    stop: int = -1
    value: Any = None
    is_whole: bool = True
    opener: str = ""
    items: list[Value] = field(default_factory=list)
    fields: list[tuple[str, Value]] = field(default_factory=list)


@dataclass
class _Open:
    """An open bracket."""

    node: Value
    key: str | None = None
    seen: set[str] = field(default_factory=set)


class LooseJson:
    """All objects and lists of a text, with any prose around them; never raises.

    Args:
        text: the answer.

    Attributes:
        roots: the outermost objects and lists, in order.
        problems: messages about syntax errors.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._stack: list[_Open] = []
        self._string_end = {'"': (0, 0), "'": (0, 0)}
        self.roots: list[Value] = []
        self._problems: dict[str, None] = {}
        at = 0
        while at < len(text):
            at = self._inside(at) if self._stack else self._outside(at)
        if not all(map(_is_superfluous, self._stack)):
            self._problems[CUT_OFF] = None
        while self._stack:
            self._pop(len(text), is_whole=False)

    @property
    def problems(self) -> tuple[str, ...]:
        """The problems in the order in which they were met."""
        return tuple(self._problems)

    def _outside(self, at: int) -> int:
        """Move on to the next object or list."""
        after = _space_end(self._text, at)
        if self.roots and at == self.roots[-1].stop and self._text[after : after + 1] in ("}", "]"):
            self._problems[MISMATCHED] = None
        found = _OPENING.search(self._text, at)
        return len(self._text) if found is None else self._open(found.start())

    def _inside(self, at: int) -> int:
        at = _space_end(self._text, at)
        first = self._text[at : at + 1]
        if first in _CLOSERS:
            return self._open(at)
        if first in ("}", "]", ")"):
            return self._close(at, first)
        if first in ('"', "'"):
            return self._string(at, first)
        if first in ("", ",", ":"):
            self._stack[-1].key = None
            return at + 1
        if comment := _COMMENT.match(self._text, at):
            return comment.end()
        return self._bare(at)

    def _open(self, at: int, opener: str | None = None) -> int:
        if len(self._stack) >= _MAX_DEPTH:
            self._problems[TOO_DEEP] = None
            return at + 1
        opener = self._text[at] if opener is None else opener
        is_stray = opener != "(" and self._is_in_object and self._stack[-1].key is None
        if is_stray:  # in place of the name of a field
            self._problems[MISMATCHED] = None
        node = Value(at, opener=opener, value={} if opener == "{" else [])
        self._stack.append(_Open(node))
        return at + 1

    @property
    def _is_in_object(self) -> bool:
        return bool(self._stack) and self._stack[-1].node.opener == "{"

    @property
    def _is_in_numbers_of_an_object(self) -> bool:
        """True inside a list of numbers in an object, which must be closed before the next name."""
        is_field = len(self._stack) > 1 and self._stack[-2].node.opener == "{"
        return is_field and not any(item.opener for item in self._stack[-1].node.items)

    def _close(self, at: int, closer: str) -> int:
        """Close the innermost bracket of this kind, and all brackets inside it."""
        fits = [opened for opened in self._stack if _CLOSERS[opened.node.opener] == closer]
        if not fits or fits[-1] is not self._stack[-1]:
            self._problems[MISMATCHED] = None
        while fits and self._stack[-1] is not fits[-1]:
            self._pop(at)
        if fits:
            self._pop(at + 1)
        return at + 1

    def _pop(self, stop: int, *, is_whole: bool = True) -> None:
        node = self._stack.pop().node
        node.stop, node.is_whole = stop, is_whole
        self._attach(node)

    def _attach(self, node: Value) -> None:
        """Add a finished value to the value around it."""
        if not self._stack:
            self.roots.append(node)
            return
        parent = self._stack[-1]
        if parent.node.opener != "{":
            _append(parent.node, node)
        elif parent.key is not None:
            name, parent.key = parent.key, None
            parent.node.fields.append((name, node))
            if node.is_whole:
                parent.node.value[name] = node.value
        elif node.opener == "(" and parent.node.fields:
            self._join_corners(parent.node, node)
        else:
            parent.node.items.append(node)

    @staticmethod
    def _join_corners(parent: Value, second: Value) -> None:
        """Join the values of `"bbox": (1, 2), (3, 4)`: the corners of a box between box tokens."""
        name, first = parent.fields[-1]
        if first.opener != "(":
            parent.items.append(second)
            return
        joined = Value(first.start, second.stop, opener="[", value=[])
        for corner in (first, second):
            _append(joined, corner)
        joined.is_whole = second.is_whole
        parent.fields[-1] = (name, joined)
        parent.value[name] = joined.value

    def _string(self, at: int, quote: str) -> int:
        end = self._end_of_string(at + 1, quote)
        if end < 0:  # cut off: half a string does not count
            self._take(Value(at, len(self._text), is_whole=False))
            return len(self._text)
        if _COLON.match(self._text, end + 1):
            if not self._is_in_object or self._stack[-1].key is None:
                return self._name(at, _unescaped(self._text[at + 1 : end]), end + 1)
            return self._unended(at)
        self._take(Value(at, end + 1, _unescaped(self._text[at + 1 : end])))
        return end + 1

    def _end_of_string(self, at: int, quote: str) -> int:
        """The position of the closing quote; -1 if there is none.

        The result of an earlier search is used again, which keeps the time linear.
        """
        start, end = self._string_end[quote]
        if start <= at <= end or (end < 0 < start <= at):
            return end
        found = next(self._ends(at, quote), -1)
        self._string_end[quote] = (at, found)
        return found

    def _ends(self, at: int, quote: str) -> Iterator[int]:
        for found in _ENDS[quote].finditer(self._text, at):
            if found[0] == quote and _AFTER_A_STRING.match(self._text, found.end()):
                yield found.start()

    def _unended(self, at: int) -> int:
        """Take a string without a closing quote, which would run into the next name."""
        self._problems[MISMATCHED] = None
        found = _BREAK.search(self._text, at)
        stop = len(self._text) if found is None else found.start()
        self._take(Value(at, stop, _unescaped(self._text[at + 1 : stop])))
        return stop

    def _name(self, at: int, name: str, after: int) -> int:
        """Take the name of a field; if it comes twice, or outside an object, a brace is missing."""
        if not self._is_in_object and self._is_in_numbers_of_an_object:
            self._problems[MISMATCHED] = None
            self._pop(at)
        is_repeated = self._is_in_object and name in self._stack[-1].seen
        if is_repeated or not self._is_in_object:
            self._problems[MISMATCHED] = None
            if is_repeated:
                self._pop(at)
            self._open(at, "{")
        if self._is_in_object:
            self._stack[-1].key = name
            self._stack[-1].seen.add(name)
        found = _COLON.match(self._text, after)
        return after if found is None else found.end()

    def _bare(self, at: int) -> int:
        found = _BARE.match(self._text, at)
        if found is None:
            return at + 1
        word = found[0].rstrip()
        stop = at + len(word)
        if self._is_in_object and self._stack[-1].key is None and _COLON.match(self._text, stop):
            return self._name(at, word, stop)
        self._take(Value(at, stop, _plain(word), is_whole=found.end() < len(self._text)))
        return stop

    def _take(self, node: Value) -> None:
        if self._is_in_object and self._stack[-1].key is None:
            return  # a word in place of a name
        self._attach(node)


def _is_superfluous(opened: _Open) -> bool:
    """True for a surplus brace: it holds only other objects."""
    return opened.node.opener == "{" and not opened.seen and bool(opened.node.items)


def _append(parent: Value, node: Value) -> None:
    parent.items.append(node)
    if node.is_whole:
        parent.value.append(node.value)


def _space_end(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _plain(word: str) -> Any:
    if word in _WORDS:
        return _WORDS[word]
    if _NUMBER.fullmatch(word) is None:
        return word
    is_whole = _WHOLE_NUMBER.fullmatch(word) is not None and len(word) <= _MAX_DIGITS
    return int(word) if is_whole else float(word)


def _unescaped(written: str) -> str:
    """The string as `json.loads` would read it, also in single quotes."""
    text = _ESCAPE.sub(_character, written)
    if text is written or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _character(found: re.Match[str]) -> str:
    if found[1] is not None:
        return chr(int(found[1], 16))
    return _ESCAPED.get(found[2], found[2])
