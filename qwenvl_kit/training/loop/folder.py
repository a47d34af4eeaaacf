"""The folder of a run: what is in it already, and the record of how the run goes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from qwenvl_kit.errors import TrainingError
from qwenvl_kit.training.loop.trainer import remove_broken, whole_checkpoints
from qwenvl_kit.training.outcome.loss_log import read_losses
from qwenvl_kit.training.outcome.record import (
    RECORD_FILE,
    RunRecord,
    read_record,
    write_record,
)

_LOCK = "run.lock"
"""The file that a process locks while it trains into the folder."""


class RunFolder:
    """The folder of a run.

    Args:
        path: the folder.
        writes: True in the process that writes; others read.
    """

    def __init__(self, path: Path, *, writes: bool) -> None:
        self.path = path
        self._writes = writes

    def record_before(self, record: RunRecord, *, resume: bool) -> RunRecord | None:
        """The record of this very run, if the folder holds it already; None if it is empty.

        Raises:
            TrainingError: it holds something else, or a run that must not go on.
        """
        if self.path.exists() and not self.path.is_dir():
            raise TrainingError(f"{self.path} is a file", expected="a folder for the run")
        if not self.path.exists() or not any(map(_counts, self.path.iterdir())):
            return None
        if not (self.path / RECORD_FILE).exists():
            raise TrainingError(
                f"{self.path} holds files that are of no run",
                expected="a new folder, an empty one, or that of the same run",
            )
        if not resume:
            raise TrainingError(
                f"{self.path} holds a run, and resume=False was given",
                expected="a new folder",
                hint="resume=True, to go on with it",
            )
        before = read_record(self.path)
        differences = before.differences(record)
        if differences:
            raise TrainingError(
                f"{self.path} holds a run of other settings: {'; '.join(differences)}",
                expected="the same arguments and examples",
                hint="another folder",
            )
        return before

    @property
    def last_checkpoint(self) -> Path | None:
        """The last checkpoint that is whole; None for a run from its beginning."""
        whole = whole_checkpoints(self.path)
        return whole[-1] if whole else None

    @contextlib.contextmanager
    def recorded(self, record: RunRecord) -> Iterator[None]:
        """Keep the record of a run: that it began, and how it ended."""
        if not self._writes:
            yield
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(
                f"the folder {self.path} cannot be made ({error.strerror})",
                expected="a folder that you may write to",
            ) from error
        with self._locked():
            remove_broken(self.path)
            write_record(self.path, record)
            try:
                yield
            except BaseException as error:
                with contextlib.suppress(Exception):  # the error of the run is the one to tell
                    reason = str(error) or type(error).__name__
                    write_record(self.path, record.failed(reason[:1000], read_losses(self.path)))
                raise
            write_record(self.path, record.finished(read_losses(self.path)))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes out of the folder; the system lets go when this one ends.

        Raises:
            TrainingError: another process is in it.
        """
        try:
            import fcntl
        except ImportError:  # Windows has no such locks
            yield
            return
        with open(self.path / _LOCK, "w", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise TrainingError(
                    f"another process trains into {self.path}", expected="a folder of its own"
                ) from error
            except OSError:  # a network's file system may have none
                pass
            yield


def _counts(path: Path) -> bool:
    """True for a file that says something of a folder: not for what a kill may leave at once."""
    return path.name != _LOCK and not path.name.startswith(f".{RECORD_FILE}")
