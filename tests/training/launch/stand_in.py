"""A training that only notes what it was asked for, in place of the loop."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from qwenvl_kit.media.policy import DEFAULT_POLICY, MediaPolicy
from qwenvl_kit.options import BudgetChoice
from qwenvl_kit.training import Example

Part = Literal["language", "projector", "vision"]


@dataclass(frozen=True)
class LoRA:
    rank: int = 8
    alpha: float = 32
    dropout: float = 0.0
    parts: tuple[Part, ...] = ("language",)


@dataclass(frozen=True)
class FullTraining:
    parts: tuple[Part, ...] = ("language",)


CALLS: list[dict[str, Any]] = []


def fine_tune(
    model: str | os.PathLike[str] | None,
    examples: Iterable[Example],
    output: str | os.PathLike[str],
    *,
    validation: float | Iterable[Example] | None = None,
    method: LoRA | FullTraining | None = None,
    budget: BudgetChoice = "native",
    quantization: Literal["4bit"] | None = None,
    learning_rate: float | Mapping[Part, float] = 1e-4,
    epochs: float = 1,
    accumulation: int = 1,
    keep_features: bool | int = True,
    max_tokens: int | None = None,
    too_long: Literal["error", "skip"] = "error",
    gradient_checkpointing: bool | Literal["auto"] = "auto",
    resume: bool = True,
    report_to: Sequence[str] = (),
    trainer_options: Mapping[str, Any] = {},
    media: MediaPolicy = DEFAULT_POLICY,
    source: Literal["huggingface", "modelscope"] = "huggingface",
    revision: str | None = None,
    offline: bool = False,
) -> str:
    CALLS.append(dict(locals()))
    return "the run"
