"""The end of a run: what was learned, put where a chat loads it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from safetensors import safe_open

from qwenvl_kit.errors import TrainingError
from qwenvl_kit.training.loop.network import TrainedNetwork
from qwenvl_kit.training.loop.trainer import saving, whole_checkpoints
from qwenvl_kit.training.outcome.run import ADAPTER_FOLDER, MODEL_FOLDER

_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
_SMALL = (".json", ".jinja", ".txt", ".model")
"""The endings of a checkpoint's small files, which a trained model takes from its base."""


def keep_result(folder: Path, network: TrainedNetwork, best: int | None, base: Path) -> None:
    """Put the adapter, or the model, of the best checkpoint into a folder of its own.

    Args:
        folder: the folder of the run.
        network: the network.
        best: the step of the best checkpoint; None for the last.
        base: the folder of the checkpoint that was trained.

    Raises:
        TrainingError: nothing was learned, or the disk is full.
    """
    whole = whole_checkpoints(folder)
    chosen = next((path for path in whole if path.name.endswith(f"-{best}")), whole[-1])
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
        else:
            _copy_model(chosen, base, unfinished)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(unfinished, target)
    del network


def _copy_model(chosen: Path, base: Path, target: Path) -> None:
    """The weights and settings that were saved, and the small files of the base."""
    saved = [path for path in chosen.iterdir() if path.name.startswith(("model", "config.json"))]
    for path in base.iterdir():
        is_index = path.name.endswith(".index.json")
        if path.is_file() and path.suffix in _SMALL and not is_index:
            shutil.copy2(path, target)
    for path in saved:
        shutil.copy2(path, target)


def _check_learned(path: Path) -> None:
    """Check that an adapter changes something: matrices B are zero before the first step.

    Raises:
        TrainingError: it changes nothing.
    """
    with safe_open(path, "pt") as file:
        names = [name for name in file.keys() if ".lora_B." in name]  # noqa: SIM118
        if any(bool(file.get_tensor(name).any()) for name in names):
            return
    raise TrainingError(
        "the adapter changes nothing: all of its matrices B are zero",
        expected="weights that have learned",
        hint="a larger learning rate, more epochs, and report.shown of check_examples, which marks "
        "what is in the loss",
    )
