"""The way of one request: sizes, plan, pixels, tokens, reply."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from qwenvl_kit.backends.base import (
    Backend,
    BackendRequest,
    Completion,
    KnownMedia,
    Observer,
    Remembering,
)
from qwenvl_kit.batch import Prepared
from qwenvl_kit.budget.fitting import MediaPlans, advise, fit_media
from qwenvl_kit.budget.planning import plan_media, plan_request
from qwenvl_kit.errors import ContextLengthError, OutOfMemoryError, SamplingError, located
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.requests import DecodedMedia, decode_media, identify_media, measure_media
from qwenvl_kit.messages import Message
from qwenvl_kit.options import BudgetChoice, Fit, PixelBudget, Sampling, as_budget
from qwenvl_kit.plans import Plan
from qwenvl_kit.requests import Request
from qwenvl_kit.results import Reply, Timing, Usage


class Pipeline:
    """Takes requests through a backend; every entrance of a chat leads here.

    Args:
        backend: what runs the requests.
        budget: what pictures may cost where a request does not say.
        policy: what may be opened.
    """

    def __init__(self, backend: Backend, budget: PixelBudget, policy: MediaPolicy) -> None:
        self._backend = backend
        self._budget = budget
        self._policy = policy

    def plan(self, request: Request) -> Plan:
        """What a request would cost; decodes nothing and runs no model."""
        sampling, budget = self._sampling(request), self._budget_of(request)
        return self._plan(request.conversation(), sampling, budget, request.fit or "refuse")

    def prepare(
        self,
        request: Request,
        sampling: Sampling | None = None,
        budget: BudgetChoice | None = None,
        fit: Fit = "refuse",
    ) -> Prepared:
        """Sizes, plan, pixels: everything that is done before the model runs.

        Args:
            request: what is asked.
            sampling: how to generate where the request does not say.
            budget: what pictures may cost where the request does not say.
            fit: what becomes of it if it is too long, where the request does not say.
        """
        started = time.perf_counter()
        messages = request.conversation()
        chosen = self._sampling(request, sampling)
        plan = self._plan(messages, chosen, self._budget_of(request, budget), request.fit or fit)
        _check_fits(plan)
        media, keys = self._media(messages, plan)
        return Prepared(
            request=BackendRequest(messages, plan, media, chosen, keys),
            request_id=request.id,
            started=started,
            media_seconds=time.perf_counter() - started,
        )

    def run(self, prepared: Sequence[Prepared], observer: Observer | None = None) -> list[Reply]:
        """Answer requests together."""
        completions = self._backend.generate([item.request for item in prepared], observer)
        return [_reply(item, done) for item, done in zip(prepared, completions)]

    def _media(
        self, messages: Sequence[Message], plan: Plan
    ) -> tuple[tuple[DecodedMedia | KnownMedia, ...], tuple[str | None, ...]]:
        """Pixels, or what the backend remembers of them, and what each source is known by."""
        backend, known = self._backend, dict[str, KnownMedia]()
        if not isinstance(backend, Remembering):
            decoded = decode_media(messages, plan.media, self._policy, backend.resize_image)
            return tuple(decoded.values()), ()
        keys = identify_media(messages, plan.media, self._policy)
        for where, key in zip(plan.media, keys):
            recalled = None if key is None else backend.recall(key)
            if recalled is not None:
                known[where] = recalled
        decoded = decode_media(messages, plan.media, self._policy, backend.resize_image, known)
        media = {**decoded, **known}
        return tuple(media[where] for where in plan.media), tuple(keys)

    def _plan(
        self, messages: Sequence[Message], sampling: Sampling, budget: PixelBudget, fit: Fit
    ) -> Plan:
        rules, max_new_tokens = self._backend.rules, sampling.max_new_tokens
        measures = measure_media(messages, self._policy)

        def count_prompt(media: MediaPlans) -> int:
            return self._backend.count_prompt_tokens(messages, media)

        if fit == "shrink":
            media, lost = fit_media(measures, budget, rules, count_prompt, max_new_tokens)
        else:
            media, lost = plan_media(measures, budget, rules), ()
        plan = plan_request(
            media,
            count_prompt(media),
            max_new_tokens,
            rules,
            available_bytes=self._backend.free_bytes(),
            degradations=lost,
        )
        return replace(plan, advice=advise(plan, measures, budget, rules))

    def _sampling(self, request: Request, default: Sampling | None = None) -> Sampling:
        check_sampling(request.sampling)
        given = default if request.sampling is None else request.sampling
        return self._backend.default_sampling if given is None else given

    def _budget_of(self, request: Request, default: BudgetChoice | None = None) -> PixelBudget:
        given = default if request.budget is None else request.budget
        with located("budget"):
            return self._budget if given is None else as_budget(given)


def _reply(prepared: Prepared, completion: Completion) -> Reply:
    plan = prepared.request.plan
    if completion.degradations:
        plan = replace(plan, degradations=(*plan.degradations, *completion.degradations))
    return Reply(
        text=completion.text,
        finish_reason=completion.finish_reason,
        tokens=completion.tokens,
        end_token=completion.end_token,
        usage=Usage(
            prompt_tokens=plan.prompt_tokens,
            visual_tokens=plan.visual_tokens,
            completion_tokens=completion.completion_tokens,
            reused_tokens=completion.reused_tokens,
        ),
        timing=Timing(
            media=prepared.media_seconds,
            vision=completion.vision_seconds,
            prefill=completion.prefill_seconds,
            decode=completion.decode_seconds,
            total=time.perf_counter() - prepared.started,
        ),
        plan=plan,
        request_id=prepared.request_id,
    )


def _check_fits(plan: Plan) -> None:
    if not plan.fits_context:
        raise ContextLengthError(
            f"the prompt has {plan.prompt_tokens} tokens, {plan.visual_tokens} of them visual",
            expected=f"fewer than the model's context of {plan.context_tokens}",
            hint="; or ".join(plan.advice),
        )
    if not plan.fits:
        raise OutOfMemoryError(
            f"the request would take {plan.needed_bytes} bytes beside the model, and the device "
            f"has {plan.available_bytes} left",
            hint="; or ".join(plan.advice),
        )


def check_sampling(sampling: object) -> None:
    """Refuse what is no `Sampling`.

    Raises:
        SamplingError: it is something else.
    """
    if sampling is not None and not isinstance(sampling, Sampling):
        raise SamplingError(
            f"sampling of type {type(sampling).__name__} was given", expected="a Sampling"
        )
