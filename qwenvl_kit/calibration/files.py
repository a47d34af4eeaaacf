"""Files of calibrators: the calibrator of a model, from a file or from the model's folder."""

from __future__ import annotations

import os
from pathlib import Path

from qwenvl_kit.calibration.calibrator import FILE_NAME, Calibrator
from qwenvl_kit.errors import CalibrationError


def load_calibrator(
    choice: Calibrator | str | os.PathLike[str], model: str | os.PathLike[str]
) -> Calibrator | None:
    """Return a calibrator, loaded from its file if needed.

    Args:
        choice: a calibrator, its file, or "auto" for the file in the model's folder.
        model: the model's folder, or its id on a hub.

    Returns:
        None if "auto" finds no file.

    Raises:
        CalibrationError: the file does not exist or is damaged.
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
