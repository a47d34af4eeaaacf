"""The request of a call: what a method of `VisionChat` was given, as one value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qwenvl_kit.options import BudgetChoice, Fit, Sampling
    from qwenvl_kit.requests import Media, Request, RequestLike
    from qwenvl_kit.structured_output.constraints import Constraint


def settings_of(  # noqa: PLR0917  # the settings of `ask`, in its order
    sampling: Sampling | None,
    budget: BudgetChoice | None,
    fit: Fit | None,
    abstain_below: float | None,
    constraint: Constraint | None,
    tools: Sequence[Callable[..., Any]],
    thinking: bool | None,
) -> Request:
    """Return the settings of a call, as a request without a question."""
    from qwenvl_kit.requests import Request

    return Request(
        "",
        sampling=sampling,
        budget=budget,
        fit=fit,
        abstain_below=abstain_below,
        constraint=constraint,
        tools=tools,
        thinking=thinking,
    )


def request_of(prompt: RequestLike, media: Sequence[Media], settings: Request) -> Request:
    """Return the request that a call means; what it leaves open is taken from the settings."""
    from qwenvl_kit.requests import Request

    return Request.about(prompt, *media).with_defaults(settings)
