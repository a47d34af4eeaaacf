"""The words of a run while it goes on: the log of losses, and a progress bar."""

from __future__ import annotations

import sys
import time
from typing import Any

import transformers

from qwenvl_kit.training.outcome.loss_log import LossLog


class Diary(transformers.TrainerCallback):
    """Writes the losses of a run into its folder, and shows how far it is.

    Args:
        losses: the log in the folder; None in processes that do not write.
        shows: True for a progress bar.
    """

    def __init__(self, losses: LossLog | None, *, shows: bool) -> None:
        self._losses = losses
        self._shows = shows and sys.stderr is not None
        self._bar: Any = None
        self._last = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Begin the bar where the run begins, or goes on."""
        del args, control
        self._last = time.perf_counter()
        if self._shows:
            from qwenvl_kit.display.progress import progress_bar

            bar = progress_bar()
            self._bar = bar(total=state.max_steps, initial=state.global_step, unit="step")

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Note the losses of a step, or of a validation."""
        del args, control
        logs = dict(logs or {})
        if "loss" in logs:
            moment = time.perf_counter()
            logs["seconds"], self._last = moment - self._last, moment
            self._show(state, logs)
        elif "eval_loss" in logs:
            self._last += logs.get("eval_runtime", 0.0)
        if self._losses is not None:
            self._losses.add({**logs, "step": state.global_step})

    def _show(self, state: Any, logs: dict[str, Any]) -> None:
        if self._bar is None:
            return
        speed = logs["tokens"] / logs["seconds"] if logs["seconds"] else 0.0
        self._bar.set_postfix_str(f"loss {logs['loss']:.4g}, {speed:,.0f} tokens/s", refresh=False)
        self._bar.update(state.global_step - self._bar.n)

    def close(self) -> None:
        """End the bar and close the log, however the run ended."""
        if self._bar is not None:
            self._bar.close()
        if self._losses is not None:
            self._losses.close()
