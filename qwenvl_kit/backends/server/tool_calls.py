"""Calls of tools that a server has told apart from the text, put together of their pieces."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qwenvl_kit.errors import ServerAnswerError

_MOST_CALLS = 1024


@dataclass
class _Call:
    """A call, as far as it is known.

    Attributes:
        place: among the calls of the answer, as the server counts; None where it does not.
        name_of_call: by which the server knows it; empty where it has none.
        function: the name of the tool.
        arguments: as JSON, as far as they have come.
    """

    place: int | None
    name_of_call: str
    function: str = ""
    arguments: str = ""


class ToolCallBuilder:
    """Collects calls, whose pieces say to which of them they belong: most of them."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    def add(self, pieces: Sequence[Mapping[str, Any]]) -> int:
        """Add the pieces of a chunk; how many characters they have.

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
        """All of them as Qwen's models write calls, so that they are read like any other."""
        return "".join(map(_written, self._calls))

    def _call_of(self, piece: Mapping[str, Any]) -> _Call:
        """The call that a piece belongs to.

        Some servers number all calls alike, or do not number them; some tell the name of a call in
        its first piece, some in each. A piece that says nothing of that begins a call if it names
        a tool.
        """
        index, name = piece.get("index"), piece.get("id") or ""
        place = index if type(index) is int else None
        same = [call for call in self._calls if place is None or call.place == place]
        if name:
            same = [call for call in same if call.name_of_call in ("", name)]
        begins = place is None and not name and bool((piece.get("function") or {}).get("name"))
        if begins or not same:
            return self._begin(place, name)
        same[-1].name_of_call = same[-1].name_of_call or name
        return same[-1]

    def _begin(self, place: int | None, name: str) -> _Call:
        if len(self._calls) >= _MOST_CALLS:
            raise ServerAnswerError(
                f"the server tells of more than {_MOST_CALLS} calls in one answer",
                expected="calls that a model has written",
            )
        self._calls.append(_Call(place, name))
        return self._calls[-1]


def _written(call: _Call) -> str:
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = call.arguments
    content = {"name": call.function, "arguments": arguments}
    return f"\n<tool_call>\n{json.dumps(content, ensure_ascii=False)}\n</tool_call>"
