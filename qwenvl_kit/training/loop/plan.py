"""The plan of a run: all that decides it, apart from its examples."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from qwenvl_kit.checkpoints.sources import Source
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.options import PixelBudget
from qwenvl_kit.training.checking import TooLong
from qwenvl_kit.training.loop.method import FullTraining
from qwenvl_kit.training.loop.settings import LoopSettings


@dataclass(frozen=True)
class TrainingPlan:
    """All that decides a run apart from its examples; see `fine_tune`."""

    model: str | os.PathLike[str]
    is_embedded: bool
    output: str | os.PathLike[str]
    settings: LoopSettings
    budget: PixelBudget
    quantization: str | None
    dtype: str | torch.dtype
    device: str | torch.device
    attention: str
    policy: MediaPolicy
    source: Source
    revision: str | None
    offline: bool
    max_tokens: int | None
    too_long: TooLong
    num_shown: int
    progress: bool

    @property
    def is_whole(self) -> bool:
        """True if whole weights learn, in the dtype that the kit chooses."""
        return isinstance(self.settings.method, FullTraining) and self.dtype == "auto"
