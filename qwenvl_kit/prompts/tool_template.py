"""Tools in a chat template: tools, calls and results as it takes them, or written out as text.

Special tokens in texts of a user, a tool or the model are hidden (see `template_input`), so that
neither a description nor a result can forge a call.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, TypeAlias

from qwenvl_kit.messages.message import Message, TextPart, VideoPart
from qwenvl_kit.messages.subtitles import Subtitle
from qwenvl_kit.messages.thinking import ThinkingSwitch
from qwenvl_kit.messages.thinking_parts import ThinkingPart
from qwenvl_kit.messages.tool_parts import ToolCall, ToolOffer

Turn: TypeAlias = dict[str, Any]
Hide: TypeAlias = Callable[[str], str]

DEFAULT_SYSTEM = "You are a helpful assistant."
"""The system message that the templates of Qwen2-VL and Qwen2.5-VL write if none is given."""

TOOLS = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{tools}
</tools>

For each function call, return a json object with function name and arguments within \
<tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""
"""The text of Qwen3-VL's chat template, which is that of Qwen2.5's text models."""


def offered_tools(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The tools that a conversation offers, in the form of OpenAI's API."""
    return [
        json.loads(tool)
        for message in messages
        for part in message.parts
        if isinstance(part, ToolOffer)
        for tool in part.tools
    ]


def hidden(value: Any, hide: Hide) -> Any:
    """A value of JSON with special tokens hidden in all of its texts."""
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, Mapping):
        return {hide(str(key)): hidden(item, hide) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [hidden(item, hide) for item in value]
    return value


def calls_of(message: Message, hide: Hide) -> list[dict[str, Any]]:
    """The calls of an assistant's message as chat templates take them."""
    return [
        {
            "type": "function",
            "function": {"name": hide(part.name), "arguments": hidden(part.arguments, hide)},
        }
        for part in message.parts
        if isinstance(part, ToolCall)
    ]


def thoughts_of(message: Message, hide: Hide) -> str:
    """The thoughts of an assistant's message, as chat templates take them."""
    thoughts = (part.text for part in message.parts if isinstance(part, ThinkingPart))
    return hide("\n".join(thoughts))


def write_out(turns: Sequence[Turn], tools: Sequence[Any]) -> list[Turn]:
    """Write tools, calls and results as text, for templates that do not know them.

    Args:
        turns: the turns as a template takes them, with special tokens hidden.
        tools: the offered tools, likewise.
    """
    written = [_with_calls(turn) for turn in turns]
    if tools:
        written = _with_tools(written, tools)
    return list(_with_results(written))


def _with_tools(turns: list[Turn], tools: Sequence[Any]) -> list[Turn]:
    described = TOOLS.format(
        tools="\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
    )
    has_system = bool(turns) and turns[0]["role"] == "system"
    before = turns[0]["content"] if has_system else []
    text = "".join(item["text"] for item in before) or DEFAULT_SYSTEM
    system = {"role": "system", "content": [_text(f"{text}\n\n{described}")]}
    return [system, *turns[has_system:]]


def _with_calls(turn: Turn) -> Turn:
    calls = turn.get("tool_calls", ())
    if not calls:
        return turn
    written = "\n".join(
        f"<tool_call>\n{json.dumps(call['function'], ensure_ascii=False)}\n</tool_call>"
        for call in calls
    )
    before = "\n" if turn["content"] else ""
    others = {key: value for key, value in turn.items() if key != "tool_calls"}
    return {**others, "content": [*turn["content"], _text(before + written)]}


def _with_results(turns: Sequence[Turn]) -> Iterator[Turn]:
    """The turns with results that follow each other joined into one turn of the user."""
    for is_result, run in groupby(turns, key=lambda turn: turn["role"] == "tool"):
        if not is_result:
            yield from run
            continue
        content: list[dict[str, str]] = []
        for turn in run:
            before = "\n<tool_response>\n" if content else "<tool_response>\n"
            content += [_text(before), *turn["content"], _text("\n</tool_response>")]
        yield {"role": "user", "content": content}


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def asked_thinking(messages: Sequence[Message]) -> bool | None:
    """True or False if a conversation switches thinking; None if it does not say."""
    switches = (
        part.is_on
        for message in messages
        for part in message.parts
        if isinstance(part, ThinkingSwitch)
    )
    return next(switches, None)


def without_offers(message: Message) -> Message | None:
    """The message without its offers of tools and its thinking switch; None if nothing is left."""
    switches = (ToolOffer, ThinkingSwitch)
    parts = tuple(part for part in message.parts if not isinstance(part, switches))
    if len(parts) == len(message.parts):
        return message
    return Message(message.role, parts) if parts else None


def text_of(message: Message) -> str:
    """All text of a message, of calls, thoughts and subtitles too, to search for characters."""
    said = (part.text for part in message.parts if isinstance(part, (TextPart, ThinkingPart)))
    called = (
        part.name + json.dumps(dict(part.arguments), ensure_ascii=False)
        for part in message.parts
        if isinstance(part, ToolCall)
    )
    # Parsed and written again, because characters that are escaped there are not in a prompt.
    offered = (json.dumps(tool, ensure_ascii=False) for tool in offered_tools([message]))
    heard = (line.words for part in message.parts for line in lines_of(part))
    return "".join((*said, *called, *offered, *heard))


def lines_of(part: object) -> tuple[Subtitle, ...]:
    """The subtitles of a film that stand between its frames; empty for other parts."""
    lines = part.subtitles if isinstance(part, VideoPart) else None
    return lines if isinstance(lines, tuple) else ()
