"""The order of tool results: dicts name the call of a result by an id, messages by their order.

OpenAI's API takes the results of one turn in any order, as each names its call by `tool_call_id`.
Chat templates show results without ids, in the order in which they stand. So results are put into
the order of the calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qwenvl_kit.errors import MessageError
from qwenvl_kit.formats.keys import shown
from qwenvl_kit.messages.message import Message
from qwenvl_kit.messages.tool_parts import ToolCall


def results_in_order(given: Sequence[Any], messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages, with the results of each turn in the order of its calls.

    Args:
        given: the dict or message from which each message was read.
        messages: the messages that were read.

    Raises:
        MessageError: a result belongs to no call, two results belong to one call, or a call has no
            result although a later one has; the error says where.
    """
    ordered, calls = list(messages), list[ToolCall]()
    index = 0
    while index < len(messages):
        stop = _end_of_turn(messages, index)
        if messages[index].role == "assistant":
            turn = messages[index:stop]
            calls = [part for said in turn for part in said.parts if isinstance(part, ToolCall)]
        elif messages[index].role == "tool":
            places = _places(given[index:stop], calls, index)
            by_place = sorted(range(index, stop), key=lambda at: places[at - index])
            ordered[index:stop] = [messages[at] for at in by_place]
            calls = calls[stop - index :]
        index = stop
    return tuple(ordered)


def _end_of_turn(messages: Sequence[Message], begin: int) -> int:
    """The position after all messages of one role that follow each other."""
    stop = begin + 1
    while stop < len(messages) and messages[stop].role == messages[begin].role:
        stop += 1
    return stop


def _places(results: Sequence[Any], calls: Sequence[ToolCall], begin: int) -> list[int]:
    """The index of the call of each result; results without id take the calls that are left."""
    free = list(range(len(calls)))
    named = {
        at: _take(free, calls, _of_call(result), f"messages[{begin + at}]")
        for at, result in enumerate(results)
        if _of_call(result) is not None and any(call.id is not None for call in calls)
    }
    for at, result in enumerate(results):
        name = result.get("name") if isinstance(result, Mapping) else None
        likely = [place for place in free if name is not None and calls[place].name == name]
        if at not in named and likely:
            named[at] = likely[0]
            free.remove(likely[0])
    free += range(len(calls), len(calls) + len(results))
    places = [named[at] if at in named else free.pop(0) for at in range(len(results))]
    for at, place in enumerate(sorted(places)):
        if place != at and at < len(calls):
            raise MessageError(
                f"the call {shown(calls[at].id or calls[at].name)} has no result",
                expected="a result of each call before one that has a result",
                where=f"messages[{begin}]",
            )
    return places


def _of_call(result: Any) -> str | None:
    found = result.get("tool_call_id") if isinstance(result, Mapping) else None
    return None if found is None else str(found)


def _take(free: list[int], calls: Sequence[ToolCall], call_id: str | None, where: str) -> int:
    """The first call with this id that has no result yet."""
    known = [call.id for call in calls if call.id is not None]
    for place in free:
        if calls[place].id == call_id:
            free.remove(place)
            return place
    raise MessageError(
        f"a result of the call {shown(call_id)} was given"
        + (", which has one already" if call_id in known else ""),
        expected=f"the id of a call: {', '.join(map(shown, known))}",
        where=where,
    )
