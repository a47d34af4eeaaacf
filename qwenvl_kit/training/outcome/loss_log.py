"""The log of losses, `losses.jsonl`: a line for each step, written as the training goes."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from qwenvl_kit.errors import TrainingError, located
from qwenvl_kit.training.outcome.files import RUN_FILES
from qwenvl_kit.training.outcome.losses import LogEntry, Losses

LOG_FILE = "losses.jsonl"
"""The name of the log in the folder of a run."""

_MOST_BYTES = 2**28


class LossLog:
    """The log of losses of a training that runs; `read_losses` reads it at any time.

    One process may write it. It is a context manager, which closes the file.

    Args:
        folder: the folder of the run.
        resumed_after: the step of the checkpoint from which the training goes on: entries of later
            steps are dropped. 0 begins anew.

    Raises:
        TrainingError: the log cannot be read or written.
    """

    def __init__(self, folder: str | os.PathLike[str], *, resumed_after: int = 0) -> None:
        self._path = Path(folder) / LOG_FILE
        kept = read_losses(folder).until(resumed_after) if resumed_after else Losses()
        RUN_FILES.write(self._path, _lines(kept))
        with RUN_FILES.writing(self._path):
            self._file = self._path.open("ab")

    def add(self, entry: LogEntry) -> None:
        """Write an entry, as `Losses.from_log` takes it; one without a loss is left out.

        Raises:
            TrainingError: a value is no number, or the disk is full.
        """
        with RUN_FILES.writing(self._path):
            self._file.write(_lines(Losses.from_log([entry])))
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        with RUN_FILES.writing(self._path):
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def read_losses(folder: str | os.PathLike[str]) -> Losses:
    """Read the log of losses in the folder of a run; a training may be writing it.

    Returns:
        The losses; none if nothing was logged yet.

    Raises:
        TrainingError: a line is damaged, but for the last, which a kill may have cut.
    """
    path = Path(folder) / LOG_FILE
    if not path.exists():
        return Losses()
    complete, _, _ = RUN_FILES.read(path, _MOST_BYTES).rpartition(b"\n")
    lines = complete.split(b"\n") if complete else []
    entries = [_entry(line, f"{path}:{number}") for number, line in enumerate(lines, 1)]
    with located(str(path)):
        return Losses.from_log(entries)


def _entry(line: bytes, where: str) -> LogEntry:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _damaged(where) from error
    if not isinstance(entry, dict):
        raise _damaged(where)
    return entry


def _damaged(where: str) -> TrainingError:
    return TrainingError(
        "the line is no entry of a log",
        expected="an object of JSON, as fine_tune writes it",
        hint="delete the line, whose losses are lost",
        where=where,
    )


def _lines(losses: Losses) -> bytes:
    return b"".join(json.dumps(entry).encode() + b"\n" for entry in _written(losses.to_log()))


def _written(entries: Iterable[LogEntry]) -> Iterable[LogEntry]:
    """Entries with texts for the numbers that JSON does not have."""
    for entry in entries:
        yield {name: _as_json(value) for name, value in entry.items()}


def _as_json(value: object) -> object:
    is_finite = not isinstance(value, float) or math.isfinite(value)
    return value if is_finite else json.dumps(value)
