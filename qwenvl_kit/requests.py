"""One request among many: a conversation with its own id and settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from numbers import Real
from typing import Any, TypeAlias, Union

from qwenvl_kit.arguments.checks import tells_arguments
from qwenvl_kit.errors import InputError
from qwenvl_kit.formats.dicts import Prompt, as_messages
from qwenvl_kit.messages.message import Message, with_system_part
from qwenvl_kit.messages.thinking import ThinkingSwitch
from qwenvl_kit.options import BudgetChoice, Fit, Sampling, check_fit
from qwenvl_kit.structured_output.constraints import Constraint, check_constraint
from qwenvl_kit.tools.functions import with_tools


@tells_arguments
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
        abstain_below: the confidence that its answer is to have at least; see
            `Reply.is_abstained`. None takes the call's.
        constraint: what its answer must look like; None leaves it free.
        tools: functions that the model may call; see `Reply.tool_calls`.
        thinking: whether the model thinks first, where its checkpoint can be switched; None
            leaves it to the checkpoint.

    Raises:
        BudgetError: fit is neither.
        SchemaError: the constraint is none.
        InputError: abstain_below is no number in [0, 1].
    """

    messages: Prompt
    _: KW_ONLY
    id: str | None = None
    sampling: Sampling | None = None
    budget: BudgetChoice | None = None
    fit: Fit | None = None
    abstain_below: float | None = None
    constraint: Constraint | None = None
    tools: Sequence[Callable[..., Any]] = ()
    thinking: bool | None = None

    def __post_init__(self) -> None:
        if self.fit is not None:
            check_fit(self.fit)
        check_constraint(self.constraint)
        if self.thinking is not None and not isinstance(self.thinking, bool):
            raise InputError(
                f"thinking={self.thinking!r} was given", expected="True, False or None"
            )
        if self.abstain_below is not None:
            _check_share("abstain_below", self.abstain_below)

    @classmethod
    def about(
        cls,
        question: Prompt,
        *media: Any,
        id: str | None = None,  # noqa: A002  # the name of the field
        sampling: Sampling | None = None,
        budget: BudgetChoice | None = None,
        fit: Fit | None = None,
        abstain_below: float | None = None,
        constraint: Constraint | None = None,
        tools: Sequence[Callable[..., Any]] = (),
        thinking: bool | None = None,
    ) -> Request:
        """A question about pictures or videos, each a part or an image source."""
        return cls(
            as_messages(question, media),
            id=id,
            sampling=sampling,
            budget=budget,
            fit=fit,
            abstain_below=abstain_below,
            constraint=constraint,
            tools=tools,
            thinking=thinking,
        )

    def with_defaults(self, defaults: Request) -> Request:
        """The request, with what it leaves open taken from another."""
        settings = ("sampling", "budget", "fit", "abstain_below")
        taken = {name: getattr(defaults, name) for name in settings if getattr(self, name) is None}
        return replace(self, **taken)

    def conversation(self) -> tuple[Message, ...]:
        """The checked messages, with the tools that they offer.

        Raises:
            MessageError: they cannot be sent; says where.
            ToolError: a function that cannot be a tool.
        """
        messages = as_messages(self.messages)
        if self.thinking is not None:
            messages = with_system_part(messages, ThinkingSwitch(self.thinking))
        return with_tools(messages, self.tools) if self.tools else messages


RequestLike: TypeAlias = Union[Prompt, Request]
"""What `ask_many` takes for one request."""


def as_request(request: RequestLike) -> Request:
    """A request from whatever a caller wrote."""
    return request if isinstance(request, Request) else Request(request)


def _check_share(name: str, value: object) -> None:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not 0.0 <= float(value) <= 1.0:  # type: ignore[arg-type]
        raise InputError(f"{name}={value!r} was given", expected="a number between 0 and 1")
