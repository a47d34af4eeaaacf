"""Thinking: the text that a model writes in `<think>` tags before its answer."""

from __future__ import annotations

from dataclasses import dataclass

OPEN, CLOSE = "<think>", "</think>"


@dataclass(frozen=True)
class ThinkingSwitch:
    """A switch that turns thinking on or off: part of a system message."""

    is_on: bool


@dataclass(frozen=True)
class Thoughts:
    """The output of a model, split into thoughts and answer.

    Attributes:
        thinking: the thoughts; None if there are none.
        answer: the answer.
        is_closed: True if the thoughts have ended; if not, the answer is empty.
    """

    thinking: str | None
    answer: str
    is_closed: bool = True


def opens_thought(prompt: str) -> bool:
    """True if a rendered prompt ends with an opened `<think>` tag, so that thoughts come first."""
    return prompt.rstrip().endswith(OPEN)


def split_thoughts(text: str, *, begins_inside: bool = False) -> Thoughts:
    """Split the output of a model into thoughts and answer.

    If neither the text nor its prompt opens a `<think>` tag, there are no thoughts, and a
    `</think>` in the text is part of the answer.

    Args:
        text: the whole output.
        begins_inside: True if the prompt has opened the tag already, as the prompts of checkpoints
            that always think do.
    """
    if not begins_inside and not text.lstrip().startswith(OPEN):
        return Thoughts(None, text)
    before, mark, after = text.partition(CLOSE)
    thinking = before.lstrip().removeprefix(OPEN).strip() or None
    return Thoughts(thinking, after.lstrip("\n"), is_closed=bool(mark))
