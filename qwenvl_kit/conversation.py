"""A conversation that remembers its turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias, Union

from qwenvl_kit.arguments.checks import tells_arguments
from qwenvl_kit.errors import MessageError
from qwenvl_kit.formats.dicts import Prompt, as_messages
from qwenvl_kit.media.loader import fetch_media
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.messages.document_parts import DocumentPart
from qwenvl_kit.messages.message import ImagePart, ImageSource, Message, VideoPart
from qwenvl_kit.messages.order import is_continued
from qwenvl_kit.options import BudgetChoice, Fit, Sampling
from qwenvl_kit.pipeline.process_bound import StaysHere
from qwenvl_kit.results import Reply

Media: TypeAlias = Union[ImageSource, ImagePart, VideoPart, DocumentPart]
"""What may follow a question: the source of a picture, PDF or TIFF, or a part."""


class Asks(Protocol):
    """What a conversation needs of a chat."""

    @property
    def policy(self) -> MediaPolicy:
        """What may be opened."""

    def ask(
        self,
        prompt: Prompt,
        *media: Media,
        sampling: Sampling | None = None,
        budget: BudgetChoice | None = None,
        fit: Fit = "refuse",
    ) -> Reply:
        """See `VisionChat.ask`."""


@tells_arguments
class Conversation(StaysHere):
    """Questions that follow one another; each sees all that was said and shown before.

    Args:
        chat: who answers.
        messages: what has been said so far.
        policy: what may be opened; None takes the chat's. What it admits of the network is fetched
            once for all turns.
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
        """All that was said so far, the answers included."""
        return self._messages

    def ask(
        self,
        question: str,
        *media: Media,
        sampling: Sampling | None = None,
        budget: BudgetChoice | None = None,
        fit: Fit = "refuse",
    ) -> Reply:
        """Ask the next question. One that fails leaves the conversation as it was.

        The arguments and errors are those of `VisionChat.ask`.
        """
        asked = as_messages(question, media)
        if is_continued(asked):
            raise MessageError(
                "an answer that was begun was given",
                expected="a question",
                hint="chat.ask([*conversation.messages, ...]), which goes on with it",
            )
        messages = (*self._messages, *asked)
        messages = fetch_media(messages, self._policy)
        reply = self._chat.ask(messages, sampling=sampling, budget=budget, fit=fit)
        self._messages = (*messages, Message.assistant(reply.text))
        return reply
