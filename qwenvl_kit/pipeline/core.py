"""The pipeline: the stages of one request, from its sizes to its submission to the backend."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qwenvl_kit.backends.base import (
    Backend,
    BackendRequest,
    Completion,
    Gathering,
    KnownMedia,
    Linking,
    Observer,
    Remembering,
    ResizingFrames,
)
from qwenvl_kit.backends.closed import closed_error
from qwenvl_kit.budget.fitting import MediaPlans, advise, fit_media
from qwenvl_kit.budget.measures import Measure
from qwenvl_kit.budget.planning import has_native_size, plan_media, plan_request
from qwenvl_kit.errors import (
    ContextLengthError,
    InputError,
    OutOfMemoryError,
    located,
)
from qwenvl_kit.formats.file_names import told_if_exchanged
from qwenvl_kit.formats.likely_mistakes import remarks_on
from qwenvl_kit.media.documents import show_documents
from qwenvl_kit.media.loader import (
    DecodedMedia,
    decode_media,
    fetch_media,
    identify_media,
    link_media,
    links_of,
    measure_media,
)
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.remote_images import Link
from qwenvl_kit.messages.message import Message
from qwenvl_kit.options import Fit, PixelBudget, Sampling, as_budget
from qwenvl_kit.pipeline.listeners import Listeners
from qwenvl_kit.plans import Plan
from qwenvl_kit.requests import Request, check_sampling
from qwenvl_kit.structured_output.constraints import Constraint

if TYPE_CHECKING:
    from concurrent.futures import Future

    from qwenvl_kit.calibration import Calibrator
    from qwenvl_kit.media.fetch_cache import Fetches
    from qwenvl_kit.results import Reply


@dataclass(frozen=True)
class ResolvedRequest:
    """A request with every setting decided."""

    messages: tuple[Message, ...]
    sampling: Sampling
    budget: PixelBudget
    fit: Fit
    request_id: str | None
    abstain_below: float | None = None
    constraint: Constraint | None = None


@dataclass(frozen=True)
class PreparedRequest:
    """A request that is ready to run.

    Attributes:
        request: what the backend is given.
        resolved: what was asked.
        started: when its preparation began, on `time.perf_counter`'s clock.
        media_seconds: how long its pictures took to open, decode and resize.
    """

    request: BackendRequest
    resolved: ResolvedRequest
    started: float
    media_seconds: float

    @property
    def num_bytes(self) -> int:
        """What the pixels of its pictures take."""
        return sum(_num_bytes(item) for item in self.request.media)


class PipelineUse:
    """A use of a pipeline: while it lasts, the backend is not closed.

    It ends by `end`, by its `with` block, or when nothing refers to it any more.

    Args:
        pipeline: the pipeline.
        on_end: called once, at the end.
    """

    def __init__(self, pipeline: Pipeline, on_end: Callable[[], None]) -> None:
        self.pipeline = pipeline
        self._on_end = [on_end]

    def end(self) -> None:
        """End the use; later calls do nothing. For any thread."""
        try:
            on_end = self._on_end.pop()
        except IndexError:
            return
        on_end()

    def __enter__(self) -> PipelineUse:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def __del__(self) -> None:
        self.end()


class Pipeline:
    """The stages of every request of a chat, on one backend.

    Args:
        backend: the backend that runs the requests.
        budget: the budget of requests that have none of their own.
        policy: the media policy.
        calibrator: the map from confidences to shares of right answers; None for none.
    """

    def __init__(
        self,
        backend: Backend,
        budget: PixelBudget,
        policy: MediaPolicy,
        calibrator: Calibrator | None = None,
    ) -> None:
        self.backend = backend
        self.budget = budget
        self._policy = policy
        self.calibrator = calibrator
        self.listeners = Listeners()
        self._uses = threading.Condition()
        self._num_uses = 0
        self._is_retired = False
        self.is_stopped = False

    def use(self) -> PipelineUse:
        """Begin a use of the pipeline: a request, or a batch, that needs its backend.

        Raises:
            ModelLoadError: the chat was closed.
        """
        with self._uses:
            if self.is_stopped:
                raise closed_error()
            self._num_uses += 1
        return PipelineUse(self, self._end_use)

    def stop(self) -> None:
        """Refuse new uses; those that have begun go on."""
        self.is_stopped = True

    def wait_until_idle(self, timeout_seconds: float) -> bool:
        """Wait until all uses have ended; True if they have, False after the timeout."""
        with self._uses:
            return self._uses.wait_for(lambda: not self._num_uses, timeout_seconds)

    def retire(self) -> None:
        """Close the backend when the last use has ended; another pipeline takes new requests."""
        with self._uses:
            self._is_retired = True
            is_idle = not self._num_uses
        if is_idle:
            self.backend.close()

    def _end_use(self) -> None:
        with self._uses:
            self._num_uses -= 1
            self._uses.notify_all()
            is_over = self._is_retired and not self._num_uses
        if is_over:
            self.backend.close()

    @property
    def policy(self) -> MediaPolicy:
        """What may be opened."""
        return self._policy

    def resolve(self, request: Request) -> ResolvedRequest:
        """The request with every setting decided; the chat's own fill what it leaves open."""
        messages = request.conversation()
        check_sampling(request.sampling)
        sampling = request.sampling
        with located("budget"):
            budget = self.budget if request.budget is None else as_budget(request.budget)
        return ResolvedRequest(
            messages=messages,
            sampling=self.backend.default_sampling if sampling is None else sampling,
            budget=budget,
            fit=request.fit or "refuse",
            request_id=request.id,
            abstain_below=request.abstain_below,
            constraint=request.constraint,
        )

    def calibrated(self, reply: Reply, resolved: ResolvedRequest) -> Reply:
        """The reply with its calibrated confidence, and the confidence that was asked for."""
        calibrator = self.calibrator
        return replace(
            reply,
            calibrated_confidence=None if calibrator is None else calibrator.confidence(reply),
            abstain_below=resolved.abstain_below,
        )

    def fetched(self, resolved: ResolvedRequest, fetches: Fetches | None = None) -> ResolvedRequest:
        """The request with what it shows of the network fetched, or linked where that will do.

        Documents are opened then: their pages stand in their places.
        """
        messages = resolved.messages
        if isinstance(self.backend, Linking) and self.backend.takes_links:
            messages = link_media(messages, self._policy, fetches)
        with told_if_exchanged(messages):
            messages = fetch_media(messages, self._policy, fetches, kept=links_of(messages))
            messages = show_documents(messages, self._policy)
        return resolved if messages is resolved.messages else replace(resolved, messages=messages)

    def plan(self, resolved: ResolvedRequest) -> Plan:
        """What a request would cost; decodes nothing and runs no model."""
        return self._planned(resolved, self.fetched(resolved))

    def _planned(
        self,
        given: ResolvedRequest,
        resolved: ResolvedRequest,
        most_visual_tokens: int | None = None,
    ) -> Plan:
        """The plan of a request.

        Args:
            given: what is asked, as it was given.
            resolved: the same, fetched.
            most_visual_tokens: what its pictures may take, if it may be shrunk; None for no bound.
        """
        with told_if_exchanged(given.messages):
            measures = measure_media(resolved.messages, self._policy)
        plan = self._plan_within(resolved, measures, most_visual_tokens)
        while resolved.fit == "shrink" and plan.fits_memory is False and plan.visual_tokens > 1:
            try:
                smaller = self._plan_within(resolved, measures, plan.visual_tokens // 2)
            except InputError:  # there is nothing left to give up
                break
            plan = smaller
        advice = advise(plan, measures, resolved.budget, self.backend.rules)
        return replace(plan, advice=advice, warnings=remarks_on(given.messages))

    def prepare(self, request: ResolvedRequest, fetches: Fetches | None = None) -> PreparedRequest:
        """Sizes, plan, pixels: everything that is done before the model runs.

        Args:
            request: what is asked.
            fetches: what the call has fetched for other requests; None for nothing.
        """
        started = time.perf_counter()
        try:
            fetched = self.fetched(request, fetches)
            return self._prepare(fetched, self._planned(request, fetched), started, fetches)
        except Exception as error:
            self.listeners.failure(error)
            raise

    def submit(
        self, prepared: PreparedRequest, observer: Observer | None = None
    ) -> Future[Completion]:
        """Have a prepared request answered, along with others.

        Raises:
            OverloadError: too many requests wait.
        """
        try:
            return self.backend.submit(prepared.request, observer)
        except Exception as error:
            self.listeners.failure(error)
            raise

    def together(self) -> AbstractContextManager[object]:
        """What is submitted within it is begun together, where the backend can."""
        backend = self.backend
        return backend.gather() if isinstance(backend, Gathering) else nullcontext()

    def prepare_smaller(self, prepared: PreparedRequest) -> PreparedRequest | None:
        """The same request with half its visual tokens; None if it does not allow that."""
        before = prepared.request.plan
        if prepared.resolved.fit != "shrink" or before.visual_tokens < 2:
            return None
        try:
            resolved = prepared.resolved
            plan = self._planned(resolved, resolved, before.visual_tokens // 2)
            smaller = self._prepare(resolved, plan, prepared.started)
        except InputError:  # there is nothing left to give up
            return None
        return smaller if plan.visual_tokens < before.visual_tokens else None

    def _prepare(
        self, resolved: ResolvedRequest, plan: Plan, started: float, fetches: Fetches | None = None
    ) -> PreparedRequest:
        _check_fits(plan)
        media, keys = self._media(resolved.messages, plan, fetches)
        return PreparedRequest(
            request=BackendRequest(
                resolved.messages, plan, media, resolved.sampling, keys, resolved.constraint
            ),
            resolved=resolved,
            started=started,
            media_seconds=time.perf_counter() - started,
        )

    def _media(
        self, messages: Sequence[Message], plan: Plan, fetches: Fetches | None
    ) -> tuple[tuple[DecodedMedia | KnownMedia | Link, ...], tuple[str | None, ...]]:
        """Pixels, or what the backend remembers of them, and what each source is known by."""
        backend, known = self.backend, dict[str, KnownMedia]()
        if not isinstance(backend, Remembering):
            return self._pixels_or_links(messages, plan, fetches), ()
        keys = identify_media(messages, plan.media, self._policy)
        for where, key in zip(plan.media, keys):
            recalled = None if key is None else backend.recall(key)
            if recalled is not None:
                known[where] = recalled
        decoded = self._decoded(messages, plan, known)
        media = {**decoded, **known}
        return tuple(media[where] for where in plan.media), tuple(keys)

    def _pixels_or_links(
        self, messages: Sequence[Message], plan: Plan, fetches: Fetches | None
    ) -> tuple[DecodedMedia | Link, ...]:
        """Links of which others make what was planned, and pixels of all else."""
        policy, backend = self._policy, self.backend
        links = links_of(messages)
        for image in plan.images:
            if not has_native_size(image, backend.rules):
                links.pop(image.where, None)
        messages = fetch_media(messages, policy, fetches, kept=links)
        decoded = self._decoded(messages, plan, links)
        media: dict[str, DecodedMedia | Link] = {**decoded, **links}
        return tuple(media[where] for where in plan.media)

    def _decoded(
        self, messages: Sequence[Message], plan: Plan, known: Collection[str]
    ) -> dict[str, DecodedMedia]:
        """Pixels of what is not known, as the backend resizes them."""
        backend = self.backend
        resize_frame = backend.resize_frame if isinstance(backend, ResizingFrames) else None
        resize = backend.resize_image
        return decode_media(
            messages, plan.media, self._policy, resize, known, resize_frame=resize_frame
        )

    def _plan_within(
        self, resolved: ResolvedRequest, measures: Sequence[Measure], most_visual_tokens: int | None
    ) -> Plan:
        rules, budget = self.backend.rules, resolved.budget
        max_new_tokens = resolved.sampling.max_new_tokens

        def count_prompt(media: MediaPlans) -> int:
            return self.backend.count_prompt_tokens(resolved.messages, media)

        if resolved.fit == "shrink":
            media, lost = fit_media(measures, budget, rules, count_prompt, max_new_tokens)
        else:
            media, lost = plan_media(measures, budget, rules), ()
        if most_visual_tokens is not None:
            text_tokens = count_prompt(media) - sum(plan.tokens for plan in media)
            narrow = replace(rules, context_tokens=text_tokens + most_visual_tokens + 1)
            media, lost = fit_media(measures, budget, narrow, count_prompt, 1)
            lost = (*lost, f"at most {most_visual_tokens} visual tokens, as memory ran out")
        prompt_tokens = count_prompt(media)
        return plan_request(
            media,
            prompt_tokens,
            _within_total(resolved.sampling, prompt_tokens),
            rules,
            available_bytes=self.backend.free_bytes(),
            degradations=lost,
        )


def _num_bytes(media: DecodedMedia | KnownMedia | Link) -> int:
    if isinstance(media, (KnownMedia, Link)):
        return 0
    shape = getattr(media, "shape", None) or (*media.size, 3)  # type: ignore[misc]
    return math.prod(shape)  # a byte for each number


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


def _within_total(sampling: Sampling, prompt_tokens: int) -> int:
    """How long the answer to a prompt may become at most."""
    total = sampling.max_total_tokens
    if total is None:
        return sampling.max_new_tokens
    if prompt_tokens >= total:
        raise ContextLengthError(
            f"the prompt has {prompt_tokens} tokens, and max_total_tokens={total} counts them too",
            expected="room for an answer",
            hint="Sampling(max_new_tokens=...), or a smaller budget for pictures",
        )
    return min(sampling.max_new_tokens, total - prompt_tokens)
