"""The next token of each row, chosen from the raw distribution and scored by it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from transformers.generation.logits_process import InfNanRemoveLogitsProcessor

from qwenvl_kit.backends.local.jobs import Job
from qwenvl_kit.errors import GenerationError


def choose_tokens(jobs: Sequence[Job], logits: torch.Tensor, dtype: torch.dtype) -> None:
    """Give each row that has not ended its next token.

    Scores are those of the raw distribution: what temperature and top-p leave of it would
    overstate how sure the model was.

    Args:
        jobs: the requests.
        logits: raw logits, fp32 (batch, vocabulary).
        dtype: what the model computes in, for messages.

    Raises:
        GenerationError: they are not numbers.
    """
    if any(job.row.removes_invalid_values for job in jobs):
        logits = InfNanRemoveLogitsProcessor()(None, logits)
    likeliest = logits.argmax(dim=-1).tolist()
    chosen = [
        likeliest[at]
        if job.row.takes_the_likeliest or job.row.finish_reason
        else _chosen(job, logits[at], instead=likeliest[at])
        for at, job in enumerate(jobs)
    ]
    logprobs = torch.log_softmax(logits, dim=-1)
    columns = torch.tensor(chosen, device=logits.device)[:, None]
    scores = logprobs.gather(1, columns)[:, 0].tolist()
    for at, (job, token_id, score) in enumerate(zip(jobs, chosen, scores)):
        if job.row.finish_reason is not None:
            continue
        if math.isnan(score):
            raise _not_numbers(dtype)
        job.row.append(token_id, score, logprobs[at])


def _not_numbers(dtype: torch.dtype) -> GenerationError:
    """Only fp16 is too small for sound weights; elsewhere one of them is likely no number."""
    if dtype == torch.float16:
        hint = "dtype='bfloat16' or 'float32'; fp16 has too small a range"
    else:
        hint = (
            "download the checkpoint again: one of its weights may be no number (NaN) or infinite, "
            "as after a training run that diverged; torch.isfinite tells which"
        )
    name = str(dtype).removeprefix("torch.")
    return GenerationError(f"the model's logits are not numbers (it computes in {name})", hint=hint)


def _chosen(job: Job, logits: torch.Tensor, instead: int) -> int:
    """The next token of a row; one that has none ends by an error, and its neighbours go on."""
    try:
        return job.row.choose(job.ids, logits)
    except GenerationError as error:
        job.row.fail(error)
        return instead
