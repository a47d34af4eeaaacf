"""The next token of each row, chosen from the raw distribution and scored by it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from transformers.generation.logits_process import InfNanRemoveLogitsProcessor

from qwenvl_kit.backends.local.engine.finite_values import (
    LANGUAGE_MODEL,
    highest_logits,
    not_numbers,
)
from qwenvl_kit.backends.local.engine.request import Job
from qwenvl_kit.backends.local.error_mapping import translated_errors
from qwenvl_kit.errors import OutOfMemoryError, QwenVLKitError


def choose_tokens(jobs: Sequence[Job], logits: torch.Tensor, dtype: torch.dtype) -> None:
    """Give each row that has not ended its next token; one that can have none ends by an error.

    Scores are those of the raw distribution: what temperature and top-p leave of it would
    overstate how sure the model was.

    Args:
        jobs: the requests.
        logits: raw logits, fp32 (batch, vocabulary).
        dtype: what the model computes in, for messages.
    """
    if any(job.row.removes_invalid_values for job in jobs):
        logits = InfNanRemoveLogitsProcessor()(None, logits)
    likeliest, highest = highest_logits(logits)
    for job, value in zip(jobs, highest):
        if not math.isfinite(value):  # before anything is drawn: a GPU ends its process for that
            job.row.fail(not_numbers(LANGUAGE_MODEL, dtype))
    chosen = [_chosen(*each) for each in zip(jobs, logits, likeliest)]
    logprobs = torch.log_softmax(logits, dim=-1)
    columns = torch.tensor(chosen, device=logits.device)[:, None]
    scores = logprobs.gather(1, columns)[:, 0].tolist()
    for job, token_id, score, row in zip(jobs, chosen, scores, logprobs):
        if job.row.finish_reason is None:
            with _costing_itself(job):
                job.row.append(token_id, score, row)


def _chosen(job: Job, logits: torch.Tensor, likeliest: int) -> int:
    """The next token of a row; any where it has ended."""
    if job.row.finish_reason is None and not job.row.takes_the_likeliest:
        with _costing_itself(job):
            return job.row.choose(job.ids, logits)
    return likeliest


@contextmanager
def _costing_itself(job: Job) -> Iterator[None]:
    """A fault of one row ends that row, and its neighbours go on; but all share the memory."""
    try:
        with translated_errors():
            yield
    except OutOfMemoryError:
        raise
    except QwenVLKitError as error:
        job.row.fail(error)
