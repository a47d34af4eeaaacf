"""The parser of tool calls in an answer, in every form that the families write.

Qwen3-VL, and models that are asked to, write `{"name": ..., "arguments": {...}}` between
`<tool_call>` and `</tool_call>`; Qwen3.5 writes
`<function=NAME><parameter=KEY>value</parameter></function>` there. Sources: their chat templates.

The text between two such tags is read completely or not at all, so that no tool runs with default
arguments because its own could not be read. Calls that cannot be read give warnings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qwenvl_kit.messages.tool_parts import UnreadCall
from qwenvl_kit.safe_text import escaped
from qwenvl_kit.tools.json_calls import read_json_calls
from qwenvl_kit.tools.literals import UnreadError
from qwenvl_kit.tools.lookalikes import lookalike_in
from qwenvl_kit.tools.raw_calls import Block, WrittenCall, WrittenCalls
from qwenvl_kit.tools.tagged_calls import TaggedCalls

__all__ = ["WrittenCall", "WrittenCalls", "parse_calls"]

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_BEGINNING = re.compile(r"</?tool_call>|<function=[ \t]*([^<>\s]+)[ \t]*>")
_MARK = re.compile(r"</?tool_call>")
_END = re.compile(r"</tool_call>|(?=<tool_call>)|\Z")
_BARE_END = re.compile(r"</function>(?:\s*</tool_call>)?|(?=<tool_call>)|\Z")
_SPACE = re.compile(r"\s*")
_NUM_SHOWN = 80


def parse_calls(text: str, schemas: Mapping[str, Mapping[str, Any]]) -> WrittenCalls:
    """Parse the tool calls of an answer; never raises.

    Args:
        text: the answer.
        schemas: the JSON schema of each tool's parameters. They tell if a value that is written as
            plain text is a string, a number or an object.
    """
    return _Answer(text, schemas).written()


def call_in_open_thoughts(
    text: str, schemas: Mapping[str, Mapping[str, Any]]
) -> tuple[UnreadCall, ...]:
    """A call at the end of thoughts that were not closed; the model may only have considered it."""
    written = parse_calls(text, schemas)
    if not written.calls and not any(call.is_marked for call in written.unread):
        return ()
    begin = min((at for at in map(text.find, (_OPEN, "<function=")) if at >= 0), default=0)
    return (UnreadCall(text[begin:].strip(), "it stands among thoughts that were not closed"),)


class _Answer:
    """Reads one answer from its beginning to its end."""

    def __init__(self, text: str, schemas: Mapping[str, Mapping[str, Any]]) -> None:
        self._text = text
        self._schemas = schemas
        self._tagged: TaggedCalls | None = None
        self._begin = 0  # the position after the last call
        self._said: list[str] = []
        self._calls: list[WrittenCall] = []
        self._warnings: dict[str, None] = {}
        self._unread: list[UnreadCall] = []

    def written(self) -> WrittenCalls:
        """All calls of the answer, and the rest of its text."""
        at = 0
        while found := _BEGINNING.search(self._text, at):
            if found[0] == _CLOSE:
                self._read_unopened(at, found)
            elif found[0] == _OPEN or found[1].strip("\"'") in self._schemas:
                self._read(found)
            at = max(found.end(), self._begin)
        said = "".join((*self._said, self._text[self._begin :])).strip()
        lookalike = lookalike_in(said, self._schemas)
        if lookalike is not None:
            self._note_unread(lookalike)
        warnings = tuple(map(escaped, self._warnings))
        return WrittenCalls(said, tuple(self._calls), warnings, tuple(self._unread))

    def _read(self, found: re.Match[str]) -> None:
        """Read the calls after an opening tag."""
        is_bare = found[0] != _OPEN
        try:
            block = self._bare(found.start()) if is_bare else self._between_tags(found.end())
        except UnreadError as error:
            end = (_BARE_END if is_bare else _END).search(self._text, max(error.at, found.end()))
            stop = len(self._text) if error.is_cut or end is None else end.end()
            self._note_unread(UnreadCall(self._text[found.start() : stop].strip(), str(error)))
            self._say_until(found.start(), stop)
        else:
            self._take(block)
            self._say_until(found.start(), block.stop)

    def _read_unopened(self, at: int, closing: re.Match[str]) -> None:
        """Read the JSON before a closing tag that has no opening tag."""
        begin = max(at, self._begin)
        before = self._text[begin : closing.start()]
        if not before.strip() and begin:  # a doubled tag
            self._say_until(begin, closing.end())
            return
        start = next((at for at, character in enumerate(before) if character in "{["), len(before))
        try:
            block = read_json_calls(before, start, self._schemas)
        except UnreadError:
            return
        is_offered = all(call.name in self._schemas for call in block.calls)
        if block.calls and is_offered and not before[block.stop :].strip():
            self._take(block, "<tool_call> was missing")
            self._say_until(begin + start, closing.end())

    def _between_tags(self, at: int) -> Block:
        """The calls after `<tool_call>`, and the position after its closing tag."""
        at = self._after_space(at)
        if self._text.startswith(_OPEN, at):  # a doubled tag
            at = self._after_space(at + len(_OPEN))
        if self._text.startswith("<function=", at):
            block = self._functions(at)
        else:
            block = read_json_calls(self._text, at, self._schemas)
        stop = self._after_space(block.stop)
        if self._text.startswith(_CLOSE, stop) and block.calls:
            return replace(block, stop=stop + len(_CLOSE))
        rest = self._text[stop : stop + len(_CLOSE)]
        if _CLOSE.startswith(rest):  # at the very end
            stop += len(rest)
        following = _MARK.search(self._text, stop)
        if not block.calls:
            raise UnreadError("it begins with neither a name in JSON nor <function=NAME>", stop)
        if following is not None and following[0] == _CLOSE:
            raise UnreadError(f"{self._text[stop : following.start()][:60]!r} is no call", stop)
        self._warnings["a call is not closed"] = None
        return replace(block, stop=stop)

    def _bare(self, at: int) -> Block:
        """A function without `<tool_call>` before it; the closing tag may be there."""
        block = self._functions(at, several=False)
        stop = self._after_space(block.stop)
        is_closed = self._text.startswith(_CLOSE, stop)
        return replace(block, stop=stop + len(_CLOSE)) if is_closed else block

    def _functions(self, at: int, *, several: bool = True) -> Block:
        if self._tagged is None:
            self._tagged = TaggedCalls(self._text, self._schemas)
        return self._tagged.read(at, several=several)

    def _take(self, block: Block, *notes: str) -> None:
        self._calls += block.calls
        names = ", ".join(dict.fromkeys(call.name for call in block.calls))
        if found := "; ".join((*block.notes, *notes)):
            self._warnings[f"a call of {names[:_NUM_SHOWN]}: {found}"] = None

    def _note_unread(self, call: UnreadCall) -> None:
        self._unread.append(call)
        self._warnings[described(call)] = None

    def _say_until(self, stop: int, begin: int) -> None:
        """Keep the text before a call as said; the next text begins after the call."""
        self._said.append(self._text[self._begin : stop])
        self._begin = begin

    def _after_space(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        return at if found is None else found.end()


def described(call: UnreadCall) -> str:
    """The warning about a call that could not be read."""
    shown = call.text if len(call.text) <= _NUM_SHOWN else f"{call.text[:_NUM_SHOWN]}..."
    what = "a call is" if call.is_marked else "what may be a call is"
    return f"{what} not understood, as {call.reason}: {shown!r}"
