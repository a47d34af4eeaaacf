"""A folder of Parquet files, each the answers to a batch, all of them or none."""

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
    """Where the answers of a run go, from whichever machine.

    Only the run that opened the folder last may write: actors of one whose driver was killed may
    live a little longer, and what they answered is asked for again by then.

    Attributes:
        folder: where all machines see it.
        id_column: tells rows apart.
        run: tells runs apart.
    """

    folder: Path
    id_column: str
    run: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def files(self) -> list[Path]:
        """Those of whole batches; settings, and files that are being written, are none."""
        return sorted(self.folder.glob("[!.]*.parquet"))

    def open(self, settings: Mapping[str, Any]) -> None:
        """Make the folder, and take it over from whichever run has it.

        Raises:
            JournalError: it cannot be used, or has answers that depend on other settings.
        """
        text = json.dumps(settings, indent=1)
        with _writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        if self._text(_SETTINGS_FILE) not in (None, text):
            raise JournalError(
                f"{self.folder} has answers to other questions, or by other settings",
                hint="another output folder, or the same arguments as before",
            )
        for name, content in ((_SETTINGS_FILE, text), (_RUN_FILE, self.run)):
            with self._whole(self.folder / name) as partial:
                partial.write_text(content, encoding="utf-8")

    def has(self, batch: pyarrow.Table) -> bool:
        """Whether a batch of these rows was answered."""
        return self._path_of(batch).is_file()

    def write(self, batch: pyarrow.Table, answers: pyarrow.Table) -> None:
        """Keep the answers to a batch: all of them or none, whenever the process ends.

        Raises:
            JournalError: they cannot be written, or another run has the folder.
        """
        if self._text(_RUN_FILE) != self.run:
            raise JournalError(
                f"another run writes into {self.folder} since", hint="one run at a time"
            )
        self._put(self._path_of(batch), answers)

    def read(self) -> ray.data.Dataset:
        """All that it holds, which must be something."""
        import ray.data

        return ray.data.read_parquet(str(self.folder), file_extensions=["parquet"])

    def without_done(self, dataset: ray.data.Dataset) -> ray.data.Dataset:
        """The rows that it has no answers to. Those that failed are forgotten, to be among them.

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
        """The ids of the rows of a file that have answers; nothing else is left in it."""
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
        """What is in a file beside the answers; None where there is none."""
        path = self.folder / name
        try:
            return path.read_text(encoding="utf-8") if path.is_file() else None
        except (OSError, ValueError) as error:
            raise JournalError(f"{path} cannot be read ({error})") from error

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
        import pyarrow.parquet

        with self._whole(path) as partial:
            pyarrow.parquet.write_table(table, partial)

    @contextmanager
    def _whole(self, path: Path) -> Iterator[Path]:
        """Where to write what shall be there whole or not at all, whenever the process ends."""
        partial = path.with_name(f".{path.name}.{os.getpid()}")  # which Ray and Arrow pass over
        with _writing(path):
            yield partial
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
