"""The order of the messages of a conversation, as far as every chat template agrees on it."""

from __future__ import annotations

from collections.abc import Sequence

from qwenvl_kit.errors import MessageError
from qwenvl_kit.messages.message import Message, TextPart


def check_conversation(messages: Sequence[Message]) -> None:
    """Refuse a conversation that no chat template can render an answer to.

    A system message that stands after others is for the template to judge: those of Qwen2-VL,
    Qwen2.5-VL and Qwen3-VL take it, that of Qwen3.5 does not.

    Raises:
        MessageError: no messages, no turn to answer, or none that can go on.
    """
    if not messages:
        raise MessageError(
            "the list of messages is empty", expected="at least one user message", where="messages"
        )
    last, where = messages[-1], f"messages[{len(messages) - 1}]"
    if last.role == "system":
        raise MessageError(
            "the last message has role 'system'",
            expected="a user message, which the model answers",
            hint="the instructions in the first message, or in the user's",
            where=where,
        )
    if last.role == "assistant" and not isinstance(last.parts[-1], TextPart):
        raise MessageError(
            "the last message is an assistant's that does not end with text",
            expected="what its calls gave, as Message.tool(...), or text that goes on",
            where=where,
        )


def is_continued(messages: Sequence[Message]) -> bool:
    """Whether the model goes on with the last message in place of answering it."""
    return messages[-1].role == "assistant"


def has_late_instructions(roles: Sequence[str]) -> bool:
    """Whether a system message stands after others."""
    return "system" in roles[1:]
