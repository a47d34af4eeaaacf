"""What a model thought in an earlier turn, as part of a message."""

from __future__ import annotations

from dataclasses import dataclass

from qwenvl_kit.errors import MessageError


@dataclass(frozen=True)
class ThinkingPart:
    """Thoughts that came before an answer or a call: part of an assistant's message.

    A chat template is given them as `reasoning_content`. That of Qwen3.5 shows those of turns that
    follow the last question, as a model that calls tools must know its plan, and leaves out earlier
    ones; templates of models that do not think show none.

    Attributes:
        text: what was thought, without `<think>` around it.

    Raises:
        MessageError: it is no text, or none that can be encoded.
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
