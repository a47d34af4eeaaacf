"""Which calibrator goes with a model."""

from __future__ import annotations

import os
from pathlib import Path

from qwenvl_kit.calibration.calibrator import FILE_NAME, Calibrator
from qwenvl_kit.errors import CalibrationError


def load_calibrator(
    choice: Calibrator | str | os.PathLike[str], model: str | os.PathLike[str]
) -> Calibrator | None:
    """A calibrator as it is, or from its file; with "auto" that in the model's folder, if any.

    Raises:
        CalibrationError: the file is not there or is damaged.
    """
    if isinstance(choice, Calibrator):
        return choice
    if not isinstance(choice, (str, os.PathLike)):
        raise CalibrationError(
            f"calibrator={choice!r} was given", expected="a Calibrator, a file, 'auto' or None"
        )
    if choice != "auto":
        return Calibrator.load(choice)
    if not isinstance(model, (str, os.PathLike)):  # refused where models are loaded
        return None
    beside = Path(os.fsdecode(model)) / FILE_NAME
    return Calibrator.load(beside) if beside.is_file() else None
