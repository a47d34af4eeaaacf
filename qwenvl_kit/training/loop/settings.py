"""The settings of a loop: the arguments of `fine_tune` that are no data and no model, checked."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from qwenvl_kit.errors import TrainingError
from qwenvl_kit.training.loop.features import DEFAULT_BYTES
from qwenvl_kit.training.loop.method import FullTraining, LoRA, Method, Part, is_number

_MOST_EPOCHS = 10_000
_MOST_COUNT = 2**40

# fmt: off
_OWN = frozenset({
    "activation_checkpointing", "auto_find_batch_size", "data_seed", "dataloader_num_workers",
    "disable_tqdm", "eval_on_start", "eval_steps", "eval_strategy",
    "gradient_accumulation_steps", "gradient_checkpointing", "greater_is_better",
    "group_by_length", "ignore_data_skip", "label_names", "label_smoothing_factor",
    "learning_rate", "load_best_model_at_end", "logging_nan_inf_filter", "logging_steps",
    "logging_strategy", "lr_scheduler_type", "max_grad_norm", "max_steps",
    "metric_for_best_model", "n_gpu", "num_train_epochs", "output_dir",
    "per_device_eval_batch_size", "per_device_train_batch_size", "remove_unused_columns",
    "report_to", "resume_from_checkpoint", "save_only_model", "save_steps", "save_strategy",
    "save_total_limit", "seed", "use_cpu", "use_liger_kernel", "warmup_steps", "weight_decay",
})
# fmt: on
"""Arguments of transformers that follow from those of `fine_tune`, or that are not of use here."""


@dataclass(frozen=True)
class LoopSettings:
    """The settings of a loop; see `fine_tune`.

    Raises:
        TrainingError: a value is out of range.
    """

    method: Method
    learning_rate: float | Mapping[Part, float]
    epochs: float
    tokens_per_batch: int
    accumulation: int
    packing: bool
    keep_features: bool | int
    warmup: float
    schedule: str
    weight_decay: float
    max_grad_norm: float
    gradient_checkpointing: bool | str
    early_stopping: int | None
    evaluate_every: int | None
    save_every: int | None
    keep_checkpoints: int
    seed: int
    workers: int
    report_to: Sequence[str]
    trainer_options: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not isinstance(self.method, (LoRA, FullTraining)):
            raise TrainingError(
                f"method={self.method!r} was given", expected="LoRA(...) or FullTraining(...)"
            )
        if self.gradient_checkpointing not in (True, False, "auto"):
            raise TrainingError(
                f"gradient_checkpointing={self.gradient_checkpointing!r} was given",
                expected="True, False or 'auto'",
            )
        for name in ("tokens_per_batch", "accumulation", "keep_checkpoints"):
            _check_count(name, getattr(self, name), least=1)
        for name in ("early_stopping", "evaluate_every", "save_every"):
            if getattr(self, name) is not None:
                _check_count(name, getattr(self, name), least=1)
        for name in ("workers", "seed"):
            _check_count(name, getattr(self, name), least=0, most=2**32 - 1)
        if not isinstance(self.keep_features, bool):
            _check_count("keep_features", self.keep_features, least=0)
        _check_number("epochs", self.epochs, 0, _MOST_EPOCHS, above=True)
        _check_number("warmup", self.warmup, 0, 1)
        _check_number("weight_decay", self.weight_decay, 0, 1)
        _check_number("max_grad_norm", self.max_grad_norm, 0, 1e9, above=True)
        self._check_schedule()
        self._check_trainer_options()
        for part, rate in self.learning_rates.items():
            _check_number(f"learning_rate of {part!r}", rate, 0, 1e3, above=True)

    def _check_schedule(self) -> None:
        known = ("linear", "cosine", "constant")
        if self.schedule not in known:
            raise TrainingError(
                f"schedule={self.schedule!r} was given", expected=f"one of {', '.join(known)}"
            )

    def _check_trainer_options(self) -> None:
        from transformers import TrainingArguments

        known = inspect.signature(TrainingArguments).parameters
        for name in self.trainer_options:
            if name in _OWN:
                raise TrainingError(
                    f"trainer_options has {name!r}, which follows from the arguments of fine_tune",
                    expected="options that fine_tune has no argument for, such as 'deepspeed'",
                )
            if name not in known:
                raise TrainingError(
                    f"trainer_options has {name!r}, which transformers does not know",
                    expected="arguments of transformers.TrainingArguments",
                )

    @property
    def learning_rates(self) -> Mapping[Part, float]:
        """The learning rate of each part that learns.

        Raises:
            TrainingError: a part has none, or one is given for a part that does not learn.
        """
        parts = self.method.parts
        if not isinstance(self.learning_rate, Mapping):
            return MappingProxyType(dict.fromkeys(parts, self.learning_rate))
        if {*self.learning_rate} != {*parts}:
            raise TrainingError(
                f"learning_rate has rates for {', '.join(map(repr, self.learning_rate))}",
                expected=f"one for each part that learns: {', '.join(map(repr, parts))}",
            )
        return MappingProxyType({part: self.learning_rate[part] for part in parts})

    @property
    def feature_bytes(self) -> int:
        """The most bytes of vision features on the disk; 0 keeps none."""
        if isinstance(self.keep_features, bool):
            return DEFAULT_BYTES if self.keep_features else 0
        return self.keep_features

    @property
    def checkpointing(self) -> bool | None:
        """True or False as asked; None to do what suits the device."""
        return None if self.gradient_checkpointing == "auto" else bool(self.gradient_checkpointing)


def _check_count(name: str, value: object, *, least: int, most: int = _MOST_COUNT) -> None:
    if type(value) is not int or not least <= value <= most:
        raise TrainingError(f"{name}={value!r} was given", expected=f"a whole number from {least}")


def _check_number(
    name: str, value: object, least: float, most: float, *, above: bool = False
) -> None:
    fits = is_number(value) and least <= value <= most  # type: ignore[operator]
    if not fits or (above and value == least):
        words = f"a number above {least}" if above else f"a number from {least}"
        raise TrainingError(f"{name}={value!r} was given", expected=f"{words}, at most {most:g}")
