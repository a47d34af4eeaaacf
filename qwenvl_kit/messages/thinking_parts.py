"""Thoughts of the model from an earlier turn, as a part of a message."""

from __future__ import annotations

from dataclasses import dataclass

from qwenvl_kit.errors import MessageError


@dataclass(frozen=True)
class ThinkingPart:
    """The thoughts before an answer or a tool call: part of an assistant message.

    The chat template receives them as `reasoning_content`. The template of Qwen3.5 renders only
    the thoughts that follow the last question, because a model that calls tools needs its plan.
    Templates of models that do not think render none.

    Attributes:
        text: the thoughts, without the `<think>` tags.

    Raises:
        MessageError: `text` is not a string, or cannot be encoded as UTF-8.
    """

    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise MessageError(
                f"thoughts of type {type(self.text).__name__} were given", expected="a string"
            )
        try:
            self.text.encode()
        except UnicodeEncodeError as error:  # half of a surrogate pair, which no tokenizer takes
            raise MessageError(
                f"the thoughts hold {self.text[error.start]!r} at position {error.start}",
                expected="text that can be encoded as UTF-8",
            ) from error
