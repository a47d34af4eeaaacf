"""Thoughts from and to the dicts of messages.

OpenAI's own API has no key for them. Qwen's chat templates, SGLang, llama.cpp and DashScope use
`reasoning_content`; vLLM and OpenRouter use `reasoning`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qwenvl_kit.errors import MessageError
from qwenvl_kit.messages.message import Message
from qwenvl_kit.messages.thinking_parts import ThinkingPart

THINKING_KEYS = ("reasoning_content", "reasoning")
"""The keys of an assistant's message dict that hold its thoughts."""


def parse_thinking(message: Mapping[str, Any]) -> tuple[ThinkingPart, ...]:
    """The thoughts of a message; none if the keys are empty.

    Raises:
        MessageError: they are no text, or the two keys hold different thoughts.
    """
    given = {key: message[key] for key in THINKING_KEYS if message.get(key) not in (None, "", [])}
    for key, value in given.items():
        if not isinstance(value, str):
            raise MessageError(
                f"{key} of type {type(value).__name__} was given", expected="a string", where=key
            )
    if len(set(given.values())) > 1:
        raise MessageError(
            "reasoning_content and reasoning were given and differ", expected="one of them"
        )
    return tuple(ThinkingPart(text) for text in set(given.values()))


def thinking_to_dict(message: Message) -> dict[str, str]:
    """The key and value for the thoughts of a message; empty if it has none."""
    thoughts = [part.text for part in message.parts if isinstance(part, ThinkingPart)]
    return {"reasoning_content": "\n".join(thoughts)} if thoughts else {}
