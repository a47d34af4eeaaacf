"""Values as JSON and as Python write them, and what is missing of them.

Models write both: Qwen3.5's own template shows them `True` and `None`. None of the libraries that
read broken JSON serves here, as each of them guesses in silence. json-repair closes a text that was
cut off, keeps the last of two equal names and adds a missing comma without a word, and takes a
minute for 20,000 characters of `{"`; pydantic's `from_json(allow_partial=True)` leaves out what is
not whole; `ast.literal_eval` knows no `null`. So a value is rewritten token by token, in one pass
and as far as there is only one way to read it, and the standard library reads what comes of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>"[^"\\]*(?:\\.[^"\\]*)*"|'[^'\\]*(?:\\.[^'\\]*)*')
        |(?P<word>-?[A-Za-z_]\w*)
        |(?P<number>[-+]?[0-9.][0-9A-Za-z_.]*(?:(?<=[eE])[-+][0-9]+)?)
        |(?P<mark>[{}\[\](),:])
    )""",
    re.DOTALL | re.VERBOSE,
)
_SPACE = re.compile(r"\s*")
_UNCLOSED_TEXT = re.compile(r"\s*[\"']")
_INSIDE = re.compile(r"\\(x[0-9a-fA-F]{2}|.)|\"", re.DOTALL)
_WORDS = {"None": "null", "True": "true", "False": "false"}
_KNOWN_WORDS = frozenset(("null", "true", "false", "NaN", "Infinity", "-Infinity", *_WORDS))
_CLOSING = {"{": "}", "[": "]", "(": ")"}
_IN_JSON = {"(": "[", ")": "]"}


class UnreadError(ValueError):
    """Something is not understood.

    Attributes:
        at: where in the text.
        is_cut: whether the text ends before it does.
    """

    def __init__(self, reason: str, at: int, *, is_cut: bool = False) -> None:
        super().__init__(reason)
        self.at = at
        self.is_cut = is_cut


@dataclass(frozen=True)
class Literal:
    """A value that was read.

    Attributes:
        value: as JSON has it.
        stop: where it ends.
        notes: what had to be assumed, in words; empty where it is written as it should be.
    """

    value: Any
    stop: int
    notes: tuple[str, ...] = ()


def read_literal(text: str, at: int = 0, until: Sequence[str] = ()) -> Literal:
    """The value that begins at a place.

    Args:
        text: holds it.
        at: where it begins.
        until: what may follow a value whose last brackets are missing. Where none of these stands
            there, as at the end of an answer that was cut off, nothing is added.

    Raises:
        UnreadError: it is no value, is cut off, or can be read in more than one way.
    """
    return _Rewriter(text, at, until).literal()


def read_whole(text: str) -> Any:
    """The value that a text is, and nothing beside it.

    Raises:
        UnreadError: as `read_literal`, or something follows it.
    """
    begin = len(text) - len(text.lstrip())
    found = read_literal(text, begin)
    if text[found.stop :].strip():
        raise UnreadError("something follows the value", found.stop)
    return found.value


def _without_contradiction(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, in which a name has one value; `json` keeps the last of several."""
    found = dict(pairs)
    if len(found) < len(pairs) and any(found[name] != value for name, value in pairs):
        raise UnreadError("one of its names has two values", 0)
    return found


_DECODER = json.JSONDecoder(strict=False, object_pairs_hook=_without_contradiction)


class _Rewriter:
    """Rewrites one value token by token as JSON."""

    def __init__(self, text: str, at: int, until: Sequence[str]) -> None:
        self._text = text
        self._begin = self._at = at
        self._until = tuple(until)
        self._json: list[str] = []
        self._due: list[str] = []
        self._notes: dict[str, None] = {}

    def literal(self) -> Literal:
        while self._take():
            if not self._due:
                break
        self._json += (_IN_JSON.get(mark, mark) for mark in reversed(self._due))
        try:
            value = _DECODER.decode(" ".join(self._json))  # so that `1 2` stays two
        except UnreadError as error:
            raise UnreadError(str(error), self._at) from None
        except (ValueError, RecursionError):
            raise UnreadError("it is no JSON", self._at) from None
        return Literal(value, self._at, tuple(self._notes))

    def _take(self) -> bool:
        """Rewrite the next token; False where the value has to end without its brackets."""
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            self._break_off()
            return False
        self._at = found.end()
        kind, token = str(found.lastgroup), found[str(found.lastgroup)]
        if kind == "mark":
            self._bracket(token)
        elif kind == "text":
            self._check_backslashes(token, found.start())
            self._json.append(self._text_in_json(token))
        elif kind == "word" and token not in _KNOWN_WORDS:
            is_cut = found.end() == len(self._text)
            reason = "it is cut off" if is_cut else f"it is no JSON: {token[:40]!r}"
            raise UnreadError(reason, found.start(kind), is_cut=is_cut)
        else:
            self._json.append(_WORDS.get(token, token))
        return True

    def _bracket(self, mark: str) -> None:
        if mark in _CLOSING:
            self._due.append(_CLOSING[mark])
        elif mark not in ",:":
            if not self._due or self._due.pop() != mark:
                raise UnreadError(f"{mark!r} closes nothing", self._at)
            if self._json[-1] == ",":
                self._json.pop()
        self._json.append(_IN_JSON.get(mark, mark))

    def _break_off(self) -> None:
        """Nothing of a value follows: only its last brackets may be missing."""
        found = _SPACE.match(self._text, self._at)
        rest = self._at if found is None else found.end()
        if rest == len(self._text) or _UNCLOSED_TEXT.match(self._text, self._at):
            raise UnreadError("it is cut off", len(self._text), is_cut=True)
        if not self._due or not self._text.startswith(self._until or ("\0",), rest):
            raise UnreadError(f"it is no JSON: {self._text[rest : rest + 40]!r}", rest)
        self._notes[f"its last {''.join(reversed(self._due))!r} was missing"] = None

    def _check_backslashes(self, token: str, at: int) -> None:
        r"""Refuse a text in which some backslashes escape nothing and others may: a path, say.

        `C:\Users\bob` holds one escape that is none and one that would be a backspace: whoever
        wrote it escaped neither.
        """
        escaped = {inside[1] for inside in _INSIDE.finditer(token[1:-1]) if inside[1]}
        unknown = {one for one in escaped if len(one) == 1 and one not in "'\"\\/bfnrtu"}
        if unknown and escaped & {*"bfnrt"}:
            raise UnreadError(f"its backslashes have two meanings: {token[:40]!r}", at)

    def _text_in_json(self, token: str) -> str:
        return f'"{_INSIDE.sub(self._escape, token[1:-1])}"'

    def _escape(self, found: re.Match[str]) -> str:
        escaped = found[1]
        if escaped is None:
            return '\\"'
        if escaped == "'":
            return "'"
        if len(escaped) == 3:
            return f"\\u00{escaped[1:]}"
        if escaped in '"\\/bfnrtu':
            return found[0]
        self._notes[f"\\{escaped} was taken as it stands"] = None
        return f"\\\\{escaped}"
