"""The description of a run that begins: the record with all that decides its result."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from qwenvl_kit.checkpoints.download import Checkpoint
from qwenvl_kit.training.loop.data import Gathered
from qwenvl_kit.training.loop.plan import TrainingPlan
from qwenvl_kit.training.loop.processes import Processes
from qwenvl_kit.training.outcome.record import (
    RunData,
    RunRecord,
    RunSettings,
    described_method,
    now,
)

_PACKAGES = ("qwenvl-kit", "torch", "transformers", "peft", "accelerate", "bitsandbytes", "pillow")


def describe_run(
    plan: TrainingPlan,
    data: Gathered,
    processes: Processes,
    *,
    checkpoint: Checkpoint,
    family: str,
    validation: object,
) -> RunRecord:
    """Return the record of a run that begins now.

    Args:
        plan: its plan.
        data: the data.
        processes: the processes.
        checkpoint: the checkpoint.
        family: the name of its family.
        validation: the share or the examples that were given for the validation.
    """
    share = validation if isinstance(validation, (int, float)) else None
    return RunRecord(
        settings=_settings(plan, checkpoint, family, processes.batches_per_step),
        data=_data(data, share),
        versions={"python": platform.python_version(), **_versions()},
        hardware=processes.describe_hardware(),
        begun=now(),
    )


def _settings(
    plan: TrainingPlan, checkpoint: Checkpoint, family: str, batches_per_step: int
) -> RunSettings:
    settings = plan.settings
    rate = settings.learning_rate
    return RunSettings(
        model=None if plan.is_embedded else os.fspath(plan.model),
        revision=checkpoint.revision,
        source=plan.source,
        family=family,
        method=described_method(settings.method),
        budget=plan.budget,
        quantization=plan.quantization,
        learning_rate=dict(rate.items()) if isinstance(rate, Mapping) else rate,
        epochs=settings.epochs,
        tokens_per_batch=settings.tokens_per_batch,
        batches_per_step=batches_per_step,
        packing=settings.packing,
        max_tokens=plan.max_tokens,
        too_long=plan.too_long,
        warmup=settings.warmup,
        schedule=settings.schedule,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        early_stopping=settings.early_stopping,
        evaluate_every=settings.evaluate_every,
        seed=settings.seed,
        dtype=str(plan.dtype).removeprefix("torch."),
        attention=plan.attention,
        trainer_options=dict(settings.trainer_options),
    )


def _data(data: Gathered, share: float | None) -> RunData:
    held = data.validation
    return RunData(
        training=data.training.digest,
        validation=None if held is None else held.digest,
        validation_share=share,
        num_examples=data.training.num_examples,
        num_sequences=len(data.training),
        num_tokens=sum(data.training.lengths),
        num_trained_tokens=sum(entry.num_trained for entry in data.training.entries),
        num_validation_examples=0 if held is None else held.num_examples,
        num_skipped=len(data.report.skipped),
    )


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
