"""The builder of tool calls that a server sends separately from the text, piece by piece."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qwenvl_kit.errors import ServerAnswerError

_MOST_CALLS = 1024


@dataclass
class _Call:
    """A tool call, as far as it was received.

    Attributes:
        index: its index among the calls of the answer; None if the server gives none.
        id: the server's id of the call; empty if it gives none.
        function: the name of the tool.
        arguments: the arguments as JSON, as far as they were received.
    """

    index: int | None
    id: str
    function: str = ""
    arguments: str = ""


class ToolCallBuilder:
    """A builder of tool calls. Most pieces say to which call they belong."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    def add(self, pieces: Sequence[Mapping[str, Any]]) -> int:
        """Add the pieces of a chunk, and return their number of characters.

        Raises:
            ServerAnswerError: there are too many calls.
        """
        num_characters = 0
        for piece in pieces:
            call, function = self._call_of(piece), piece.get("function") or {}
            name, arguments = function.get("name") or "", function.get("arguments") or ""
            call.function += name
            call.arguments += arguments
            num_characters += len(name) + len(arguments)
        return num_characters

    def written(self) -> str:
        """All calls in the form in which Qwen's models write them, so that one parser reads all."""
        return "".join(map(_written, self._calls))

    def _call_of(self, piece: Mapping[str, Any]) -> _Call:
        """Return the call that a piece belongs to.

        Some servers give all calls the same index, or none. Some send the id of a call with its
        first piece, some with each. A piece with neither begins a call if it names a tool.
        """
        given, call_id = piece.get("index"), piece.get("id") or ""
        index = given if type(given) is int else None
        same = [call for call in self._calls if index is None or call.index == index]
        if call_id:
            same = [call for call in same if call.id in ("", call_id)]
        begins = index is None and not call_id and bool((piece.get("function") or {}).get("name"))
        if begins or not same:
            return self._begin(index, call_id)
        same[-1].id = same[-1].id or call_id
        return same[-1]

    def _begin(self, index: int | None, call_id: str) -> _Call:
        if len(self._calls) >= _MOST_CALLS:
            raise ServerAnswerError(
                f"the server sends more than {_MOST_CALLS} tool calls in one answer",
                expected="calls that a model has written",
            )
        self._calls.append(_Call(index, call_id))
        return self._calls[-1]


def _written(call: _Call) -> str:
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = call.arguments
    content = {"name": call.function, "arguments": arguments}
    return f"\n<tool_call>\n{json.dumps(content, ensure_ascii=False)}\n</tool_call>"
