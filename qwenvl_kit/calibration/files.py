"""Files of calibrators: the calibrator of a model, from a file or from the model's folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, Union

from qwenvl_kit.errors import CalibrationError

if TYPE_CHECKING:
    from qwenvl_kit.calibration.calibrator import Calibrator


CalibratorChoice: TypeAlias = Union["Calibrator", str, "os.PathLike[str]", None]
"""A calibrator, the file of one, "auto" for the file in the model's folder, or None."""


def load_calibrator(choice: CalibratorChoice, model: str | os.PathLike[str]) -> Calibrator | None:
    """Return a calibrator, loaded from its file if needed.

    Args:
        choice: a calibrator, its file, "auto" for the file in the model's folder, or None.
        model: the model's folder, or its id on a hub.

    Returns:
        None if none was chosen, or "auto" finds no file.

    Raises:
        CalibrationError: the file does not exist or is damaged.
    """
    if choice is None:
        return None
    from qwenvl_kit.calibration.calibrator import FILE_NAME, Calibrator

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
