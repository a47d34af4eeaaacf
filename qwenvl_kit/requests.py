"""One request among many: a conversation with its own id and settings."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, TypeAlias, Union

from qwenvl_kit.dialects import Prompt, as_messages
from qwenvl_kit.messages import Message
from qwenvl_kit.options import BudgetChoice, Fit, Sampling, check_fit


@dataclass(frozen=True)
class Request:
    """A conversation to answer, with settings of its own.

    Attributes:
        messages: a question, one message, or a conversation.
        id: a name for it, kept in its reply or failure as `request_id`.
        sampling: how to generate; None takes the call's.
        budget: what its pictures may cost; None takes the call's.
        fit: what becomes of it if it is longer than the model's context: "refuse" or "shrink";
            None takes the call's.

    Raises:
        BudgetError: fit is neither.
    """

    messages: Prompt
    _: KW_ONLY
    id: str | None = None
    sampling: Sampling | None = None
    budget: BudgetChoice | None = None
    fit: Fit | None = None

    def __post_init__(self) -> None:
        if self.fit is not None:
            check_fit(self.fit)

    @classmethod
    def about(
        cls,
        question: str,
        *media: Any,
        id: str | None = None,  # noqa: A002  # the name of the field
        sampling: Sampling | None = None,
        budget: BudgetChoice | None = None,
        fit: Fit | None = None,
    ) -> Request:
        """A question about pictures or videos, each a part or an image source."""
        return cls(as_messages(question, media), id=id, sampling=sampling, budget=budget, fit=fit)

    def conversation(self) -> tuple[Message, ...]:
        """The checked messages.

        Raises:
            MessageError: they cannot be sent; says where.
        """
        return as_messages(self.messages)


RequestLike: TypeAlias = Union[Prompt, Request]
"""What `ask_many` takes for one request."""


def as_request(request: RequestLike) -> Request:
    """A request from whatever a caller wrote."""
    return request if isinstance(request, Request) else Request(request)
