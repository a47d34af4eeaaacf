"""Processed logits: the logits of a step after grammars, penalties and rules, for all its rows.

What rows need from the processor, the tokens that a grammar allows and those that were added to an
answer, is copied to their device once for all of them, and nothing is waited for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy
import torch

from qwenvl_kit.backends.local.devices import upload
from qwenvl_kit.backends.local.engine import sequence as sequences_of

Rows = Mapping[int, sequences_of.Sequence]
"""The sequences whose logits are processed, by their rows."""


def process_logits(
    sequences: Sequence[sequences_of.Sequence], logits: torch.Tensor
) -> dict[int, torch.Tensor]:
    """The processed logits, (vocabulary,), of the sequences that take no raw ones, by their rows.

    A sequence whose logits cannot be processed ends by an error of its own.

    Args:
        sequences: the sequences of a step.
        logits: raw logits, fp32 (batch, vocabulary).
    """
    live = {at: each for at, each in enumerate(sequences) if each.finish_reason is None}
    rows = {at: each for at, each in live.items() if not each.takes_raw_logits}
    if not rows:
        return {}
    bound, processed = _bound(rows, logits), dict[int, torch.Tensor]()
    _read_ids(rows, logits.device)
    for at, sequence in rows.items():
        with sequence.failing_alone():
            processed[at] = sequence.sampler.process(bound.get(at, logits[at]))
    return {at: found for at, found in processed.items() if rows[at].finish_reason is None}


def _bound(rows: Rows, logits: torch.Tensor) -> dict[int, torch.Tensor]:
    """The logits of rows with a grammar: minus infinity for tokens that may not come next."""
    allowed = dict[int, Any]()
    for at, sequence in rows.items():
        with sequence.failing_alone():
            found = sequence.allowed(logits.shape[1])
            if found is not None:
                allowed[at] = found
    if not allowed:
        return {}
    if logits.device.type == "cpu":  # torch's threads take longer to wake than the work takes
        values = logits.numpy()
        lowest = numpy.float32(-numpy.inf)
        return {
            at: torch.from_numpy(numpy.where(mask, values[at], lowest))
            for at, mask in allowed.items()
        }
    masks = _unpacked(numpy.stack([*allowed.values()]), logits.device)
    return {at: logits[at].masked_fill(~mask, -torch.inf) for at, mask in zip(allowed, masks)}


def _unpacked(masks: Any, device: torch.device) -> torch.Tensor:
    """Masks on a device, bool (rows, vocabulary); a bit for each token goes there."""
    packed = numpy.packbits(masks, axis=1, bitorder="little")
    bits = upload(torch.from_numpy(packed), device)[..., None]
    places = torch.arange(8, dtype=torch.uint8, device=device)
    return ((bits >> places) & 1).bool().flatten(1)[:, : masks.shape[1]]


def _read_ids(rows: Rows, device: torch.device) -> None:
    """Have the samplers of rows read the ids that were added since the last step."""
    unread = {at: sequence.sampler.unread(sequence.token_ids) for at, sequence in rows.items()}
    ids = [token_id for part in unread.values() for token_id in part]
    if not ids:
        return
    parts = upload(torch.tensor(ids), device).split([len(part) for part in unread.values()])
    for sequence, part in zip(rows.values(), parts):
        sequence.sampler.read(part)
