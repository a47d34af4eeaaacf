"""The order of messages in a conversation: the rules that all chat templates agree on."""

from __future__ import annotations

from collections.abc import Sequence

from qwenvl_kit.errors import MessageError
from qwenvl_kit.messages.message import Message, TextPart


def check_conversation(messages: Sequence[Message]) -> None:
    """Raise an error if no chat template can render the conversation.

    A system message after other messages is left to the chat template: those of Qwen2-VL,
    Qwen2.5-VL and Qwen3-VL accept it, that of Qwen3.5 does not.

    Raises:
        MessageError: there are no messages, the last is a system message, or the last is an
            assistant message that does not end with text to continue.
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
            hint="put the instructions into the first message, or into the user message",
            where=where,
        )
    if last.role == "assistant" and not isinstance(last.parts[-1], TextPart):
        raise MessageError(
            "the last message is an assistant message that does not end with text",
            expected="the results of its tool calls, as Message.tool(...), or text to continue",
            where=where,
        )


def is_continued(messages: Sequence[Message]) -> bool:
    """True if the model continues the last message, an assistant's, in place of answering it."""
    return messages[-1].role == "assistant"


def has_late_instructions(roles: Sequence[str]) -> bool:
    """True if a system message stands after other messages."""
    return "system" in roles[1:]
