"""A trial of a loaded model: a step with a cache gives what one pass over all tokens gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from qwenvl_kit.backends.local.cache.kv_cache import open_cache
from qwenvl_kit.backends.local.engine.model_runner import ModelRunner
from qwenvl_kit.backends.local.keywords import unfit

_STARTS = (0, 100, 180)
"""Prompts that are tried one after another, until the two agree: no odd case of rounding is enough
to refuse a model."""

_EXACT, _ROUNDED = 0.02, 0.5
"""How far the logits may part, in standard deviations (root mean square). Measured over 30 prompts,
all families and the model that ships with the package: at most 7e-6 in fp32, .011 in bf16, fp16
and 4-bit; in 8-bit .07, and .36 for one prompt whose experts were others. Without what comes
before it the last token of these prompts is off by .6 to 1.4."""


def check_cached_step(model: Any, *, is_exact: bool) -> None:
    """Refuse a model that keeps nothing in a cache, or makes something else of it than it should.

    Two passes over twelve tokens and one over a single token, once for each load.

    Args:
        model: the model of transformers, in evaluation mode.
        is_exact: whether it computes in fp32, on weights as they are.

    Raises:
        OutdatedPackageError: with the versions that are installed.
    """
    most = _EXACT if is_exact else _ROUNDED
    if all(_distance(model, _prompt(start)) > most for start in _STARTS):
        raise unfit(
            f"a step of {type(model).__name__} after a cache gives something else than one pass "
            "over all tokens"
        )


def _prompt(start: int) -> list[int]:
    """Twelve tokens that differ: bytes, in the vocabularies of all families."""
    return [(start + 31 * at) % 250 for at in range(12)]


def _distance(model: Any, ids: Sequence[int]) -> float:
    """How far the logits of the last token part with a cache and without.

    Infinity where nothing was kept. Not a number where the logits are none, which is told where an
    answer is made of them.
    """
    forward, positions = ModelRunner(model, 0), torch.arange(len(ids)).expand(4, 1, -1)
    with torch.inference_mode(), torch.autocast(model.device.type, enabled=False):
        whole = forward.step(open_cache(model), None, [[*ids]], positions)[0, -1]
        cache = open_cache(model)
        forward.step(cache, None, [[*ids[:-1]]], positions[..., :-1])
        if cache.get_seq_length() != len(ids) - 1:
            return math.inf
        after = forward.step(cache, None, [[ids[-1]]], positions[..., -1:])[0, -1]
        return float((after - whole).square().mean().sqrt() / whole.std())
