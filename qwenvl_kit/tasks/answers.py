"""What the results of all tasks share."""

from __future__ import annotations

from dataclasses import dataclass

from qwenvl_kit.results import Reply


@dataclass(frozen=True)
class Answer:
    """The answer to a task. `str(answer)` is its text.

    Attributes:
        reply: the whole reply: tokens, usage, timing and plan.
    """

    reply: Reply

    def __str__(self) -> str:
        return self.text

    @property
    def text(self) -> str:
        """The answer, without white space around it."""
        return self.reply.text.strip()

    @property
    def confidence(self) -> float | None:
        """How sure the model was, in [0, 1]; see `Reply.confidence`."""
        return self.reply.confidence
