"""Rounds of writing: a text is asked for, judged, and continued, shortened or written again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import QwenVLKitError
from qwenvl_kit.messages.message import Message
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media, Request
from qwenvl_kit.results import Reply

if TYPE_CHECKING:
    from qwenvl_kit.tasks.writing.targets import Judged

MOST_ATTEMPTS = 4
"""The attempts unless it is said otherwise: one, a continuation, a shortening, and one to spare."""


class Target(Protocol):
    """The aim of a text."""

    def judge(self, text: str) -> Judged:
        """Hold a text to it."""

    def is_short(self, text: str) -> bool:
        """True if a text is to be continued."""

    def next_question(self, text: str) -> str:
        """The question that brings a text nearer."""


@dataclass(frozen=True)
class Draft:
    """A text and what it is made of.

    Attributes:
        text: the text.
        reply: the last reply in it.
        replies: the replies of all attempts so far.
        warnings: sentences on attempts that failed.
    """

    text: str
    reply: Reply
    replies: tuple[Reply, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Writer:
    """A model that writes about a picture.

    Attributes:
        chat: the model.
        image: the picture.
        question: the first question.
        sampling: the generation settings.
        budget: the budget of the picture.
    """

    chat: VisionChat
    image: Media
    question: str
    sampling: Sampling
    budget: BudgetChoice | None
    _first: Request = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_first", Request.about(self.question, self.image))

    def write(self, target: Target, max_attempts: int) -> Draft:
        """Return the first text that is what it should be, or the nearest of all.

        An attempt after the first that fails ends the attempts: what was written stays.
        """
        reply = self._ask(())
        last = best = Draft(reply.text.strip(), reply)
        replies, warnings = [reply], list[str]()
        while not target.judge(best.text).fits and len(replies) < max_attempts:
            try:
                following = self._next(last, target)
            except QwenVLKitError as error:
                warnings.append(f"attempt {len(replies) + 1} failed: {error}")
                break
            replies.append(following.reply)
            last = following
            if target.judge(last.text).distance < target.judge(best.text).distance:
                best = last
        return replace(best, replies=tuple(replies), warnings=tuple(warnings))

    def _next(self, draft: Draft, target: Target) -> Draft:
        """The draft after another answer: continued, shortened or written anew."""
        if not draft.text:
            reply = self._ask(())
            return Draft(reply.text.strip(), reply)
        question = target.next_question(draft.text)
        reply = self._ask((Message.assistant(draft.text), Message.user(question)))
        added = reply.text.strip()
        is_longer = target.is_short(draft.text) and not added.startswith(draft.text[:80])
        return Draft(_joined(draft.text, added) if is_longer else added, reply)

    def _ask(self, following: tuple[Message, ...]) -> Reply:
        messages = (*self._first.conversation(), *following)
        return self.chat.ask(list(messages), sampling=self.sampling, budget=self.budget)


def _joined(text: str, added: str) -> str:
    """A text and its continuation: a new paragraph, unless the text breaks off in a sentence."""
    if not added:
        return text
    is_whole = text[-1:] in ".!?…。！？\"'”’）)」』\n"
    is_chinese = "\u3400" <= text[-1:] <= "\u9fff" or text[-1:] in "，、；："
    return f"{text}{chr(10) * 2 if is_whole else '' if is_chinese else ' '}{added}"
