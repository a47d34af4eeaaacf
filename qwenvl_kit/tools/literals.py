"""Values in JSON or Python syntax, read only if there is a single way to read them.

Models write both: Qwen3.5's own template shows them `True` and `None`. No library for broken JSON
fits here, as all of them guess silently. json-repair completes a text that was cut off, keeps the
last of two equal names and adds a missing comma without a message, and takes a minute for 20,000
characters of `{"`; pydantic's `from_json(allow_partial=True)` drops incomplete values;
`ast.literal_eval` does not know `null`. So a value is rewritten as JSON, token by token in one
pass, as long as it has a single reading, and the standard library parses the result.
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
    """The error for a text that cannot be read as a value or a call.

    Attributes:
        at: the position in the text.
        is_cut: True if the text ends too early.
    """

    def __init__(self, reason: str, at: int, *, is_cut: bool = False) -> None:
        super().__init__(reason)
        self.at = at
        self.is_cut = is_cut


@dataclass(frozen=True)
class Literal:
    """A value that was read.

    Attributes:
        value: the JSON value.
        stop: the position after it.
        notes: messages about errors in the text that were corrected; empty if there were none.
    """

    value: Any
    stop: int
    notes: tuple[str, ...] = ()


def read_literal(text: str, at: int = 0, until: Sequence[str] = ()) -> Literal:
    """Read the value that begins at a position.

    Args:
        text: the text with the value.
        at: the position.
        until: texts that may follow a value whose last brackets are missing. If none of them
            follows, as at the end of an answer that was cut off, no brackets are added.

    Raises:
        UnreadError: it is no value, is cut off, or can be read in more than one way.
    """
    return _Rewriter(text, at, until).literal()


def read_whole(text: str) -> Any:
    """Read a text that is one value and nothing else.

    Raises:
        UnreadError: as in `read_literal`, or other text follows the value.
    """
    begin = len(text) - len(text.lstrip())
    found = read_literal(text, begin)
    if text[found.stop :].strip():
        raise UnreadError("something follows the value", found.stop)
    return found.value


def _without_contradiction(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which every name has one value; `json` would keep the last of several."""
    found = dict(pairs)
    if len(found) < len(pairs) and any(found[name] != value for name, value in pairs):
        raise UnreadError("one of its names has two values", 0)
    return found


_DECODER = json.JSONDecoder(strict=False, object_pairs_hook=_without_contradiction)


class _Rewriter:
    """Rewrites one value as JSON, token by token."""

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
            value = _DECODER.decode(
                " ".join(self._json)
            )  # the space keeps the two numbers of `1 2` apart
        except UnreadError as error:
            raise UnreadError(str(error), self._at) from None
        except (ValueError, RecursionError):
            raise UnreadError("it is no JSON", self._at) from None
        return Literal(value, self._at, tuple(self._notes))

    def _take(self) -> bool:
        """Rewrite the next token; False if the value must end here without its brackets."""
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
        """Check that only the last brackets of the value are missing."""
        found = _SPACE.match(self._text, self._at)
        rest = self._at if found is None else found.end()
        if rest == len(self._text) or _UNCLOSED_TEXT.match(self._text, self._at):
            raise UnreadError("it is cut off", len(self._text), is_cut=True)
        if not self._due or not self._text.startswith(self._until or ("\0",), rest):
            raise UnreadError(f"it is no JSON: {self._text[rest : rest + 40]!r}", rest)
        self._notes[f"its last {''.join(reversed(self._due))!r} was missing"] = None

    def _check_backslashes(self, token: str, at: int) -> None:
        r"""Refuse a string in which some backslashes escape nothing and others may, such as a path.

        `C:\Users\bob` holds `\U`, which is no escape, and `\b`, which would be a backspace: the
        writer escaped neither.
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
