"""What a model thinks before it answers: switched on or off, and told apart from the answer."""

from __future__ import annotations

from dataclasses import dataclass

OPEN, CLOSE = "<think>", "</think>"


@dataclass(frozen=True)
class ThinkingSwitch:
    """Whether the model is to think first: part of a system message."""

    is_on: bool


@dataclass(frozen=True)
class Thoughts:
    """What a model wrote, told apart.

    Attributes:
        thinking: what it thought; None if nothing.
        answer: what it says.
        is_closed: whether the thoughts came to an end; if not, there is no answer.
    """

    thinking: str | None
    answer: str
    is_closed: bool = True


def opens_thought(prompt: str) -> bool:
    """Whether a rendered prompt ends within the model's thoughts, which it has opened."""
    return prompt.rstrip().endswith(OPEN)


def split_thoughts(text: str, *, begins_inside: bool = False) -> Thoughts:
    """Thoughts and answer.

    A text whose thoughts nothing opened has none: `</think>` in it is something that it says.

    Args:
        text: all that the model wrote.
        begins_inside: whether its prompt had opened the thoughts already, as those of checkpoints
            that always think do.
    """
    if not begins_inside and not text.lstrip().startswith(OPEN):
        return Thoughts(None, text)
    before, mark, after = text.partition(CLOSE)
    thinking = before.lstrip().removeprefix(OPEN).strip() or None
    return Thoughts(thinking, after.lstrip("\n"), is_closed=bool(mark))
