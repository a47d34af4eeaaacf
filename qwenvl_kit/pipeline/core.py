"""The pipeline: the stages of one request, from its sizes to its submission to the backend."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Protocol

from qwenvl_kit.backends.base import (
    Backend,
    BackendRequest,
    Completion,
    KnownMedia,
    Observer,
    closed_error,
)
from qwenvl_kit.budget.fitting import MediaPlans, advise, fit_media
from qwenvl_kit.budget.measures import Measure
from qwenvl_kit.budget.planning import (
    has_native_size,
    narrowed_by_engine,
    plan_media,
    plan_request,
)
from qwenvl_kit.budget.subtitles import place_subtitles
from qwenvl_kit.errors import (
    ContextLengthError,
    InputError,
    OutOfMemoryError,
    located,
)
from qwenvl_kit.formats.file_names import told_if_exchanged
from qwenvl_kit.formats.likely_mistakes import remarks_on
from qwenvl_kit.media.fetch_cache import FetchCache
from qwenvl_kit.media.items import MediaItem, with_plan
from qwenvl_kit.media.loader import decode_media, fetch_link, identify_media, open_media
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.types import DecodedMedia, Link
from qwenvl_kit.media.viewing import viewable
from qwenvl_kit.messages.message import Message
from qwenvl_kit.options import Fit, PixelBudget, Sampling, as_budget
from qwenvl_kit.pipeline.listeners import LOGGER, Listeners
from qwenvl_kit.pipeline.stats import health_of
from qwenvl_kit.plans import ImagePlan, Plan
from qwenvl_kit.requests import Request, check_sampling
from qwenvl_kit.structured_output.constraints import Constraint

if TYPE_CHECKING:
    from concurrent.futures import Future

    from qwenvl_kit.calibration import Calibrator
    from qwenvl_kit.results import Reply


@dataclass(frozen=True)
class ResolvedRequest:
    """A request with every setting decided.

    Attributes:
        media: its pictures and videos once they are opened; empty before.
        notes: sentences on its subtitles, for the plan's warnings.
    """

    messages: tuple[Message, ...]
    sampling: Sampling
    budget: PixelBudget
    fit: Fit
    request_id: str | None
    abstain_below: float | None = None
    constraint: Constraint | None = None
    media: tuple[MediaItem, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PreparedRequest:
    """A request that is ready to run.

    Attributes:
        request: the request for the backend.
        resolved: the request as it was asked, with its pictures and videos opened.
        started: the begin of its preparation, on `time.perf_counter`'s clock.
        media_seconds: the time to open, decode and resize its pictures.
    """

    request: BackendRequest
    resolved: ResolvedRequest
    started: float
    media_seconds: float

    @property
    def num_bytes(self) -> int:
        """The bytes that the pixels of its pictures take."""
        return sum(_num_bytes(item) for item in self.request.media)


class Follower(Observer, Protocol):
    """An observer that is also told of the end of its request."""

    def note_end(self, future: Future[Completion]) -> None:
        """Receive the future of the request when it is done."""


class Tracer(Protocol):
    """Follows the requests of a pipeline."""

    def follow(self, prepared: PreparedRequest, observer: Observer | None) -> Follower:
        """Return an observer of a request that passes all on to another."""


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
        """End the use; later calls do nothing. For any thread but the backend's own."""
        try:
            on_end = self._on_end.pop()
        except IndexError:
            return
        on_end()

    def end_in_background(self) -> None:
        """End the use from a thread of the backend, which could not wait for its own end."""
        if self._on_end:
            threading.Thread(target=self.end, daemon=True, name="qwenvl_kit end").start()

    def __enter__(self) -> PipelineUse:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def __del__(self) -> None:
        self.end()


