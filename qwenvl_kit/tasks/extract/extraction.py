"""The typed value that was read from a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from qwenvl_kit.display.blocks import bar, facts, folded, table
from qwenvl_kit.display.pictures import strip
from qwenvl_kit.display.replies import pictures_of, reply_blocks
from qwenvl_kit.display.styles import framed
from qwenvl_kit.display.text import percent, short_repr
from qwenvl_kit.results import Reply
from qwenvl_kit.structured_output.partial_json import PartialJson

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Extraction(Generic[_Value]):
    """A typed value that was read from a picture.

    Attributes:
        value: the value, of the type that was asked for.
        confidences: the probability of each value inside, by its path, such as `items[0].name`:
            that of all its tokens together, given what stands before it; None without scores.
        reply: the whole reply.
    """

    value: _Value
    confidences: Mapping[str, float | None]
    reply: Reply

    @property
    def confidence(self) -> float | None:
        """The lowest of the confidences; None without scores, or if there is no value inside."""
        known = [sure for sure in self.confidences.values() if sure is not None]
        return min(known, default=None)

    def __repr__(self) -> str:
        return short_repr(
            "Extraction",
            self.value,
            confidence=self.confidence,
            tokens=self.reply.usage.completion_tokens,
            seconds=float(self.reply.timing.total),
        )

    def _repr_html_(self) -> str:
        """Return the fields, with the place of each in the answer, which is folded below."""
        text, leaves = self.reply.text, PartialJson(self.reply.text).leaves
        written = [_written(text[leaf.start : leaf.stop]) for leaf in leaves]
        rows = [
            (name, words, bar(sure), f"{leaf.start}-{leaf.start + len(words)}")
            for (name, sure), leaf, words in zip(self.confidences.items(), leaves, written)
        ]
        headings = ("field", "value", "confidence", "characters of the answer")
        lowest = percent(self.confidence)
        return framed(
            strip(pictures_of(self.reply.plan)),
            table(headings, rows),
            facts(f"lowest confidence {lowest}" if lowest else ""),
            folded("the answer", reply_blocks(self.reply)),
        )


def _written(words: str) -> str:
    """A value of JSON without the mark that ended it, if there is one."""
    return words.rstrip().removesuffix(",").rstrip("]}").rstrip()
