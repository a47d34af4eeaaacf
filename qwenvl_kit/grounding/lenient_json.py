"""JSON as models write it, with the place of each value: quotes, commas and braces may be wrong.

No reader of broken JSON that we know serves here. All of them give values without their places in
the text, by which a box has its confidence. json-repair (0.64) takes the `12` of a number that was
cut off for the number, drops one of two boxes of an object in silence, does not say what it set
right, and needs time in the square of the text's length; `pydantic_core.from_json` stops at a brace
too many.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

NUMBER = r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"

MISMATCHED = "brackets or quotes of the answer do not match; it was read as far as it is clear"
CUT_OFF = "the answer ends inside its list of places"
TOO_DEEP = "brackets in brackets, too many to be read"

_MAX_DEPTH = 100
_MAX_DIGITS = 300
"""More make no number that a float can hold."""

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
"""Where none of these follows, a quote stands inside a text that did not escape it."""

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@dataclass
class Value:
    """A value, and where it stands.

    Attributes:
        start, stop: its characters in the text.
        value: as Python has it, without what was cut off.
        is_whole: whether the text goes on after it.
        opener: the bracket that it begins with; empty for a text, a number or a word.
        items: what a list holds; of an object, what stands in it without a name.
        fields: what an object holds, by name.
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
    """A bracket that has not been closed yet."""

    node: Value
    key: str | None = None
    seen: set[str] = field(default_factory=set)


class LooseJson:
    """All objects and lists of a text, whatever stands around them; never raises.

    Args:
        text: the answer.

    Attributes:
        roots: the outermost objects and lists, in their order.
        problems: what was not sound, in words.
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
        """In the order in which they were met."""
        return tuple(self._problems)

    def _outside(self, at: int) -> int:
        """On to the next object or list."""
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
        if is_stray:  # where the name of a field was due
            self._problems[MISMATCHED] = None
        node = Value(at, opener=opener, value={} if opener == "{" else [])
        self._stack.append(_Open(node))
        return at + 1

    @property
    def _is_in_object(self) -> bool:
        return bool(self._stack) and self._stack[-1].node.opener == "{"

    @property
    def _is_in_numbers_of_an_object(self) -> bool:
        """Whether a list of numbers is open, whose end must have been forgotten before a name."""
        is_field = len(self._stack) > 1 and self._stack[-2].node.opener == "{"
        return is_field and not any(item.opener for item in self._stack[-1].node.items)

    def _close(self, at: int, closer: str) -> int:
        """The innermost bracket that this one closes; those inside it were forgotten."""
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
        """A finished value to what it stands in."""
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
        """`"bbox": (1, 2), (3, 4)` is one value: the corners of a box between box tokens."""
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
        if end < 0:  # cut off: half a text is none
            self._take(Value(at, len(self._text), is_whole=False))
            return len(self._text)
        if _COLON.match(self._text, end + 1):
            if not self._is_in_object or self._stack[-1].key is None:
                return self._name(at, _unescaped(self._text[at + 1 : end]), end + 1)
            return self._unended(at)
        self._take(Value(at, end + 1, _unescaped(self._text[at + 1 : end])))
        return end + 1

    def _end_of_string(self, at: int, quote: str) -> int:
        """Where the closing quote stands; -1 if there is none.

        What was found from an earlier start holds for this one too, which keeps time linear.
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
        """A text whose closing quote is missing, so that it would run into the next name."""
        self._problems[MISMATCHED] = None
        found = _BREAK.search(self._text, at)
        stop = len(self._text) if found is None else found.start()
        self._take(Value(at, stop, _unescaped(self._text[at + 1 : stop])))
        return stop

    def _name(self, at: int, name: str, after: int) -> int:
        """The name of a field; where it comes twice, or in no object, a brace was forgotten."""
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
            return  # a word where a name was due
        self._attach(node)


def _is_superfluous(opened: _Open) -> bool:
    """Whether it is a brace too many: it holds nothing but other objects."""
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
    """As `json.loads` would read it, and in single quotes too."""
    text = _ESCAPE.sub(_character, written)
    if text is written or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _character(found: re.Match[str]) -> str:
    if found[1] is not None:
        return chr(int(found[1], 16))
    return _ESCAPED.get(found[2], found[2])
