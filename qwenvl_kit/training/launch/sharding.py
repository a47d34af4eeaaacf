"""Weights that processes share, and what that forbids.

A layer that is shared is gathered from all processes when it runs, so that all of them must run it.
The vision encoder runs only where there are pictures.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qwenvl_kit.errors import TrainingError
from qwenvl_kit.training.reports import Quantiles

_VISION_PARTS = frozenset({"vision", "projector"})
_VISION_ENCODER = "model.visual"
_OTHERS = "zero2, or no settings of sharing"


@dataclass(frozen=True)
class Sharding:
    """The weights that processes share.

    Attributes:
        strategy: "fsdp" or "zero3"; None if weights are whole in each process.
        has_whole_vision: True if the vision encoder is whole in each process.
        uses_deepspeed: True if DeepSpeed adds gradients up, weight by weight, as they come.
    """

    strategy: str | None = None
    has_whole_vision: bool = True
    uses_deepspeed: bool = False

    @classmethod
    def of(cls, arguments: Any) -> Sharding:
        """Read the arguments of transformers, and what accelerate's launcher has set."""
        if arguments.fsdp or _is_on("ACCELERATE_USE_FSDP"):
            ignored = os.environ.get("FSDP_IGNORED_MODULES", "")
            return cls("fsdp", re.fullmatch(ignored, _VISION_ENCODER) is not None)
        plugin = arguments.deepspeed_plugin
        if plugin is not None and plugin.hf_ds_config.is_zero3():
            return cls("zero3", has_whole_vision=False, uses_deepspeed=True)
        return cls(uses_deepspeed=plugin is not None)

    def check(self, parts: Sequence[str], visual_tokens: Quantiles) -> None:
        """Raise an error for a training that would stand still, or learn something else.

        Args:
            parts: the parts that learn.
            visual_tokens: the visual tokens of the examples.

        Raises:
            TrainingError: gradients would not be averaged, or processes would wait for each other.
        """
        has_some_without = visual_tokens.least == 0 < visual_tokens.most
        if self.uses_deepspeed and has_some_without and _VISION_PARTS & {*parts}:
            raise TrainingError(
                f"{' and '.join(parts)} learn, and some examples have no picture: a process "
                "without one has no gradient there, for which DeepSpeed waits for ever",
                expected="examples that all have pictures, or parts=('language',)",
                hint="several processes without DeepSpeed",
            )
        if self.strategy is None:
            return
        if self.has_whole_vision and _VISION_PARTS & {*parts}:
            raise TrainingError(
                f"{' and '.join(parts)} learn, and FSDP_IGNORED_MODULES leaves the vision encoder "
                "whole in each process, where nothing averages its gradients",
                expected="parts=('language',)",
                hint=_OTHERS,
            )
        if not self.has_whole_vision and has_some_without:
            raise TrainingError(
                f"some examples have no picture, and {self.strategy} shares the vision encoder: "
                "a process without a picture would keep the others waiting for ever",
                expected="examples that all have pictures, or that all have none",
                hint=f"the fsdp of launch_config, which does not share it; {_OTHERS}",
            )


def _is_on(variable: str) -> bool:
    return os.environ.get(variable, "").lower() == "true"
