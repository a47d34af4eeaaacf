"""A request: a question or conversation, with everything that one may ask of its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from numbers import Real
from typing import Any, Literal, TypeAlias, Union

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.errors import InputError, SamplingError
from qwenvl_kit.formats.dicts import Prompt, as_messages
from qwenvl_kit.messages.document_parts import DocumentPart
from qwenvl_kit.messages.message import (
    ImagePart,
    ImageSource,
    Message,
    VideoPart,
    with_system_part,
)
from qwenvl_kit.messages.thinking import ThinkingSwitch
from qwenvl_kit.options import BudgetChoice, Fit, Sampling, as_budget, check_fit
from qwenvl_kit.structured_output.constraints import Constraint, check_constraint
from qwenvl_kit.tools.functions import as_tools, with_tools


@explains_wrong_arguments
@dataclass(frozen=True)
class Request:
    """A question or conversation to answer, with settings of its own.

    Every method of a `VisionChat` that asks takes one in place of its question. A setting that the
    request leaves open is taken from the call, and then from the chat.

    Attributes:
        messages: a question, one message, or a conversation.
        id: a name for it; its reply or failure has it as `request_id`.
        sampling: the generation settings; None takes the call's.
        budget: the visual tokens that its pictures may take; None takes the call's.
        fit: the treatment of a request that is longer than the model's context: "refuse" or
            "shrink"; None takes the call's.
        abstain_below: the least confidence, in [0, 1], that its answer should have; see
            `Reply.is_abstained`. None takes the call's.
        constraint: the form that its answer must have; None takes the call's.
        tools: functions that the model may call; see `Reply.tool_calls`. Empty takes the call's.
        thinking: True if the model should think first, where its checkpoint can be switched; None
            takes the call's.

    Raises:
        BudgetError: fit is neither "refuse" nor "shrink".
        SchemaError: constraint is no constraint.
        InputError: abstain_below is no number in [0, 1], or thinking no truth value.
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
        if isinstance(self.tools, Iterator):  # which could be read only once
            object.__setattr__(self, "tools", tuple(self.tools))
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
        question: RequestLike,
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
        """The request that a call means: a question about pictures, with the settings of the call.

        Args:
            question: a question, messages, or a request, whose own settings come first.
            media: pictures, videos and documents that the question is about, as parts or sources.
            id: see `Request`.
            sampling: see `Request`.
            budget: see `Request`.
            fit: see `Request`.
            abstain_below: see `Request`.
            constraint: see `Request`.
            tools: see `Request`.
            thinking: see `Request`.

        Raises:
            InputError: of the most specific kind, if anything of this cannot be used.
        """
        own = question if isinstance(question, Request) else Request(question)
        of_call = cls(
            as_messages(own.messages, media),
            id=id,
            sampling=sampling,
            budget=budget,
            fit=fit,
            abstain_below=abstain_below,
            constraint=constraint,
            tools=tools,
            thinking=thinking,
        )
        return replace(own, messages=of_call.messages).with_defaults(of_call)

    def with_defaults(self, defaults: Request) -> Request:
        """The request, with every setting that it leaves open taken from another."""
        taken = {
            name: getattr(defaults, name)
            for name in ("id", *SETTINGS)
            if getattr(self, name) is None or (name == "tools" and not self.tools)
        }
        return replace(self, **taken)

    def conversation(self) -> tuple[Message, ...]:
        """The checked messages, with the tools that they offer.

        Raises:
            MessageError: they cannot be sent; says where.
            ToolError: a function cannot be a tool.
        """
        messages = as_messages(self.messages)
        if self.thinking is not None:
            messages = with_system_part(messages, ThinkingSwitch(self.thinking))
        return with_tools(messages, self.tools) if self.tools else messages


SETTINGS = ("sampling", "budget", "fit", "abstain_below", "constraint", "tools", "thinking")
"""The settings of a request that a call may give for it."""

RequestLike: TypeAlias = Union[Prompt, Request]
"""A question, messages, or a `Request`: the first argument of all that asks."""

Media: TypeAlias = Union[ImageSource, ImagePart, VideoPart, DocumentPart]
"""A picture or video that follows a question: the source of a picture, PDF or TIFF, or a part."""

OnError: TypeAlias = Literal["raise", "return"]


def as_request(request: RequestLike) -> Request:
    """The request that a caller wrote, in whatever form."""
    return request if isinstance(request, Request) else Request(request)


def check_batch(requests: Any, defaults: Request, on_error: object, max_batch_size: object) -> None:
    """Refuse arguments of a batch that would fail all of its requests.

    Raises:
        InputError: of the most specific kind; names the argument, and what was expected.
        ToolError: a function cannot be a tool.
    """
    is_single = isinstance(requests, (str, Mapping, Message, Request))
    if is_single or not isinstance(requests, Iterable):
        raise InputError(
            f"requests of type {type(requests).__name__} were given",
            expected="a list or iterator of requests",
            hint="chat.ask(...) for a single one",
        )
    if on_error not in ("raise", "return"):
        raise InputError(f"on_error={on_error!r} was given", expected="'raise' or 'return'")
    if max_batch_size is not None and (type(max_batch_size) is not int or max_batch_size < 1):
        raise InputError(
            f"max_batch_size={max_batch_size!r} was given",
            expected="a whole number above 0, or None",
        )
    check_sampling(defaults.sampling)
    as_tools(defaults.tools)
    if defaults.budget is not None:
        as_budget(defaults.budget)


def check_sampling(sampling: object) -> None:
    """Refuse a value that is neither a `Sampling` nor None.

    Raises:
        SamplingError: it is something else.
    """
    if sampling is not None and not isinstance(sampling, Sampling):
        raise SamplingError(
            f"sampling of type {type(sampling).__name__} was given",
            expected="a Sampling",
            hint="Sampling(max_new_tokens=..., temperature=...)",
        )


def _check_share(name: str, value: object) -> None:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not 0.0 <= float(value) <= 1.0:  # type: ignore[arg-type]
        raise InputError(f"{name}={value!r} was given", expected="a number between 0 and 1")
