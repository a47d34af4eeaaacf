"""The escaping of special tokens in text that a server tokenises.

A server reads `<|im_end|>` in a user's text as the end of a turn, and its API has no way to mark it
as plain text. An invisible character within it prevents that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from qwenvl_kit.messages.message import Message, Part, TextPart
from qwenvl_kit.messages.thinking_parts import ThinkingPart
from qwenvl_kit.messages.tool_parts import ToolCall, ToolOffer
from qwenvl_kit.prompts.template_input import replace_untrusted
from qwenvl_kit.prompts.tool_template import hidden, text_of

BREAK = "\u200b"
"""The invisible character: ZERO WIDTH SPACE."""

_KNOWN = r"<\|[a-z_]{2,40}\|>|</?(?:think|tool_call|tool_response|tool_result)>"
"""The form of all special and added tokens of Qwen's tokenizers."""


class TokenEscaper:
    """An escaper of special tokens in text that comes from users, documents or tools.

    Args:
        special_tokens: the special tokens of the model; if they are not known, all text that has
            the form of Qwen's special tokens is escaped.
    """

    def __init__(self, special_tokens: Sequence[str] = ()) -> None:
        longest_first = sorted(filter(None, special_tokens), key=len, reverse=True)
        known = [re.escape(token) for token in longest_first if len(token) > 1]
        self._special = re.compile("|".join([*known, _KNOWN]))

    def degradations(self, messages: Sequence[Message]) -> tuple[str, ...]:
        """The escaping of a conversation's special tokens, in words; empty if it has none."""
        count = sum(len(self._special.findall(text_of(message))) for message in messages)
        parts = [part for message in messages for part in message.parts]
        trusted = [part.text for part in parts if isinstance(part, TextPart) and part.trusted]
        count -= sum(len(self._special.findall(text)) for text in trusted)
        if not count:
            return ()
        what = "a special token" if count == 1 else f"{count} special tokens"
        return (f"{what} in the text broken up by an invisible character, as servers obey them",)

    def escaped(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """Return the conversation with special tokens escaped, and neighbouring texts joined."""
        return tuple(replace(message, parts=self._parts(message)) for message in messages)

    def text(self, text: str) -> str:
        """Return a text with special tokens escaped."""
        return self._special.sub(_escaped, text)

    def _parts(self, message: Message) -> tuple[Part, ...]:
        parts: list[Part] = []
        # A prompt has calls and thoughts in other places: texts around them are neighbours there.
        beside = (ToolCall, ThinkingPart)
        said = (part for part in message.parts if not isinstance(part, beside))
        for is_text, run in groupby(said, key=lambda part: isinstance(part, TextPart)):
            if is_text:
                texts = [part for part in run if isinstance(part, TextPart)]
                text = replace_untrusted(self._special, _escaped, texts)
                parts.append(TextPart(text, trusted=any(part.trusted for part in texts)))
            else:
                parts += map(self._other, run)
        parts += (self._other(part) for part in message.parts if isinstance(part, beside))
        return tuple(parts)

    def _other(self, part: Part) -> Part:
        if isinstance(part, ToolCall):
            return ToolCall(self.text(part.name), hidden(part.arguments, self.text), part.id)
        if isinstance(part, ToolOffer):
            return ToolOffer(tuple(map(self.text, part.tools)))
        if isinstance(part, ThinkingPart):
            return ThinkingPart(self.text(part.text))
        return part


def _escaped(found: re.Match[str]) -> str:
    return found[0][0] + BREAK + found[0][1:]
