"""The warm-up of a chat: `VisionChat.from_pretrained(warm_up=True)`.

The first request of a process pays once for what later ones find ready: kernels that are chosen or
compiled for a shape, memory that a device hands out, threads. The warm-up pays for it while
loading, with the largest picture that the chat's budget allows and with a batch.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace

from qwenvl_kit.backends.base import Backend
from qwenvl_kit.budget.limits import apply_budget, total_tokens
from qwenvl_kit.errors import (
    ModelLoadError,
    OutOfMemoryError,
    OverloadError,
    PlacementError,
    QwenVLKitError,
    UnsupportedFeatureError,
)
from qwenvl_kit.options import Sampling
from qwenvl_kit.pipeline.core import Pipeline
from qwenvl_kit.pipeline.inflight import InFlightRequest, RequestObserver
from qwenvl_kit.pipeline.stats import StatsCounter
from qwenvl_kit.plans import Plan
from qwenvl_kit.requests import Request
from qwenvl_kit.results import Reply

NUM_ROWS = 4
"""The questions of the batch: with more than one row other kernels run than with one."""

_NUM_NEW_TOKENS = 4
"""The tokens of each answer: the first comes from the prompt, the others from decode steps."""


def check_warm_up(warm_up: object) -> None:
    """Check the argument `warm_up` before a model is loaded.

    Raises:
        ModelLoadError: it is neither True nor False.
    """
    if not isinstance(warm_up, bool):
        raise ModelLoadError(f"warm_up={warm_up!r} was given", expected="True or False")


def warm_up_pipeline(pipeline: Pipeline) -> None:
    """Run the shapes of a pipeline's budget once, and note in its facts how long that took.

    Nothing of it stays in the cache or in the statistics of replies. If it fails, the backend is
    closed.

    Args:
        pipeline: the pipeline, which nobody else uses yet.

    Raises:
        PlacementError: memory ran out.
        ModelLoadError: the model failed in another way.
    """
    started = time.perf_counter()
    try:
        plan = _run(pipeline)
    except BaseException as error:
        pipeline.backend.close()
        if isinstance(error, QwenVLKitError):
            raise _as_load_error(error) from error
        raise
    seconds = time.perf_counter() - started
    (image,) = plan.images
    pipeline.facts["warm_up"] = (
        f"{seconds:.1f} s: a picture of {image.tokens} visual tokens ({image.resized}), and "
        f"{NUM_ROWS} questions at once"
    )


def _run(pipeline: Pipeline) -> Plan:
    sampling = _sampling(pipeline.backend)
    picture = _largest_picture(pipeline, sampling)
    (reply,) = _answer(pipeline, [picture])
    questions = ["Name a colour" + ", please" * row for row in range(NUM_ROWS)]
    _answer(pipeline, [Request(question, sampling=sampling) for question in questions])
    if pipeline.backend.has_cache:
        pipeline.backend.clear_cache()
    return reply.plan


def _answer(pipeline: Pipeline, requests: list[Request]) -> list[Reply]:
    """Answer requests as one batch, of as many as may wait; a failure is raised when all ended."""
    stats = StatsCounter()  # not the chat's: nobody has asked these
    with pipeline.use() as use:
        prepared = [pipeline.prepare(pipeline.resolve(request)) for request in requests]
        flights = list[InFlightRequest]()
        with pipeline.together():
            for each in prepared:
                try:
                    flights.append(InFlightRequest(use.pipeline, each, stats, RequestObserver()))
                except OverloadError:  # `max_queued_requests` is smaller than the batch
                    break
        for flight in flights:
            flight.wait()
        return [flight.result() for flight in flights]


def _largest_picture(pipeline: Pipeline, sampling: Sampling) -> Request:
    """The largest square that the budget, the context and the media policy allow."""
    import PIL.Image

    rules, budget = pipeline.backend.rules, pipeline.budget
    token_side_px = rules.family.token_side_px
    limits = apply_budget(budget, rules.image_limits, token_side_px)
    most = [
        limits.max_pixels // token_side_px**2,
        total_tokens(budget, token_side_px) or rules.context_tokens,
        rules.context_tokens,
        pipeline.policy.max_pixels // token_side_px**2,
    ]
    side_px = max(1, math.isqrt(min(most))) * token_side_px
    picture = PIL.Image.new("RGB", (side_px, side_px), "white")
    return Request.about("What is this?", picture, sampling=sampling, fit="shrink")


def _sampling(backend: Backend) -> Sampling:
    """The checkpoint's own sampling, so that its kernels run, too; short."""
    try:
        own = backend.default_sampling
    except UnsupportedFeatureError:  # it was published with a search that nobody can ask for
        own = Sampling()
    return replace(own, max_new_tokens=_NUM_NEW_TOKENS)


def _as_load_error(error: QwenVLKitError) -> ModelLoadError:
    if isinstance(error, ModelLoadError):
        return error
    if isinstance(error, OutOfMemoryError):
        return PlacementError(
            f"the model was loaded, and its warm-up found too little memory ({error})",
            hint="a smaller budget, quantization='4bit', or warm_up=False",
        )
    return ModelLoadError(
        f"the model was loaded, and its warm-up failed ({type(error).__name__}: {error})",
        hint="python -m qwenvl_kit doctor, or warm_up=False",
    )
