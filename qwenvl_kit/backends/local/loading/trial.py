"""The trial of a loaded model: a decode step with a KV cache gives the logits of one full pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from qwenvl_kit.backends.local.engine.model_runner import ModelRunner
from qwenvl_kit.backends.local.keywords import outdated_error

_STARTS = (0, 100, 180)
"""The first tokens of the trial prompts. The next prompt is tried only if the logits of one differ,
so that a single case of bad rounding does not refuse a model."""

_EXACT, _ROUNDED = 0.02, 0.5
"""The largest difference of the logits: root mean square, in standard deviations. Measured over 30
prompts, all families and the model that ships with the package: at most 7e-6 in fp32, .011 in bf16,
fp16 and 4-bit; in 8-bit .07, and .36 for one prompt that went to other experts. Without the cache
the last token of these prompts differs by .6 to 1.4."""


def check_cached_step(model: Any, *, is_exact: bool, runner: ModelRunner | None = None) -> None:
    """Check that a model keeps its tokens in a cache and uses them.

    It takes two passes over twelve tokens and one over a single token, once for each load.

    Args:
        model: the model of transformers, in evaluation mode.
        is_exact: True if it computes in fp32, on weights that are not quantised.
        runner: runs the model; None for one of transformers.

    Raises:
        OutdatedPackageError: the logits differ; the message has the versions that are installed.
    """
    most, runner = _EXACT if is_exact else _ROUNDED, runner or ModelRunner(model, 0)
    kind = model.device.type
    if all(_distance(runner, kind, _prompt(start)) > most for start in _STARTS):
        raise outdated_error(
            f"a step of {type(model).__name__} after a cache gives something else than one pass "
            "over all tokens"
        )


def _prompt(start: int) -> list[int]:
    """Twelve different tokens: bytes, which the vocabularies of all families have."""
    return [(start + 31 * at) % 250 for at in range(12)]


def _distance(runner: ModelRunner, device_type: str, ids: Sequence[int]) -> float:
    """The difference of the last token's logits with a cache and without.

    Infinity if the cache is empty. NaN if the logits are not numbers, which is reported when an
    answer is generated.
    """
    positions = torch.arange(len(ids)).expand(4, 1, -1)
    with torch.inference_mode(), torch.autocast(device_type, enabled=False):
        whole = runner.step(runner.open_state(), None, [[*ids]], positions)[0, -1]
        cache = runner.open_state()
        runner.step(cache, None, [[*ids[:-1]]], positions[..., :-1])
        if cache.get_seq_length() != len(ids) - 1:
            return math.inf
        after = runner.step(cache, None, [[ids[-1]]], positions[..., -1:])[0, -1]
        return float((after - whole).square().mean().sqrt() / whole.std())
