"""Answers as the tokens that a model would write after a prompt."""

from __future__ import annotations

from typing import Any

from qwenvl_kit.errors import CheckpointError, TrainingDataError
from qwenvl_kit.families import PLACE_MARKS
from qwenvl_kit.messages.message import Message
from qwenvl_kit.messages.thinking import CLOSE, OPEN, split_thoughts
from qwenvl_kit.messages.thinking_parts import ThinkingPart
from qwenvl_kit.messages.tool_parts import ToolCall

TURN_END = "<|im_end|>"

WRITTEN_MARKS = (*PLACE_MARKS, OPEN, CLOSE, "<tool_call>", "</tool_call>")
"""The special tokens that models write themselves within an answer. Tokens of turns and of pictures
are not among them: a text of training data must not forge those."""


class AnswerEncoder:
    """Encodes answers as a model writes them: apart from their prompt, with a token at the end.

    Prompt and answer are not encoded as one text: with the published vocabulary the line end after
    the header and one that begins the answer would be a single token, which a model never sees.

    Args:
        prompts: the prompt encoder of the checkpoint.
        tokenizer: the checkpoint's tokenizer of transformers.
        end_ids: the tokens that end an answer.

    Raises:
        CheckpointError: the end of a turn is not among the tokens that end an answer.
    """

    def __init__(self, prompts: Any, tokenizer: Any, end_ids: frozenset[int]) -> None:
        self._prompts = prompts
        self._tokenizer = tokenizer
        self.end_id = prompts.token_id(TURN_END)
        if self.end_id not in end_ids:
            raise CheckpointError(
                f"{TURN_END} is not among the tokens that end an answer of the checkpoint",
                expected="a checkpoint whose answers end with it, as all published ones",
                hint="eos_token_id in generation_config.json",
            )

    def encode(self, answer: Message, prompt: Any) -> list[int]:
        """Return the tokens of an answer, and the one that ends it.

        Args:
            answer: the assistant's message, its places written.
            prompt: the encoded prompt that it follows.

        Raises:
            TrainingDataError: it has thoughts after a prompt that does not think, or none after one
                that does.
        """
        text = self.text_of(answer, prompt)
        return [*self._prompts.encode_answer(text, marks=WRITTEN_MARKS), self.end_id]

    def text_of(self, answer: Message, prompt: Any) -> str:
        """The text that the model writes after a prompt; see `encode`."""
        thoughts, said = _thoughts_of(answer)
        calls = ""
        if any(isinstance(part, ToolCall) for part in answer.parts):
            calls = self._prompts.render_calls(answer)
            said = said.rstrip() if said.strip() else ""
        return self._opening(thoughts, prompt) + said + calls

    def _opening(self, thoughts: str | None, prompt: Any) -> str:
        """The thoughts, with the tags that the prompt does not hold already."""
        if prompt.opens_thought:
            if thoughts is None:
                raise TrainingDataError(
                    "the prompt opens the model's thoughts, and the answer has none",
                    expected=f"an answer that begins with its thoughts and {CLOSE}",
                    hint="thinking=False, where the checkpoint can be switched; or "
                    f"{OPEN}{CLOSE} before the answer, for empty thoughts",
                )
            return f"{thoughts}\n{CLOSE}\n\n"
        if thoughts is None:
            return ""
        header = self._tokenizer.decode(prompt.ids[prompt.turn_start :])
        if CLOSE in header:
            raise TrainingDataError(
                "the answer has thoughts, and the prompt tells the model not to think",
                expected="thinking=True, with which chat.ask would be asked, too",
                hint="read_examples(..., thinking=True) or Example(..., thinking=True)",
            )
        return f"{OPEN}\n{thoughts}\n{CLOSE}\n\n"


def _thoughts_of(answer: Message) -> tuple[str | None, str]:
    """The thoughts of an answer, None if it has none, and its text without them."""
    parts = [part.text for part in answer.parts if isinstance(part, ThinkingPart)]
    if parts:
        return "\n".join(parts), answer.text
    if not answer.text.lstrip().startswith(OPEN) or CLOSE not in answer.text:
        return None, answer.text
    found = split_thoughts(answer.text)
    return found.thinking or "", found.answer
