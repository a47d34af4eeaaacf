"""The ways to ask: one request, one as it is written, many, and without waiting."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal, overload

from qwenvl_kit.arguments.checks import tells_arguments
from qwenvl_kit.backends.base import Backend, ClosedBackend
from qwenvl_kit.conversation import Media
from qwenvl_kit.formats.dicts import Prompt
from qwenvl_kit.journal import Journal, model_facts
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.options import BudgetChoice, Fit, PixelBudget, Sampling, as_budget, check_fit
from qwenvl_kit.pipeline.batch import BatchRun, Result
from qwenvl_kit.pipeline.closing import is_let_go_within
from qwenvl_kit.pipeline.collecting import (
    OnError,
    check_batch_arguments,
    checked_requests,
    collect,
    counted,
)
from qwenvl_kit.pipeline.core import Pipeline, Settled, check_sampling
from qwenvl_kit.pipeline.desk import BatchDesk
from qwenvl_kit.pipeline.health import health_of
from qwenvl_kit.pipeline.inflight import Follower, Pending, fails_for_memory
from qwenvl_kit.pipeline.process_bound import StaysHere
from qwenvl_kit.pipeline.self_consistency import ask_with_samples
from qwenvl_kit.pipeline.stats import ChatStats, Totals
from qwenvl_kit.pipeline.streaming import BatchStream, ReplyStream
from qwenvl_kit.plans import Plan
from qwenvl_kit.requests import Request, RequestLike
from qwenvl_kit.results import Reply
from qwenvl_kit.structured_output.constraints import Constraint

if TYPE_CHECKING:
    from qwenvl_kit.calibration import Calibrator


@tells_arguments
class Asking(StaysHere):
    """Takes requests to a backend; what a `VisionChat` does apart from loading models.

    Args:
        backend: what runs the requests.
        budget: what pictures may cost where a request does not say.
        media: what may be opened.
        calibrator: what makes confidences of how sure the model was; None for none.
    """

    def __init__(
        self,
        backend: Backend,
        budget: PixelBudget,
        media: MediaPolicy,
        calibrator: Calibrator | None = None,
    ) -> None:
        self._pipeline = Pipeline(backend, budget, media, calibrator)
        self._totals = Totals()

    @property
    def _backend(self) -> Backend:
        return self._pipeline.backend

    def ask(
        self,
        prompt: Prompt,
        *media: Media,
        sampling: Sampling | None = None,
        budget: BudgetChoice | None = None,
        fit: Fit = "refuse",
        abstain_below: float | None = None,
        num_samples: int = 0,
        constraint: Constraint | None = None,
        tools: Sequence[Callable[..., Any]] = (),
        thinking: bool | None = None,
    ) -> Reply:
        """Answer one question or conversation.

        Args:
            prompt: a question, or messages: `Message` objects, or dicts as Qwen's guides or
                OpenAI's API write them.
            media: pictures and videos that the question is about; they go before it.
            sampling: how to generate; None follows the checkpoint's published settings.
            budget: what pictures may cost; None takes the chat's own budget.
            fit: a request that is longer than the model's context is refused, or with "shrink"
                made to fit: pictures are shown smaller and fewer frames of a video, which the
                reply's plan records.
            abstain_below: the confidence that the answer is to have at least; `is_abstained` of
                the reply says whether it has less.
            num_samples: answer so many times more, by chance, and say in `agreement` how often
                the same came out.
            constraint: what the answer must look like; the model then writes nothing else.
            tools: functions that the model may call; `reply.tool_calls` are its calls, and
                `run_tools` makes them.
            thinking: whether the model thinks first, which `reply.thinking` then holds; for
                checkpoints that can be switched, as those of Qwen3.5 can.

        Raises:
            InputError: the request cannot be used; says where, what was expected, what to try.
            GenerationError: the model failed.
        """
        pipeline = self._pipeline  # another may take its place meanwhile
        settled = pipeline.settle(
            Request.about(
                prompt,
                *media,
                sampling=sampling,
                budget=budget,
                fit=fit,
                abstain_below=abstain_below,
                constraint=constraint,
                tools=tools,
                thinking=thinking,
            )
        )
        if num_samples:
            return ask_with_samples(pipeline, self._totals, settled, num_samples)
        return self._begin(pipeline, settled, Follower()).result()

    def stream(
        self,
        prompt: Prompt,
        *media: Media,
        sampling: Sampling | None = None,
        budget: BudgetChoice | None = None,
        fit: Fit = "refuse",
        abstain_below: float | None = None,
        constraint: Constraint | None = None,
        tools: Sequence[Callable[..., Any]] = (),
        thinking: bool | None = None,
    ) -> ReplyStream:
        """Answer one question or conversation, token by token.

        The arguments and errors are those of `ask`. Mistakes in the request are raised at once.
        What is streamed is all that the model writes, calls and thoughts included; the stream's
        `reply` has them apart.

        Example:
            with chat.stream("Describe this image.", "photo.jpg") as stream:
                for delta in stream:
                    print(delta.text, end="")
            print(stream.reply.confidence)
        """
        pipeline = self._pipeline  # another may take its place meanwhile
        settled = pipeline.settle(
            Request.about(
                prompt,
                *media,
                sampling=sampling,
                budget=budget,
                fit=fit,
                abstain_below=abstain_below,
                constraint=constraint,
                tools=tools,
                thinking=thinking,
            )
        )
        return ReplyStream(lambda follower: self._begin(pipeline, settled, follower))

    async def ask_async(
        self,
        prompt: Prompt,
        *media: Media,
        sampling: Sampling | None = None,
        budget: BudgetChoice | None = None,
        fit: Fit = "refuse",
        abstain_below: float | None = None,
        constraint: Constraint | None = None,
        tools: Sequence[Callable[..., Any]] = (),
        thinking: bool | None = None,
    ) -> Reply:
        """Answer one question or conversation, without keeping the event loop waiting.

        Those that are asked at the same time are answered together. Cancelling the task ends the
        answer. The arguments and errors are those of `ask`.

        Raises:
            OverloadError: too many requests wait.
        """
        import asyncio

        pipeline = self._pipeline  # another may take its place meanwhile
        settled = pipeline.settle(
            Request.about(
                prompt,
                *media,
                sampling=sampling,
                budget=budget,
                fit=fit,
                abstain_below=abstain_below,
                constraint=constraint,
                tools=tools,
                thinking=thinking,
            )
        )
        follower = Follower()
        try:
            pending = await asyncio.to_thread(self._begin, pipeline, settled, follower)
            if await fails_for_memory(pending):  # it may be asked once more, smaller
                return await asyncio.to_thread(pending.result)
            return pending.result()
        except asyncio.CancelledError:
            follower.cancel()
            raise

    @overload
    def ask_many(
        self,
        requests: Iterable[RequestLike],
        *,
        sampling: Sampling | None = ...,
        budget: BudgetChoice | None = ...,
        fit: Fit = ...,
        on_error: Literal["raise"],
        abstain_below: float | None = ...,
        max_batch_size: int | None = ...,
        progress: bool = ...,
        journal: str | os.PathLike[str] | None = ...,
    ) -> list[Reply]: ...

    @overload
    def ask_many(
        self,
        requests: Iterable[RequestLike],
        *,
        sampling: Sampling | None = ...,
        budget: BudgetChoice | None = ...,
        fit: Fit = ...,
        on_error: OnError = ...,
        abstain_below: float | None = ...,
        max_batch_size: int | None = ...,
        progress: bool = ...,
        journal: str | os.PathLike[str] | None = ...,
    ) -> list[Result]: ...

    def ask_many(
        self,
        requests: Iterable[RequestLike],
        *,
        sampling: Sampling | None = None,
        budget: BudgetChoice | None = None,
        fit: Fit = "refuse",
        on_error: OnError = "return",
        abstain_below: float | None = None,
        max_batch_size: int | None = None,
        progress: bool = False,
        journal: str | os.PathLike[str] | None = None,
    ) -> Sequence[Result]:
        """Answer many requests, several at a time, each as if it were asked alone.

        Args:
            requests: questions, conversations or `Request` objects; read as there is room for
                them.
            sampling: for those that have none of their own.
            budget: for those that have none of their own.
            fit: for those that have none of their own; see `ask`.
            on_error: "return" puts a `Failure` in the place of a request that fails; "raise"
                raises the first error, in the order of the requests.
            abstain_below: for those that have none of their own; see `ask`.
            max_batch_size: most requests that are on their way at a time; None leaves it to the
                memory that they take.
            progress: show a progress bar.
            journal: a file in which each reply is kept as soon as it is there, under the id of
                its request or its place; a run that was ended goes on from it.

        Returns:
            A `Reply` or `Failure` for each request, in their order.

        Raises:
            InputError: an argument of this call cannot be used.
            JournalError: the file cannot be used, or is of another model.
        """
        check_batch_arguments(on_error, max_batch_size)
        requests = checked_requests(requests)
        with self._desk(sampling, budget, fit, abstain_below, journal) as desk:
            run = BatchRun(requests, desk, max_in_flight=max_batch_size)
            with counted(requests, is_shown=progress) as note, closing(run.events()) as events:
                return collect(events, on_error, note)

    def stream_many(
        self,
        requests: Iterable[RequestLike],
        *,
        sampling: Sampling | None = None,
        budget: BudgetChoice | None = None,
        fit: Fit = "refuse",
        max_batch_size: int | None = None,
    ) -> BatchStream:
        """Answer many requests, and tell of each token as it comes.

        The arguments are those of `ask_many`. A request that fails is a `Failure` among the
        results.

        Example:
            with chat.stream_many(["What is a pixel?", "What is a voxel?"]) as stream:
                for event in stream:
                    if event.delta is not None:
                        print(event.index, event.delta.text)
            print(stream.results)
        """
        check_batch_arguments("return", max_batch_size)
        desk = self._desk(sampling, budget, fit, None, None)
        return BatchStream(
            BatchRun(
                checked_requests(requests), desk, max_in_flight=max_batch_size, shows_deltas=True
            )
        )

    def plan(
        self,
        prompt: Prompt,
        *media: Media,
        sampling: Sampling | None = None,
        budget: BudgetChoice | None = None,
        fit: Fit = "refuse",
    ) -> Plan:
        """What `ask` with these arguments would cost. Decodes no picture and runs no model.

        Raises:
            InputError: the request cannot be used. One that does not fit the context or the
                device's memory is no error here: its plan says so, and what would help.
        """
        pipeline = self._pipeline
        return pipeline.plan(
            pipeline.settle(
                Request.about(prompt, *media, sampling=sampling, budget=budget, fit=fit)
            )
        )

    def stats(self) -> ChatStats:
        """Totals of all replies since this chat was made, and where the time went."""
        return self._totals.stats(self._backend.work())

    def _take_over(self, pipeline: Pipeline) -> None:
        """Answer by another pipeline from now on.

        Whatever is in flight holds the old one; its backend is closed when nothing does any more.
        """
        old = self._pipeline
        if pipeline is old:
            return
        pipeline.listeners = old.listeners
        self._pipeline = pipeline
        weakref.finalize(old, old.backend.close).atexit = False

    def _retire(self, grace_seconds: float) -> bool:
        """Take no more requests, and close the backend; whether all that were begun had ended."""
        backend, budget, policy = self._backend, self._pipeline.budget, self._pipeline.policy
        has_ended = health_of(backend).is_idle
        if grace_seconds:
            before = weakref.ref(self._pipeline)
            self._take_over(Pipeline(ClosedBackend(), budget, policy))
            has_ended = is_let_go_within(grace_seconds, before)
            self._take_over(Pipeline(backend, budget, policy))
        backend.close()
        return has_ended

    def _begin(self, pipeline: Pipeline, request: Settled, follower: Follower) -> Pending:
        """Prepare a request and have it answered."""
        return Pending(pipeline, pipeline.prepare(request), self._totals, follower)

    def _desk(
        self,
        sampling: Sampling | None,
        budget: BudgetChoice | None,
        fit: Fit,
        abstain_below: float | None,
        journal: str | os.PathLike[str] | None,
    ) -> BatchDesk:
        """Checks what a call gave for all of its requests."""
        check_sampling(sampling)
        check_fit(fit)
        if budget is not None:
            as_budget(budget)
        pipeline, notes = self._pipeline, Journal()
        if journal is not None:
            facts = {"model": model_facts(pipeline.backend.report())}
            notes = Journal.open(journal, kind="ask_many", settings=facts)
        return BatchDesk(
            pipeline,
            self._totals,
            notes,
            Request("", sampling=sampling, budget=budget, fit=fit, abstain_below=abstain_below),
        )
