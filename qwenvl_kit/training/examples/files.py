"""Rows of training files, one after another, each with its line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from qwenvl_kit.errors import TrainingDataError
from qwenvl_kit.formats import row_files
from qwenvl_kit.formats.row_files import Row, RowFiles

_FILES = RowFiles(
    "training file",
    TrainingDataError,
    hint="datasets.load_dataset reads CSV and Parquet; its rows can be given in place of a file",
)


def read_rows(path: str | os.PathLike[str]) -> Iterator[Row]:
    """Yield the rows of a training file; see `qwenvl_kit.formats.row_files.read_rows`.

    Raises:
        TrainingDataError: there is no such file, it cannot be read, or it has another ending.
    """
    return row_files.read_rows(path, _FILES)


def row_at(path: str | os.PathLike[str], where: str, offset: int) -> Any:
    """Read one row of a training file again; see `qwenvl_kit.formats.row_files.row_at`.

    Raises:
        TrainingDataError: the file was changed.
    """
    return row_files.row_at(path, where, offset, _FILES)
