"""Tool calls in tags: `<function=NAME><parameter=KEY>value</parameter></function>`.

This is the form of Qwen3.5. Source: its chat template.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from qwenvl_kit.tools.arguments import Parameters
from qwenvl_kit.tools.literals import UnreadError, read_literal
from qwenvl_kit.tools.raw_calls import Block, WrittenCall
from qwenvl_kit.tools.tags import Tag, Tags

_NO_TAG = re.compile(
    r"^[ \t]*<parameter\b(?!=[ \t]*[^<>\s]+[ \t]*>)|</parameter(?!>)", re.MULTILINE
)
"""Text that was meant to be a tag, but is none."""


class TaggedCalls:
    """Reads the calls of one answer.

    Args:
        text: the answer.
        schemas: the JSON schema of each tool's parameters.
    """

    def __init__(self, text: str, schemas: Mapping[str, Mapping[str, Any]]) -> None:
        self._text = text
        self._schemas = schemas
        self._tags = Tags(text)

    def read(self, at: int, *, several: bool = True) -> Block:
        """Read the calls that begin with `<function=` at a position, one after another.

        Args:
            at: the position.
            several: False to read only the first call.

        Raises:
            UnreadError: one of them cannot be read; then none of them must be made.
        """
        calls: list[WrittenCall] = []
        notes: dict[str, None] = {}
        while (tag := self._next(at)) is not None and tag.kind == "function":
            function = _Function(self._text, self._tags, tag, self._schemas.get(tag.name, {}))
            at = function.read()
            calls.append(WrittenCall(tag.name, function.arguments))
            notes |= function.notes
            if not several:
                break
        return Block(tuple(calls), at, tuple(notes))

    def _next(self, at: int) -> Tag | None:
        """The next tag, if there is only white space before it."""
        tag = self._tags.after(at)
        return None if tag is None or self._text[at : tag.start].strip() else tag


class _Function:
    """Reads one function call."""

    def __init__(self, text: str, tags: Tags, tag: Tag, schema: Mapping[str, Any]) -> None:
        self._text = text
        self._tags = tags
        self._at = tag.stop
        self._parameters = Parameters(schema)
        self.arguments: dict[str, Any] = {}
        self.notes: dict[str, None] = {}

    def read(self) -> int:
        """Read the call, and return the position after it."""
        while True:
            tag = self._tags.after(self._at)
            before = self._text[self._at : None if tag is None else tag.start].strip()
            if before.startswith("{") and not self.arguments:
                self._read_object()
                continue
            if tag is None:
                raise UnreadError("it is cut off", len(self._text), is_cut=True)
            if before:
                raise UnreadError(f"{before[:60]!r} stands outside its parameters", tag.start)
            if tag.kind == "/function":
                return tag.stop
            if tag.kind == "/tool_call" and self.arguments:
                self.notes["</function> was missing"] = None
                return tag.start
            if tag.kind != "parameter":
                raise UnreadError(f"{self._shown(tag)} stands in place of </function>", tag.start)
            self._read_parameter(tag)

    def _read_object(self) -> None:
        """Read arguments that are written as a JSON object."""
        begin = self._text.index("{", self._at)
        found = read_literal(self._text, begin, ("</function>",))
        if not isinstance(found.value, dict) or not found.value:
            raise UnreadError("it has no parameters", begin)
        for name, value in found.value.items():
            self._add(name, self._parameters.converted(name, value))
        self.notes |= dict.fromkeys(found.notes)
        self._at = found.stop

    def _read_parameter(self, tag: Tag) -> None:
        if tag.name in self.arguments:
            raise UnreadError(f"it has {tag.name!r} twice", tag.start)
        others = self._parameters.properties.keys() - self.arguments.keys() - {tag.name}
        end = self._tags.end_of_value(tag, others)
        text = _without_own_lines(self._text[tag.stop : end.start])
        if _NO_TAG.search(text) or not (end.is_closed or _ends_cleanly(text, tag.name)):
            raise UnreadError(
                f"its {tag.name!r} ends with another tag than </parameter>", end.start
            )
        if self._text.startswith("</tool_call>", end.stop):
            raise UnreadError(f"its {tag.name!r} does not end", end.stop)
        if not end.is_closed:
            self.notes[f"</parameter> was missing after {tag.name!r}"] = None
        value, is_wanted = self._parameters.read(tag.name, text)
        if not is_wanted:
            self.notes[f"its {tag.name!r} is not of the kind that the tool takes"] = None
        self._add(tag.name, value)
        self._at = end.stop

    def _add(self, name: str, value: Any) -> None:
        self.arguments[name] = value
        if self._parameters.is_unknown(name):
            self.notes[f"the tool has no parameter {name!r}"] = None

    def _shown(self, tag: Tag) -> str:
        return self._text[tag.start : tag.stop][:60]


def _ends_cleanly(text: str, name: str) -> bool:
    """True if a value without closing tag holds no text that may have been meant as one."""
    return "</parameter" not in text and not text.rstrip().endswith(f"</{name}>")


def _without_own_lines(text: str) -> str:
    """The value without the line breaks that the template puts around it."""
    for end in ("\r\n", "\n"):
        if text.startswith(end):
            text = text[len(end) :]
            break
    return text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")
