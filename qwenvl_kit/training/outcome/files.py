"""Files of a run."""

from __future__ import annotations

from qwenvl_kit.errors import TrainingError
from qwenvl_kit.whole_files import FileKind

RUN_FILES = FileKind(
    TrainingError,
    expected="a file that fine_tune has written",
    found="the folder of a training, as fine_tune writes it",
)
"""The files that a training writes."""
