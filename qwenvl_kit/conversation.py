"""A conversation: questions that follow one another, with a memory of all turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.display.blocks import facts
from qwenvl_kit.display.conversations import Turn, conversation_html
from qwenvl_kit.display.pictures import Shown
from qwenvl_kit.display.styles import framed
from qwenvl_kit.display.text import count, short_repr
from qwenvl_kit.errors import MessageError
from qwenvl_kit.formats.dicts import as_messages
from qwenvl_kit.media.loader import fetch_media
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.viewing import thumbnail_of
from qwenvl_kit.messages.message import Message
from qwenvl_kit.messages.order import is_continued
from qwenvl_kit.options import BudgetChoice, Fit, Sampling
from qwenvl_kit.pipeline.process_bound import process_bound
from qwenvl_kit.pipeline.tool_loop import as_message
from qwenvl_kit.requests import Media, Request, RequestLike
from qwenvl_kit.results import Reply
from qwenvl_kit.structured_output.constraints import Constraint


class Asks(Protocol):
    """The part of a chat that a conversation needs."""

    @property
    def policy(self) -> MediaPolicy:
        """The media policy."""

    def ask(self, prompt: RequestLike, *, num_samples: int = 0) -> Reply:
        """See `VisionChat.ask`."""


@process_bound
@explains_wrong_arguments
class Conversation:
    """Questions that follow one another; each sees everything that was said and shown before.

    Args:
        chat: the chat that answers.
        messages: everything that was said so far.
        policy: the media policy; None takes the chat's. Media from the network is fetched once for
            all turns.
    """

    def __init__(
        self,
        chat: Asks,
        messages: Sequence[Message] = (),
        policy: MediaPolicy | None = None,
    ) -> None:
        self._chat = chat
        self._messages = tuple(messages)
        self._policy = chat.policy if policy is None else policy

    @property
    def messages(self) -> tuple[Message, ...]:
        """Everything that was said so far, the answers included."""
        return self._messages

    def __repr__(self) -> str:
        last = next((turn.text for turn in reversed(self._turns()) if turn.text), "")
        return short_repr("Conversation", last, messages=len(self._messages))

    def _repr_html_(self) -> str:
        told = facts(count(len(self._messages), "message"))
        return framed(conversation_html(self._turns(), self._thumbnail), told)

    def _turns(self) -> list[Turn]:
        return [Turn.of(message.role, message.parts) for message in self._messages]

    def _thumbnail(self, part: Any) -> Shown:
        """A picture of the conversation, or words in its place."""
        return thumbnail_of(part, self._policy)

    def ask(
        self,
        question: RequestLike,
        *media: Media,
        sampling: Sampling | None = None,
        budget: BudgetChoice | None = None,
        fit: Fit | None = None,
        abstain_below: float | None = None,
        num_samples: int = 0,
        constraint: Constraint | None = None,
        tools: Sequence[Callable[..., Any]] = (),
        thinking: bool | None = None,
    ) -> Reply:
        """Ask the next question. If it fails, the conversation stays as it was.

        The arguments and errors are those of `VisionChat.ask`. If the model calls tools, its calls
        become part of the conversation, and their results are the next "question":
        `Message.tool(...)`.
        """
        request = Request.about(
            question,
            *media,
            sampling=sampling,
            budget=budget,
            fit=fit,
            abstain_below=abstain_below,
            constraint=constraint,
            tools=tools,
            thinking=thinking,
        )
        return self._ask(request, num_samples)

    def _ask(self, request: Request, num_samples: int) -> Reply:
        asked = as_messages(request.messages)
        if is_continued(asked):
            raise MessageError(
                "an answer that was begun was given",
                expected="a question",
                hint="chat.ask([*conversation.messages, ...]), which goes on with it",
            )
        messages = fetch_media((*self._messages, *asked), self._policy)
        reply = self._chat.ask(replace(request, messages=messages), num_samples=num_samples)
        has_calls = reply.tool_calls or any(call.is_marked for call in reply.unread_calls)
        answer = as_message(reply) if has_calls else Message.assistant(reply.text)
        self._messages = (*messages, answer)
        return reply
