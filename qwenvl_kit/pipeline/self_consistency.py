"""Self-consistency: one request answered several times, to see how many answers agree."""

from __future__ import annotations

from dataclasses import replace

from qwenvl_kit.errors import GenerationError, SamplingError
from qwenvl_kit.options import Sampling
from qwenvl_kit.pipeline.core import Pipeline, PreparedRequest, ResolvedRequest
from qwenvl_kit.pipeline.inflight import InFlightRequest, RequestObserver
from qwenvl_kit.pipeline.stats import StatsCounter
from qwenvl_kit.results import Reply

SAMPLE_TEMPERATURE = 0.7
"""Temperature of samples, if the answer is greedy (Wang et al., 2022, arXiv:2203.11171)."""

MAX_SAMPLES = 64


def ask_with_samples(
    pipeline: Pipeline,
    stats: StatsCounter,
    resolved: ResolvedRequest,
    num_samples: int,
    observer: RequestObserver,
) -> Reply:
    """The answer to a request, with further answers that were sampled.

    The prompt is read once for all, and all answers are generated in one batch. A sample that fails
    is left out.

    Args:
        pipeline: the pipeline.
        stats: the counter of all replies, samples included.
        resolved: the request.
        num_samples: the number of further answers.
        observer: the observer of the answer; if it cancels, the samples end too.

    Raises:
        SamplingError: num_samples is too large, or not a whole number.
        QwenVLKitError: the answer itself failed.
    """
    if type(num_samples) is not int or not 1 <= num_samples <= MAX_SAMPLES:
        raise SamplingError(
            f"num_samples={num_samples!r} was given",
            expected=f"a whole number from 0 to {MAX_SAMPLES}",
        )
    prepared = pipeline.prepare(resolved)
    observers = [RequestObserver(parent=observer) for _ in range(num_samples)]
    samples: list[InFlightRequest] = []
    try:
        with pipeline.together():
            answer = InFlightRequest(pipeline, prepared, stats, observer)
            for index, watching in enumerate(observers):
                sampled = _sample(prepared, index)
                samples.append(InFlightRequest(pipeline, sampled, stats, watching))
    except BaseException:  # there is no room for all of them
        observer.cancel()
        raise
    try:
        reply = answer.result()
        return replace(reply, samples=tuple(_texts(samples)))
    finally:
        for sample in samples:
            sample.cancel()


def _texts(samples: list[InFlightRequest]) -> list[str]:
    texts = []
    for sample in samples:
        try:
            texts.append(sample.result().text)
        except GenerationError:
            continue
    return texts


def _sample(prepared: PreparedRequest, index: int) -> PreparedRequest:
    """The same request with sampling; its seed follows from the request's, if it has one."""
    sampling = _varied(prepared.resolved.sampling, index)
    return replace(
        prepared,
        request=replace(prepared.request, sampling=sampling),
        resolved=replace(prepared.resolved, sampling=sampling),
    )


def _varied(sampling: Sampling, index: int) -> Sampling:
    temperature = SAMPLE_TEMPERATURE if sampling.is_greedy else sampling.temperature
    seed = None if sampling.seed is None else (sampling.seed + 1 + index) % 2**64
    return replace(sampling, temperature=temperature, seed=seed)
