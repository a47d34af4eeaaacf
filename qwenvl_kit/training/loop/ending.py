"""The end of a run: what was learned, put where a chat loads it."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from datetime import datetime
from pathlib import Path

from safetensors import safe_open

from qwenvl_kit.backends.local.lora.export import copy_small_files
from qwenvl_kit.checkpoints.trained_with import TrainedWith
from qwenvl_kit.errors import QwenVLKitWarning, TrainingError
from qwenvl_kit.training.loop.method import Part, part_of
from qwenvl_kit.training.loop.trainer import saving, step_of, whole_checkpoints
from qwenvl_kit.training.outcome.card import AdapterRecord, Evaluation, adapter_card
from qwenvl_kit.training.outcome.losses import Losses
from qwenvl_kit.training.outcome.record import RunRecord
from qwenvl_kit.training.outcome.run import ADAPTER_FOLDER, MODEL_FOLDER

_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


def keep_result(
    folder: Path, record: RunRecord, losses: Losses, conditions: TrainedWith, base: Path
) -> None:
    """Put the adapter, or the model, of the best checkpoint into a folder of its own.

    Beside the weights stand the conditions under which they were trained, and an adapter's card.

    Args:
        folder: the folder of the run.
        record: the record of the run.
        losses: its losses, whose best step is taken; without a validation it is the last.
        conditions: the conditions.
        base: the folder of the checkpoint that was trained.

    Raises:
        TrainingError: nothing was learned, or the disk is full.
    """
    chosen = _best_checkpoint(folder, losses)
    is_adapter = (chosen / _ADAPTER_FILES[0]).exists()
    if is_adapter:
        _check_learned(chosen / _ADAPTER_FILES[1])
    target = folder / (ADAPTER_FOLDER if is_adapter else MODEL_FOLDER)
    unfinished = target.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    with saving(unfinished):
        unfinished.mkdir()
        if is_adapter:
            for name in _ADAPTER_FILES:
                shutil.copy2(chosen / name, unfinished)
            card = adapter_card(card_of(record, losses))
            (unfinished / "README.md").write_text(card, encoding="utf-8")
        else:
            _copy_model(chosen, base, unfinished)
        conditions.write(unfinished)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(unfinished, target)


def _best_checkpoint(folder: Path, losses: Losses) -> Path:
    """The checkpoint with the best loss of the validation; the last one without a validation.

    Raises:
        TrainingError: it is not there.
    """
    whole = {step_of(path): path for path in whole_checkpoints(folder)}
    step = max(whole, default=0) if losses.best is None else losses.best.step
    if step in whole:
        return whole[step]
    raise TrainingError(
        f"the checkpoint of step {step}, the best one, is not in {folder} any more",
        expected="the checkpoints as the run has left them",
        hint="another folder, to train again",
    )


def card_of(record: RunRecord, losses: Losses) -> AdapterRecord:
    """The contents of an adapter's card."""
    settings, data = record.settings, record.data
    names = ("learning_rate", "epochs", "tokens_per_batch", "batches_per_step", "schedule", "seed")
    values = {name: getattr(settings, name) for name in names}
    method = {name: value for name, value in settings.method.items() if name not in ("name", "_")}
    told = {**method, **values, "quantization": settings.quantization, "dtype": settings.dtype}
    return AdapterRecord(
        base_model=settings.model,
        revision=settings.revision,
        budget=settings.budget,
        method=settings.method["name"],
        settings={
            name: value if isinstance(value, (str, int, float, type(None))) else str(value)
            for name, value in told.items()
        },
        data_digest=data.training,
        num_examples=data.num_examples,
        num_validation=data.num_validation_examples,
        evaluations=_evaluations(losses),
        seconds=_seconds_since(record.begun),
        hardware=record.hardware.get("device", ""),
        versions=record.versions,
    )


def _evaluations(losses: Losses) -> list[Evaluation]:
    """The losses of each validation, with those of the step before; or those of the last step."""
    training = {step.step: step.loss for step in losses}
    if losses.validation:
        return [
            Evaluation(each.step, training.get(each.step), each.loss) for each in losses.validation
        ]
    return [Evaluation(losses[-1].step, losses[-1].loss)] if losses else []


def _seconds_since(moment: str) -> float:
    begun = datetime.fromisoformat(moment)
    return (datetime.now(begun.tzinfo) - begun).total_seconds()


def _copy_model(chosen: Path, base: Path, target: Path) -> None:
    """The weights that were saved, and the small files of the base.

    The settings that were saved are those of the training, without a cache: the base's are taken,
    with the dtype of the weights.
    """
    copy_small_files(base, target)
    shutil.copyfile(base / "config.json", target / "config.json")
    for path in chosen.iterdir():
        if path.name.startswith("model"):
            shutil.copy2(path, target)
    saved = json.loads((chosen / "config.json").read_text(encoding="utf-8"))
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    for part in (config, config.get("text_config") or {}, config.get("vision_config") or {}):
        for name in ("dtype", "torch_dtype"):
            if name in part:
                part[name] = saved["dtype"]
    text = json.dumps(config, indent=2) + "\n"
    (target / "config.json").write_text(text, encoding="utf-8")


def _check_learned(path: Path) -> None:
    """Check that an adapter changes something: matrices B are zero before the first step.

    Raises:
        TrainingError: it changes nothing.
    """
    moved: dict[Part, bool] = {}
    with safe_open(path, "pt") as file:
        for name in file.keys():  # noqa: SIM118
            if ".lora_B." in name:
                part = part_of(name)
                moved[part] = moved.get(part, False) or bool(file.get_tensor(name).any())
    still = [part for part, has_moved in moved.items() if not has_moved]
    if len(still) == len(moved):
        raise TrainingError(
            "the adapter changes nothing: all of its matrices B are zero",
            expected="weights that have learned",
            hint="a larger learning rate, more epochs, and report.shown of check_examples, which "
            "marks what is in the loss",
        )
    if still:
        warnings.warn(
            f"the part {still[0]!r} has learned nothing: all of its matrices B are zero; the "
            "examples may have no pictures",
            QwenVLKitWarning,
            stacklevel=2,
        )
