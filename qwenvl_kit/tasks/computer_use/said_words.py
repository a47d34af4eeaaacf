"""The words of an answer beside its call: `Thought: ...` and `Action: ...`, or just words."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LABEL = re.compile(
    r"^[ \t]{0,8}(?:\d[.)][ \t]{0,8})?\*{0,2}(Thought|Action|思考|想法|动作|操作)[ \t]{0,8}\*{0,2}"
    r"[ \t]{0,8}[:：]\*{0,2}",
    re.IGNORECASE | re.MULTILINE,
)
_TAG = re.compile(r"</?(?:thinking|thought|reason)>", re.IGNORECASE)
"""The tags that models built on Qwen put around their thoughts (MAI-UI)."""

_THOUGHTS = ("thought", "思考", "想法")
_QUOTES = (('"', '"'), ("“", "”"), ("'", "'"), ("「", "」"))


@dataclass(frozen=True)
class SaidWords:
    """The words of an answer.

    Attributes:
        thought: the reason that it gives; empty if it gives none.
        action: the action in words; all words of an answer without labels.
    """

    thought: str
    action: str


def read_words(text: str) -> SaidWords:
    """Return thought and action of an answer without its call (cookbook `mobile_agent.ipynb`).

    What stands before the first label, or in tags of thoughts, belongs to the thought. A label that
    comes again begins a new line of the same part.
    """
    tags = [*_TAG.finditer(text)]
    if len(tags) > 1:  # words up to the last tag are thoughts
        inside, after = text[: tags[-1].start()], text[tags[-1].end() :]
        thought, rest = read_words(_TAG.sub("", inside)), read_words(_TAG.sub("", after))
        return SaidWords(_joined([thought.thought, thought.action, rest.thought]), rest.action)
    labels = [*_LABEL.finditer(text)]
    if not labels:
        return SaidWords("", text.strip())
    thoughts, actions = [text[: labels[0].start()]], list[str]()
    for label, following in zip(labels, [*labels[1:], None]):
        part = text[label.end() : len(text) if following is None else following.start()]
        (thoughts if label[1].casefold() in _THOUGHTS else actions).append(part)
    return SaidWords(_joined(thoughts), _unquoted(_joined(actions)))


def _joined(parts: list[str]) -> str:
    return "\n".join(filter(None, map(str.strip, parts)))


def _unquoted(text: str) -> str:
    for opening, closing in _QUOTES:
        if len(text) > 1 and text.startswith(opening) and text.endswith(closing):
            return text[1:-1].strip()
    return text
