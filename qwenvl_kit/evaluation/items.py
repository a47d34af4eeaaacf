"""Items of a benchmark: questions with right answers, and what became of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, Union

from qwenvl_kit.errors import QwenVLKitError
from qwenvl_kit.messages.message import ImagePart, VideoPart
from qwenvl_kit.results import FinishReason, Reply

MediaPart: TypeAlias = Union[ImagePart, VideoPart]
"""A picture or film of an item."""


def _no_media() -> tuple[MediaPart, ...]:
    return ()


@dataclass(frozen=True, kw_only=True)
class EvaluationItem:
    """A question of a benchmark, with its right answers.

    Attributes:
        id: a name that no other item of the benchmark has.
        question: the question as the data has it, without a prompt around it.
        targets: the answers that are right, as the data has them; for a question with options the
            letter of the right one.
        choices: the texts of the options, that of A first; empty if the question has none.
        groups: the value of each group that results are told by, such as {"language": "ja"}.
        tags: the values of groups of which an item may have several, such as
            {"skill": ("algebraic reasoning", "statistical reasoning")}.
        cluster: the picture, document or film that questions share; intervals are drawn by it.
            Empty if the item shares nothing.
        facts: further values that the rule or the prompt needs, such as the type of an answer.
        where: the place of its row in the data, such as `DocVQA_VAL.tsv:3`.
        load_media: function that reads its pictures and films.
    """

    id: str
    question: str
    targets: tuple[str, ...]
    choices: tuple[str, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cluster: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""
    load_media: Callable[[], tuple[MediaPart, ...]] = field(
        default=_no_media, repr=False, compare=False
    )

    @property
    def group_names(self) -> tuple[str, ...]:
        """The names of its groups and tags."""
        return (*self.groups, *self.tags)

    def values_of(self, group: str) -> tuple[str, ...]:
        """Return the values of a group or tag; empty if the item has none."""
        if group in self.groups:
            return (self.groups[group],)
        return tuple(self.tags.get(group, ()))

    @property
    def media(self) -> tuple[MediaPart, ...]:
        """Its pictures and films in the order in which they are shown, read anew each time.

        Raises:
            EvaluationError: they cannot be read any more.
            MediaError: of the most specific kind, if they are unusable.
        """
        return self.load_media()


@dataclass(frozen=True)
class ItemScore:
    """The score of one answer.

    Attributes:
        value: the score by the published rule, in [0, 1].
        read: the part of the answer that was compared, such as the letter "B"; None if nothing
            could be read of it, so that it is wrong.
        strict: the score by a stricter rule, in [0, 1], where the published one is known to be
            odd; None where there is no other.
    """

    value: float
    read: str | None
    strict: float | None = None

    @property
    def is_read(self) -> bool:
        """True if the answer could be read."""
        return self.read is not None


UNREAD = ItemScore(0.0, None)
"""The score of an answer that cannot be read: it is wrong, and counted as unread."""


@dataclass(frozen=True, kw_only=True)
class ReplyFacts:
    """The facts of a reply that results tell of.

    Attributes:
        finish_reason: the reason why the answer ended.
        visual_tokens: tokens of the prompt that stand for pictures and films.
        completion_tokens: generated tokens.
        seconds: the time from the start of the request to its reply, waiting included.
    """

    finish_reason: FinishReason
    visual_tokens: int
    completion_tokens: int
    seconds: float

    @classmethod
    def of(cls, reply: Reply) -> ReplyFacts:
        """The facts of a reply."""
        return cls(
            finish_reason=reply.finish_reason,
            visual_tokens=reply.usage.visual_tokens,
            completion_tokens=reply.usage.completion_tokens,
            seconds=reply.timing.total,
        )


@dataclass(frozen=True, kw_only=True)
class ScoredItem:
    """An item with its answer and its score.

    Attributes:
        item: the item.
        answer: the text that was scored; None if the item failed.
        score: its score; None if the item failed.
        confidence: the confidence in the answer, in [0, 1]; None if it is not known.
        reply: the reply of the model; None for answers that come from elsewhere.
        error: the error of an item that failed; None if it was answered.
        judge_answer: the text of the judge, if one was asked about the answer.
        kept_facts: the facts of the reply of an item from a file, which keeps no replies.
    """

    item: EvaluationItem
    answer: str | None = None
    score: ItemScore | None = None
    confidence: float | None = None
    reply: Reply | None = None
    error: QwenVLKitError | None = None
    judge_answer: str | None = None
    kept_facts: ReplyFacts | None = None

    @property
    def id(self) -> str:
        """The id of the item."""
        return self.item.id

    @property
    def question(self) -> str:
        """The question of the item."""
        return self.item.question

    @property
    def targets(self) -> tuple[str, ...]:
        """The right answers."""
        return self.item.targets

    @property
    def media(self) -> tuple[MediaPart, ...]:
        """The pictures and films of the item; see `EvaluationItem.media`."""
        return self.item.media

    @property
    def read(self) -> str | None:
        """The part of the answer that was compared; None if it failed or could not be read."""
        return None if self.score is None else self.score.read

    @property
    def is_failed(self) -> bool:
        """True if there is no answer."""
        return self.score is None

    @property
    def is_right(self) -> bool:
        """True if the score is at least a half; False if the item failed."""
        return self.score is not None and self.score.value >= 0.5

    @property
    def is_cut(self) -> bool:
        """True if the answer ended because it had reached its greatest length."""
        return self.reply_facts is not None and self.reply_facts.finish_reason == "length"

    @property
    def reply_facts(self) -> ReplyFacts | None:
        """The facts of its reply; None for answers that come from elsewhere."""
        return self.kept_facts if self.reply is None else ReplyFacts.of(self.reply)


def digest_items(items: Iterable[EvaluationItem]) -> str:
    """Return the SHA-256 of ids, questions, options and right answers."""
    made = hashlib.sha256()
    for item in items:
        made.update(repr((item.id, item.question, item.choices, item.targets)).encode())
    return made.hexdigest()
