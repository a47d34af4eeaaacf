"""Tables: rows with their columns, and the digest of what they were read from."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from stat import S_ISREG
from typing import Any

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.data.blanks import is_empty
from qwenvl_kit.evaluation.data.rows import Row

_SHORT = 1024
"""The longest cell, in characters, that is kept in memory though its column is heavy."""

_LONGEST_INDEX = 64
"""The longest cell of pictures that may be the index of another row; a picture has more
characters. Source: VLMEvalKit, vlmeval/dataset/image_base.py."""


PICTURE = "index of the row whose picture it shows"
"""The column, made here, by which rows that share a picture are found."""


@dataclass(frozen=True, eq=False)
class TableRows:
    """Rows of a file or of values in memory; they can be pickled.

    Attributes:
        name: a name for errors and results.
        columns: the columns in their order.
        rows: the rows.
        measure: function that returns the digest.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    measure: Callable[[], str]

    def __post_init__(self) -> None:
        """Refuse two columns of one name, of which one would be lost."""
        check_columns(self.columns, self.name)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the content, as hex digits, measured when it is first asked for."""
        return self.measure()

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __repr__(self) -> str:
        return f"TableRows({self.name!r}, {len(self):,} rows)"


@dataclass(frozen=True)
class FileStamp:
    """A file with its size and time when it was first read, by which a change is seen."""

    path: Path
    num_bytes: int
    changed_ns: int

    @classmethod
    def of(cls, path: Path) -> FileStamp:
        """Return the stamp of a file.

        Raises:
            EvaluationError: there is no such file, it may not be read, or it is a pipe or a device.
        """
        try:
            found = path.stat()
        except (OSError, ValueError) as error:
            raise unreadable(path, error) from error
        if not S_ISREG(found.st_mode):
            raise EvaluationError(
                f"the data {path} are no file", expected="a file that can be read again"
            )
        return cls(path, found.st_size, found.st_mtime_ns)

    def check(self, where: str = "") -> None:
        """Refuse a file that was changed.

        Raises:
            EvaluationError: it was changed, or is not there any more.
        """
        if FileStamp.of(self.path) != self:
            raise EvaluationError(
                f"the file {self.path} was changed since it was first read",
                expected="a file that stays as it is while it is used",
                where=where,
            )


def unreadable(path: Path, error: OSError | ValueError) -> EvaluationError:
    """Return the error of a file that cannot be read."""
    reason = getattr(error, "strerror", None) or error
    return EvaluationError(
        f"the data {str(path)!r} cannot be read ({reason})",
        expected="a file that exists, which you may read",
    )


def check_columns(columns: Sequence[str], name: str) -> None:
    """Refuse two columns of one name.

    Args:
        columns: the columns.
        name: the name of the data, for the error.

    Raises:
        EvaluationError: names the column that is there twice.
    """
    repeated = [column for column, number in Counter(columns).items() if number > 1]
    if repeated:
        raise EvaluationError(
            f"two columns of {name} have the name {repeated[0]!r}",
            expected="a name of its own for each column",
        )


def digest_files(stamps: Sequence[FileStamp]) -> str:
    """Return the SHA-256 of a file's bytes; of several files that of their names and digests.

    Args:
        stamps: the files as they were when their rows were read.

    Raises:
        EvaluationError: a file cannot be read, or was changed since.
    """
    digests = [_digest_file(stamp) for stamp in stamps]
    if len(digests) == 1:
        return digests[0]
    lines = "".join(f"{stamp.path.name} {digest}\n" for stamp, digest in zip(stamps, digests))
    return hashlib.sha256(lines.encode()).hexdigest()


def _digest_file(stamp: FileStamp) -> str:
    stamp.check()
    made = hashlib.sha256()
    try:
        with open(stamp.path, "rb") as file:
            while block := file.read(2**20):
                made.update(block)
    except OSError as error:
        raise unreadable(stamp.path, error) from error
    stamp.check()
    return made.hexdigest()


def is_short(value: Any) -> bool:
    """Return True for a cell that costs little memory."""
    if isinstance(value, (str, bytes)):
        return len(value) <= _SHORT
    if isinstance(value, (list, tuple)):
        return len(value) <= 16 and all(map(is_short, value))
    if isinstance(value, dict):
        return len(value) <= 16 and all(map(is_short, value.values()))
    return True


def with_shared_pictures(rows: Sequence[Row], columns: Sequence[str]) -> tuple[Row, ...]:
    """Return the rows; where a picture is the index of another row, that row's picture is read.

    VLMEvalKit writes a picture that rows share once, and its index in the others. Each row gets a
    cell `PICTURE`: the index of the row whose picture it shows.
    Source: vlmeval/dataset/image_base.py.
    """
    if not {"index", "image"} <= {*columns}:
        return tuple(rows)
    owners = {_index(row["index"]): row for row in rows if _has_picture(row)}
    return tuple(_with_picture_of(row, owners) for row in rows)


def _with_picture_of(row: Row, owners: Mapping[str | None, Row]) -> Row:
    """A row with the picture of the row whose index it has in place of one."""
    index = _index(row["image"]) if row.is_in_memory("image") else None
    if index is None or index not in owners:
        return row.with_cells({PICTURE: _index(row["index"])})
    shared = row.with_heavy("image", partial(owners[index].__getitem__, "image"))
    return shared.with_cells({PICTURE: index})


def _has_picture(row: Row) -> bool:
    """True if a row has a picture of its own."""
    if "image" not in row or not row.is_in_memory("image"):
        return "image" in row
    value = row["image"]
    return not is_empty(value) and _index(value) is None


def _index(value: Any) -> str | None:
    """A cell as an index; None if it is too long for one, or is not in memory."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    is_index = isinstance(value, (str, int)) and len(str(value)) <= _LONGEST_INDEX
    return str(value).strip() if is_index and not is_empty(value) else None