class PipelineSlot:
    """The pipeline that takes a chat's requests at the moment; copies of the chat share it.

    Args:
        pipeline: the first one.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._lock = threading.Lock()
        self.pipeline = pipeline

    def use(self) -> PipelineUse:
        """Begin a use of the pipeline of this moment."""
        with self._lock:
            return self.pipeline.use()

    def replace(self, pipeline: Pipeline) -> None:
        """Send later requests through another pipeline; the old one closes after its last."""
        with self._lock:
            old = self.pipeline
            pipeline.listeners = old.listeners
            self.pipeline = pipeline
        if pipeline is not old:
            old.retire()


class Pipeline:
    """The stages of every request of a chat, on one backend.

    Args:
        backend: the backend that runs the requests.
        budget: the budget that the user gave to the chat; None for none.
        policy: the media policy.
        calibrator: the map from confidences to shares of right answers; None for none.

    Attributes:
        given_budget: the budget that the user gave to the chat; None for none.
        budget: the budget of requests that have none of their own.
        facts: facts for the report that the backend does not know, in words.
        tracers: the traces that follow each request.
    """

    def __init__(
        self,
        backend: Backend,
        budget: PixelBudget | None,
        policy: MediaPolicy,
        calibrator: Calibrator | None = None,
    ) -> None:
        if not isinstance(backend, Backend):
            raise InputError(
                f"a {type(backend).__name__} was given as the backend",
                expected="a Backend, such as ScriptedBackend",
                hint="VisionChat.from_pretrained(...), which loads a model by its id or folder",
            )
        self.backend = backend
        self.given_budget = budget
        self.budget = PixelBudget() if budget is None else budget
        self._policy = policy
        self.calibrator = calibrator
        self.facts: dict[str, str] = {}
        self.listeners = Listeners()
        self.tracers: tuple[Tracer, ...] = ()
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

    def close(self, grace_seconds: float) -> bool:
        """Refuse new uses, wait for those that have begun, and close the backend.

        Args:
            grace_seconds: the longest time to wait.

        Returns:
            True if nothing was in flight any more.

        Raises:
            InputError: grace_seconds is not a number of at least 0.
        """
        if not isinstance(grace_seconds, (int, float)) or not 0 <= grace_seconds < math.inf:
            raise InputError(
                f"grace_seconds={grace_seconds!r} was given", expected="0 or more seconds"
            )
        with self._uses:
            self.is_stopped = True
            is_idle = self._uses.wait_for(lambda: not self._num_uses, grace_seconds)
        is_idle = is_idle and health_of(self.backend).is_idle
        self.backend.close()
        return is_idle

    def retire(self) -> None:
        """Close the backend when the last use has ended; another pipeline takes new requests."""
        with self._uses:
            self._is_retired = True
            is_idle = not self._num_uses
        if is_idle:
            self._close_backend()

    def _end_use(self) -> None:
        with self._uses:
            self._num_uses -= 1
            self._uses.notify_all()
            is_over = self._is_retired and not self._num_uses
        if is_over:
            self._close_backend()

    def _close_backend(self) -> None:
        """Close a backend that was replaced; an error costs no request, and is logged."""
        try:
            self.backend.close()
        except Exception:
            LOGGER.warning("a backend that was replaced could not be closed", exc_info=True)

    @property
    def policy(self) -> MediaPolicy:
        """The media policy."""
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

    def plan(self, resolved: ResolvedRequest) -> Plan:
        """The plan of a request: its cost. Decodes no pixel and runs no model."""
        opened = self._opened(resolved)
        warnings = (*remarks_on(resolved.messages), *opened.notes)
        plan = replace(self._planned(opened), warnings=warnings)
        return viewable(plan, opened.media, self._policy)

    def prepare(
        self, request: ResolvedRequest, fetches: FetchCache | None = None
    ) -> PreparedRequest:
        """Open, plan and decode: all stages before the model runs.

        Args:
            request: the request.
            fetches: URLs that the call has fetched for other requests; None for none.
        """
        started = time.perf_counter()
        fetches = FetchCache() if fetches is None else fetches
        try:
            opened = self._opened(request, fetches)
            warnings = (*remarks_on(request.messages), *opened.notes)
            plan = replace(self._planned(opened), warnings=warnings)
            return self._prepare(opened, plan, started, fetches)
        except Exception as error:
            self.listeners.failure(error)
            raise

    def _opened(
        self, resolved: ResolvedRequest, fetches: FetchCache | None = None
    ) -> ResolvedRequest:
        """The request with its pictures and videos fetched, or linked where that will do.

        Pages stand in the places of their documents, and subtitles where the model reads them.
        """
        with told_if_exchanged(resolved.messages):
            messages, items = open_media(
                resolved.messages, self._policy, fetches, takes_links=self.backend.takes_links
            )
        messages, notes = self._with_subtitles(messages, items)
        return replace(resolved, messages=messages, media=items, notes=notes)

    def _with_subtitles(
        self, messages: tuple[Message, ...], items: Sequence[MediaItem]
    ) -> tuple[tuple[Message, ...], tuple[str, ...]]:
        """The messages with the lines of subtitles in their places, and notes about them."""
        backend = self.backend

        def count_tokens(text: str) -> int:
            empty = backend.count_prompt_tokens((Message.user("?"),), ())
            return 1 + backend.count_prompt_tokens((Message.user(text),), ()) - empty

        measures = [item.measure for item in items]
        placed, notes = place_subtitles(messages, measures, backend.rules, count_tokens)
        return placed, (*(note for item in items for note in item.notes), *notes)

    def _planned(self, opened: ResolvedRequest, most_visual_tokens: int | None = None) -> Plan:
        """The plan of a request, without its warnings.

        Args:
            opened: the request, opened.
            most_visual_tokens: the most visual tokens, if it may be shrunk; None for no limit.
        """
        measures = [item.measure for item in opened.media]
        plan = self._plan_within(opened, measures, most_visual_tokens)
        while opened.fit == "shrink" and plan.fits_memory is False and plan.visual_tokens > 1:
            try:
                smaller = self._plan_within(opened, measures, plan.visual_tokens // 2)
            except InputError:  # there is nothing left to give up
                break
            plan = smaller
        advice = advise(plan, measures, opened.budget, self.backend.rules)
        return replace(plan, advice=advice)

    def submit(
        self, prepared: PreparedRequest, observer: Observer | None = None
    ) -> Future[Completion]:
        """Submit a prepared request; it is answered along with others.

        Raises:
            OverloadError: too many requests wait.
        """
        followers = list[Follower]()
        for tracer in self.tracers:
            observer = tracer.follow(prepared, observer)
            followers.append(observer)
        try:
            future = self.backend.submit(prepared.request, observer)
            for follower in followers:
                future.add_done_callback(follower.note_end)
            return future
        except Exception as error:
            self.listeners.failure(error)
            raise

    def together(self) -> AbstractContextManager[object]:
        """A context whose requests are begun together, where the backend can."""
        return self.backend.gather()

    def prepare_smaller(self, prepared: PreparedRequest) -> PreparedRequest | None:
        """The same request with half its visual tokens; None if it does not allow that."""
        before = prepared.request.plan
        if prepared.resolved.fit != "shrink" or before.visual_tokens < 2:
            return None
        try:
            plan = self._planned(prepared.resolved, before.visual_tokens // 2)
            plan = replace(plan, warnings=before.warnings)
            smaller = self._prepare(prepared.resolved, plan, prepared.started)
        except InputError:  # there is nothing left to give up
            return None
        return smaller if plan.visual_tokens < before.visual_tokens else None

    def prepare_as_planned(self, request: ResolvedRequest, plan: Plan) -> BackendRequest:
        """Prepare a request with the sizes of a plan, and with all pixels.

        Nothing is recalled from the backend's cache, and nothing is left as a link.

        Raises:
            InputError: the plan is that of another request.
        """
        with told_if_exchanged(request.messages):
            messages, items = open_media(request.messages, self._policy)
        messages, _ = self._with_subtitles(messages, items)
        for item, entry in zip_longest(items, plan.media.values()):
            if item is None or entry is None or item.measure.size != entry.original:
                raise InputError(
                    "the request is not the one of the reply: its pictures differ",
                    expected=f"{', '.join(str(each.original) for each in plan.media.values())}",
                    hint="request = Request.about(...); reply = chat.ask(request)",
                )
        media = tuple(item.content for item in self._decoded(with_plan(items, plan)))
        return BackendRequest(messages, plan, media, request.sampling, (None,) * len(media))

    def _prepare(
        self, opened: ResolvedRequest, plan: Plan, started: float, fetches: FetchCache | None = None
    ) -> PreparedRequest:
        _check_fits(plan)
        plan = viewable(plan, opened.media, self._policy)
        items = self._known(with_plan(opened.media, plan), fetches)
        decoded = self._decoded(items)
        return PreparedRequest(
            request=BackendRequest(
                opened.messages,
                plan,
                tuple(item.content for item in decoded),
                opened.sampling,
                tuple(item.key for item in decoded),
                opened.constraint,
            ),
            resolved=replace(opened, media=items),
            started=started,
            media_seconds=time.perf_counter() - started,
        )

    def _known(
        self, items: Sequence[MediaItem], fetches: FetchCache | None
    ) -> tuple[MediaItem, ...]:
        """The items, with content for those that need no decoding: recalled, or left as a link."""
        backend = self.backend
        if not backend.has_cache:
            return tuple(self._linked(item, fetches) for item in items)
        return tuple(
            item if item.key is None else replace(item, content=backend.recall(item.key))
            for item in identify_media(items, self._policy)
        )

    def _linked(self, item: MediaItem, fetches: FetchCache | None) -> MediaItem:
        """The item with its link as content, if the server resizes its picture as planned."""
        if not isinstance(item.source, Link):
            return item
        if isinstance(item.plan, ImagePlan) and has_native_size(item.plan, self.backend.rules):
            return replace(item, content=item.source)
        return fetch_link(item, self._policy, fetches)

    def _decoded(self, items: Sequence[MediaItem]) -> tuple[MediaItem, ...]:
        """The items with pixels, as the backend resizes them."""
        backend = self.backend
        return decode_media(
            items, self._policy, backend.resize_image, resize_frame=backend.resize_frame
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
            degradations=(*narrowed_by_engine(measures, budget, rules), *lost),
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
    """The most tokens that the answer to a prompt may have."""
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
