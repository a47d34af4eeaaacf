"""A training that has ended, or that goes on: its folder, and all that is known of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from qwenvl_kit.errors import TrainingError
from qwenvl_kit.safe_text import escaped
from qwenvl_kit.training.outcome.loss_log import read_losses
from qwenvl_kit.training.outcome.losses import Losses
from qwenvl_kit.training.outcome.record import RunRecord, read_record
from qwenvl_kit.training.outcome.report import TrainingReport, read_report

ADAPTER_FOLDER, MODEL_FOLDER = "adapter", "model"
"""The names of the folders of what was trained, in the folder of a run."""

_WEIGHTS = {ADAPTER_FOLDER: "adapter_config.json", MODEL_FOLDER: "config.json"}
"""A file that stands in each of them when it is complete."""


@dataclass(frozen=True)
class TrainingRun:
    """A training, as `fine_tune` returns it.

        run = fine_tune("Qwen/Qwen2-VL-2B-Instruct", examples, "out", validation=0.02)
        print(run.losses)
        print(run.report)
        chat = VisionChat.from_pretrained("Qwen/Qwen2-VL-2B-Instruct", adapter=run.adapter)

    Attributes:
        folder: its folder.
        adapter: the folder of the adapter; None if there is none, or not yet.
        model_folder: the folder of the model, if all weights of a part were trained; None
            otherwise, or if there is none yet.
        losses: the losses, step by step.
        report: answers to validation examples before and after.
        record: the settings that decide the result, and how the training went.
    """

    folder: Path
    adapter: Path | None
    model_folder: Path | None
    losses: Losses
    report: TrainingReport
    record: RunRecord

    def __str__(self) -> str:
        return "\n\n".join([*self._headings(), str(self.losses), str(self.report)])

    def _repr_html_(self) -> str:
        from html import escape

        headings = "".join(f"<p>{escape(text)}</p>" for text in self._headings())
        return f"{headings}{self.losses._repr_html_()}{self.report._repr_html_()}"

    def _headings(self) -> list[str]:
        trained = self.adapter or self.model_folder
        where = f"; what was learned: {escaped(str(trained))}" if trained else ""
        return [f"{escaped(str(self.folder))}: {self.record.state}{where}"]


def load_run(folder: str | os.PathLike[str]) -> TrainingRun:
    """Read a training from its folder. It may be finished, killed, or still go on.

        run = load_run("out")
        print(run.record.state, run.record.best_step)
        run.losses.plot(path="losses.png")

    Args:
        folder: the folder that `fine_tune` was given as `output`.

    Raises:
        TrainingError: it is not the folder of a training, or a file in it is damaged.
    """
    path = Path(folder)
    if not path.is_dir():
        raise TrainingError(
            f"there is no folder {str(path)!r}", expected="the folder of a training"
        )
    return TrainingRun(
        folder=path,
        adapter=_complete(path, ADAPTER_FOLDER),
        model_folder=_complete(path, MODEL_FOLDER),
        losses=read_losses(path),
        report=read_report(path),
        record=read_record(path),
    )


def _complete(folder: Path, name: str) -> Path | None:
    """A folder with what was trained; None if it is not there."""
    found = folder / name
    return found if (found / _WEIGHTS[name]).is_file() else None
