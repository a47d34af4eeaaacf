"""The same request answered several times, to see whether the answers agree."""

from __future__ import annotations

from dataclasses import replace

from qwenvl_kit.errors import GenerationError, SamplingError
from qwenvl_kit.options import Sampling
from qwenvl_kit.pipeline.core import Pipeline, Prepared, Settled
from qwenvl_kit.pipeline.inflight import Follower, Pending
from qwenvl_kit.pipeline.stats import Totals
from qwenvl_kit.results import Reply

SAMPLE_TEMPERATURE = 0.7
"""Of the samples, where the answer itself is greedy (Wang et al., 2022, arXiv:2203.11171)."""

MAX_SAMPLES = 64


def ask_with_samples(
    pipeline: Pipeline, totals: Totals, settled: Settled, num_samples: int
) -> Reply:
    """The answer to a request, with other answers to it.

    All are read as one prompt and written together. A sample that fails is left out.

    Args:
        pipeline: their way.
        totals: where all of them are counted.
        settled: what is asked.
        num_samples: how many other answers.

    Raises:
        SamplingError: too many, or no whole number.
        QwenVLKitError: the answer itself failed.
    """
    if type(num_samples) is not int or not 1 <= num_samples <= MAX_SAMPLES:
        raise SamplingError(
            f"num_samples={num_samples!r} was given",
            expected=f"a whole number from 0 to {MAX_SAMPLES}",
        )
    prepared = pipeline.prepare(settled)
    asked = [prepared, *(_sample(prepared, at) for at in range(num_samples))]
    with pipeline.together():
        answer, *samples = [Pending(pipeline, item, totals, Follower()) for item in asked]
    try:
        reply = answer.result()
        return replace(reply, samples=tuple(_texts(samples)))
    finally:
        for sample in samples:
            sample.cancel()


def _texts(samples: list[Pending]) -> list[str]:
    texts = []
    for sample in samples:
        try:
            texts.append(sample.result().text)
        except GenerationError:
            continue
    return texts


def _sample(prepared: Prepared, index: int) -> Prepared:
    """The same request with chance in it; seeded, where it was."""
    sampling = _varied(prepared.settled.sampling, index)
    return replace(
        prepared,
        request=replace(prepared.request, sampling=sampling),
        settled=replace(prepared.settled, sampling=sampling),
    )


def _varied(sampling: Sampling, index: int) -> Sampling:
    temperature = SAMPLE_TEMPERATURE if sampling.is_greedy else sampling.temperature
    seed = None if sampling.seed is None else (sampling.seed + 1 + index) % 2**64
    return replace(sampling, temperature=temperature, seed=seed)
