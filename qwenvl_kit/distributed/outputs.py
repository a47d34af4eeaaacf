"""A folder of Parquet files, each the answers to a batch, all of them or none."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwenvl_kit.errors import JournalError

if TYPE_CHECKING:
    import pyarrow
    import ray.data

_SETTINGS_FILE = "_settings.json"


@dataclass(frozen=True)
class Output:
    """Where answers go, from whichever machine.

    Attributes:
        folder: where all machines see it.
        id_column: tells rows apart.
    """

    folder: Path
    id_column: str

    @property
    def files(self) -> list[Path]:
        """Those of whole batches; settings, and files that are being written, are none."""
        return sorted(self.folder.glob("[!.]*.parquet"))

    def open(self, settings: Mapping[str, Any]) -> None:
        """Make the folder.

        Raises:
            JournalError: it cannot be used, or has answers that depend on other settings.
        """
        text = json.dumps(settings, indent=1)
        path = self.folder / _SETTINGS_FILE
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            before = path.read_text(encoding="utf-8") if path.is_file() else None
            if before is None:
                path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise JournalError(f"the output {self.folder} cannot be used ({error})") from error
        if before not in (None, text):
            raise JournalError(
                f"{self.folder} has answers to other questions, or by other settings",
                hint="another output folder, or the same arguments as before",
            )

    def has(self, batch: pyarrow.Table) -> bool:
        """Whether a batch of these rows was answered."""
        return self._path_of(batch).is_file()

    def write(self, batch: pyarrow.Table, answers: pyarrow.Table) -> None:
        """Keep the answers to a batch: all of them or none, whenever the process ends.

        Raises:
            JournalError: they cannot be written.
        """
        self._put(self._path_of(batch), answers)

    def drop_failed(self) -> None:
        """Forget the rows that failed, for them to be asked for again.

        Raises:
            JournalError: a file cannot be read or written.
        """
        import pyarrow.compute

        for path in self.files:
            errors = self._table(path, "error").column(0)
            if errors.null_count == len(errors):
                continue
            if errors.null_count:
                whole = self._table(path)
                self._put(path, whole.filter(pyarrow.compute.is_null(whole.column("error"))))
            else:
                with _writing(path):
                    path.unlink(missing_ok=True)

    def read(self) -> ray.data.Dataset:
        """All that it holds, which must be something."""
        import ray.data

        return ray.data.read_parquet(str(self.folder), file_extensions=["parquet"])

    def without_done(self, dataset: ray.data.Dataset) -> ray.data.Dataset:
        """The rows that it has no answers to."""
        import pyarrow
        import ray

        id_column = self.id_column
        columns = [self._table(path, id_column).column(0) for path in self.files]
        if not columns:
            return dataset
        done = pyarrow.chunked_array([chunk for column in columns for chunk in column.chunks])
        shared = ray.put(done)

        def not_done(table: pyarrow.Table) -> pyarrow.Table:
            import pyarrow.compute

            ids = table.column(id_column)
            known = pyarrow.compute.is_in(ids, value_set=ray.get(shared).cast(ids.type))
            return table.filter(pyarrow.compute.invert(known))

        return dataset.map_batches(not_done, batch_format="pyarrow")

    def _table(self, path: Path, *columns: str) -> pyarrow.Table:
        """What is in a file, or in columns of it, which it must have."""
        import pyarrow
        import pyarrow.parquet

        try:
            table = pyarrow.parquet.read_table(path, columns=list(columns) or None)
            return table.select(columns) if columns else table
        except (OSError, KeyError, pyarrow.ArrowException) as error:
            raise JournalError(
                f"{path} cannot be read ({error})", hint="delete it: its rows are asked for again"
            ) from error

    def _put(self, path: Path, table: pyarrow.Table) -> None:
        """A file of a table, whole or not at all, whenever the process ends."""
        import pyarrow.parquet

        partial = path.with_name(f".{path.name}.{os.getpid()}")  # which Ray and Arrow pass over
        with _writing(path):
            pyarrow.parquet.write_table(table, partial)
            os.replace(partial, path)

    def _path_of(self, batch: pyarrow.Table) -> Path:
        """A batch by its rows: the same batch has the same name, whoever answers it."""
        ids = json.dumps(batch.column(self.id_column).to_pylist(), default=str)
        return self.folder / f"{hashlib.sha256(ids.encode()).hexdigest()[:32]}.parquet"


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise JournalError(f"{path} cannot be written ({error})") from error
