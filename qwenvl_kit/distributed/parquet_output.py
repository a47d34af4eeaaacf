"""The output folder: one Parquet file per batch, written completely or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwenvl_kit.errors import JournalError

if TYPE_CHECKING:
    import pyarrow
    import ray.data

_SETTINGS_FILE = "_settings.json"
_RUN_FILE = "_run"


@dataclass(frozen=True)
class Output:
    """The output folder of a run, for actors on any machine.

    Only the run that opened the folder last may write. If the driver of an earlier run was killed,
    its actors may live a little longer, while the new run asks for the same rows again.

    Attributes:
        folder: folder that all machines can see.
        id_column: column with a different value for each row.
        run: id of the run.
    """

    folder: Path
    id_column: str
    run: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def files(self) -> list[Path]:
        """The files of complete batches, without the settings and files that are being written."""
        return sorted(self.folder.glob("[!.]*.parquet"))

    def open(self, settings: Mapping[str, Any]) -> None:
        """Create the folder, or take it over from the run that has it.

        Raises:
            JournalError: it cannot be used, or has answers with other settings.
        """
        text = json.dumps(settings, indent=1)
        with _writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        if self._text(_SETTINGS_FILE) not in (None, text):
            raise JournalError(
                f"{self.folder} has answers to other questions, or with other settings",
                hint="use another output folder, or the same arguments as before",
            )
        for name, content in ((_SETTINGS_FILE, text), (_RUN_FILE, self.run)):
            with self._whole(self.folder / name) as partial:
                partial.write_text(content, encoding="utf-8")

    def has(self, batch: pyarrow.Table) -> bool:
        """True if the folder has the answers to a batch of these rows."""
        return self._path_of(batch).is_file()

    def write(self, batch: pyarrow.Table, answers: pyarrow.Table) -> None:
        """Write the answers to a batch: all of them or none, even if the process is killed.

        Raises:
            JournalError: they cannot be written, or another run has taken over the folder.
        """
        if self._text(_RUN_FILE) != self.run:
            raise JournalError(
                f"another run has taken over {self.folder}", hint="start one run at a time"
            )
        self._put(self._path_of(batch), answers)

    def read(self) -> ray.data.Dataset:
        """Return all answers in the folder as a data set; there must be some."""
        import ray.data

        return ray.data.read_parquet(str(self.folder), file_extensions=["parquet"])

    def without_done(self, dataset: ray.data.Dataset) -> ray.data.Dataset:
        """Return the rows without answers; rows that failed are removed from the folder first.

        Raises:
            JournalError: a file cannot be read or written.
        """
        import pyarrow
        import ray

        id_column = self.id_column
        answered = [self._answered_ids(path) for path in self.files]
        chunks = [chunk for ids in answered if len(ids) for chunk in ids.chunks]
        if not chunks:
            return dataset
        done = pyarrow.chunked_array(chunks)
        shared = ray.put(done)

        def not_done(table: pyarrow.Table) -> pyarrow.Table:
            import pyarrow
            import pyarrow.compute

            ids = table.column(id_column)
            if ids.type == pyarrow.null():  # no row of this block has one
                return table
            known = pyarrow.compute.is_in(ids, value_set=ray.get(shared).cast(ids.type))
            return table.filter(pyarrow.compute.invert(known))

        return dataset.map_batches(not_done, batch_format="pyarrow")

    def _answered_ids(self, path: Path) -> pyarrow.ChunkedArray:
        """The ids of the answered rows of a file; other rows are removed from the file."""
        import pyarrow.compute

        table = self._table(path, self.id_column, "error")
        is_answered = pyarrow.compute.is_null(table.column("error"))
        ids = table.column(self.id_column).filter(is_answered)
        if 0 < len(ids) < len(table):
            self._put(path, self._table(path).filter(is_answered))
        elif len(table) and not len(ids):
            with _writing(path):
                path.unlink(missing_ok=True)
        return ids

    def _text(self, name: str) -> str | None:
        """The text of a file that holds no answers; None if there is no such file."""
        path = self.folder / name
        try:
            return path.read_text(encoding="utf-8") if path.is_file() else None
        except (OSError, ValueError) as error:
            raise JournalError(f"{path} cannot be read ({error})") from error

    def _table(self, path: Path, *columns: str) -> pyarrow.Table:
        """The table of a file, or some of its columns, which must exist."""
        import pyarrow
        import pyarrow.parquet

        try:
            table = pyarrow.parquet.read_table(path, columns=list(columns) or None)
            return table.select(columns) if columns else table
        except (OSError, KeyError, pyarrow.ArrowException) as error:
            raise JournalError(
                f"{path} cannot be read ({error})", hint="delete it: its rows are then asked again"
            ) from error

    def _put(self, path: Path, table: pyarrow.Table) -> None:
        import pyarrow.parquet

        with self._whole(path) as partial:
            pyarrow.parquet.write_table(table, partial)

    @contextmanager
    def _whole(self, path: Path) -> Iterator[Path]:
        """Yield a temporary path, and move it to `path` at the end: no file is ever incomplete."""
        partial = path.with_name(f".{path.name}.{os.getpid()}")  # which Ray and Arrow pass over
        with _writing(path):
            yield partial
            os.replace(partial, path)

    def _path_of(self, batch: pyarrow.Table) -> Path:
        """The file of a batch, named after its ids: a batch has the same name in each run."""
        ids = json.dumps(batch.column(self.id_column).to_pylist(), default=str)
        return self.folder / f"{hashlib.sha256(ids.encode()).hexdigest()[:32]}.parquet"


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise JournalError(f"{path} cannot be written ({error})") from error
