"""Which calibrator goes with a model."""

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
    """The calibrator that was chosen; None if none was, or "auto" finds no file.

    Raises:
        CalibrationError: the file is not there or is damaged.
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
