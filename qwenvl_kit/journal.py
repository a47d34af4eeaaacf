"""Journals: files that keep results while a run makes them, so that a stopped run can resume.

A journal has one JSON object per line and is only ever appended to. The first line says which run
the results belong to; each other line holds one result under its key:

    {"qwenvl_kit_journal": 1, "kind": "summarize_video", "fingerprint": "...", "settings": {...}}
    {"key": "window 0", "record": {...}}

A line is on the disk before `add` or `add_all` returns. If the process is killed while it writes a
line, that line is dropped when the file is opened again.
"""

from __future__ import annotations

import hashlib
import json
import os
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields, is_dataclass
from functools import lru_cache
from typing import (
    TYPE_CHECKING,
    Any,
    BinaryIO,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from qwenvl_kit.errors import JournalError

if TYPE_CHECKING:
    from typing_extensions import Self

_Value = TypeVar("_Value")

Record: TypeAlias = Mapping[str, Any]
"""A dict that JSON can hold."""

VERSION = 1
"""The version of the file format."""

_MARK = "qwenvl_kit_journal"
_START = f'{{"{_MARK}": '.encode()
_MAX_HEADER_BYTES = 2**24


class Journal:
    """Results by key, kept in a file.

    The records are in the file alone; memory holds only their positions. A journal without a file,
    `Journal()`, keeps nothing.

    Args:
        file: a file opened for reading and appending.
        name: name of the file, for messages.
        places: the offset and the number of bytes of each record's line, by key.
    """

    def __init__(
        self,
        file: BinaryIO | None = None,
        name: str = "",
        places: dict[str, tuple[int, int]] | None = None,
    ) -> None:
        self._file = file
        self._name = name
        self._places = {} if places is None else places
        self._end = 0 if file is None else _num_bytes(file)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, kind: str, settings: Record) -> Self:
        """Open the journal at a path, or create it.

        Args:
            path: the file; its folder must exist.
            kind: name of the task that makes the results.
            settings: everything that the results depend on.

        Raises:
            JournalError: the file cannot be used, is not a journal, is damaged before its last
                line, or belongs to another request: the message names the settings that differ.
        """
        name = os.fsdecode(path)
        with _translated(name):
            file = open(path, "a+b")  # noqa: SIM115  # closed by `close`
        try:
            with _translated(name):
                return cls(file, name, _load(file, name, _header(kind, settings)))
        except BaseException:
            file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_kept(self) -> bool:
        """True if results are kept in a file."""
        return self._file is not None

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def get(self, key: str) -> Record | None:
        """Return the record of a key, the last one if it was added twice; None if there is none."""
        if self._file is None or key not in self._places:
            return None
        offset, num_bytes = self._places[key]
        with _translated(self._name):
            self._file.seek(offset)
            entry = _parse(self._file.read(num_bytes))
        if entry is None:
            raise _someone_else(self._name)
        return entry[1]

    def add(self, key: str, record: Record) -> None:
        """Append a record; see `add_all`."""
        self.add_all({key: record})

    def add_all(self, records: Mapping[str, Record]) -> None:
        """Append records by their keys; they are on the disk when this returns.

        Writing several at once takes the disk no longer than writing one.

        Raises:
            JournalError: they cannot be written, or another process writes to the file.
        """
        if self._file is None or not records:
            return
        lines = {key: _line({"key": key, "record": record}) for key, record in records.items()}
        with _translated(self._name):
            if _num_bytes(self._file) != self._end:
                raise _someone_else(self._name)
            _append(self._file, b"".join(lines.values()))
        for key, line in lines.items():
            self._places[key] = (self._end, len(line))
            self._end += len(line)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def read_records(path: str | os.PathLike[str], *, kind: str) -> Iterator[tuple[str, Record]]:
    """Yield the records of a journal with their keys, in the order in which they were added.

    The file is only read, whatever model or request it belongs to. A last line that is incomplete
    is left out. The last record of a key counts, if it was added twice.

    Args:
        path: the file.
        kind: name of the task that made the results.

    Raises:
        JournalError: the file cannot be read, is no journal of that kind, or is damaged before its
            last line.
    """
    name = os.fsdecode(path)
    with _translated(name), open(path, "rb") as file:
        header = _object(file.readline(_MAX_HEADER_BYTES))
        if header.get(_MARK) != VERSION or header.get("kind") != kind:
            raise JournalError(
                f"{name} is no journal of {kind}",
                expected=f"a journal that {kind} has written",
            )
        start = file.tell()
        places, _ = _scan(file, name, start)
        for key, (offset, num_bytes) in places.items():
            file.seek(offset)
            entry = _parse(file.read(num_bytes))
            if entry is None:
                raise _someone_else(name)
            yield key, entry[1]


def to_record(value: Any) -> dict[str, Any]:
    """Convert a dataclass, such as a `Reply`, into dicts, tuples, strings and numbers."""
    return asdict(value)


def from_record(kind: type[_Value], record: Mapping[str, Any]) -> _Value:
    """Build the dataclass that a record was made from.

    Fields are restored by their annotations: dataclasses, tuples of one type, and optional ones.
    Entries of the record that are no fields were written by a later release and are left out.

    Args:
        kind: the dataclass.
        record: the result of `to_record`, directly or through JSON.

    Raises:
        JournalError: it is not a record of that kind.
    """
    try:
        return _built(kind, record)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise JournalError(
            f"a record is not a {kind.__name__} ({error})",
            expected="a record that this release of qwenvl_kit wrote",
        ) from error


_MODEL_FACTS = ("model", "source", "revision", "family", "quantization", "adapter")


def model_facts(report: Mapping[str, str]) -> dict[str, str]:
    """Return the entries of `chat.report()` that identify a model, on whatever machine it runs."""
    return {name: report[name] for name in _MODEL_FACTS if name in report}


def fingerprint(value: Any) -> str:
    """Return the SHA-256 of a JSON value, as hex digits; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _built(kind: type[_Value], record: Mapping[str, Any]) -> _Value:
    hints = _hints(kind)  # type: ignore[arg-type]  # a class is hashable
    names = [field.name for field in fields(kind) if field.name in record]  # type: ignore[arg-type]
    return kind(**{name: _restored(hints[name], record[name]) for name in names})


def _restored(hint: Any, value: Any) -> Any:
    kinds = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        others = [kind for kind in kinds if kind is not type(None)]
        return value if value is None or len(others) > 1 else _restored(others[0], value)
    if get_origin(hint) is tuple:
        return tuple(_restored(kinds[0], item) for item in value)
    return _built(hint, value) if is_dataclass(hint) and isinstance(hint, type) else value


@lru_cache(maxsize=64)
def _hints(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind)


def _header(kind: str, settings: Record) -> dict[str, Any]:
    return {
        _MARK: VERSION,
        "kind": kind,
        "fingerprint": fingerprint(settings),
        "settings": dict(settings),
    }


def _load(file: BinaryIO, name: str, header: Record) -> dict[str, tuple[int, int]]:
    """Read the positions of the records; write the header if the file is new, drop a torn line."""
    file.seek(0)
    first = file.readline(_MAX_HEADER_BYTES)
    if not first.endswith(b"\n"):
        _check_is_torn_header(first, name)
        file.truncate(0)
        _append(file, _line(header))
        return {}
    _check_header(first, name, header)
    places, end = _scan(file, name, len(first))
    if end != _num_bytes(file):
        file.truncate(end)
    return places


def _scan(file: BinaryIO, name: str, start: int) -> tuple[dict[str, tuple[int, int]], int]:
    """The position of each record, and the offset at which the last whole line ends."""
    places: dict[str, tuple[int, int]] = {}
    end, number = start, 1
    while line := file.readline():
        number += 1
        entry = _parse(line)
        if entry is None:
            if file.read(1):
                raise JournalError(
                    f"line {number} of the journal {name} is damaged",
                    expected="one JSON object with key and record a line",
                    hint="delete the line: its result is then computed again",
                )
            break
        places[entry[0]] = (end, len(line))
        end += len(line)
    return places, end


def _parse(line: bytes) -> tuple[str, Record] | None:
    """The key and record of a whole line; None for anything else."""
    entry = _object(line) if line.endswith(b"\n") else {}
    key, record = entry.get("key"), entry.get("record")
    return (key, record) if isinstance(key, str) and isinstance(record, dict) else None


def _object(line: bytes) -> dict[str, Any]:
    """The JSON object of a line; empty for anything else."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):  # a UnicodeDecodeError is a ValueError
        return {}
    return value if isinstance(value, dict) else {}


def _check_is_torn_header(content: bytes, name: str) -> None:
    """Raise an error if a file is not a journal, before it is overwritten."""
    if not (content.startswith(_START) or _START.startswith(content)):
        raise _no_journal(name)


def _check_header(first: bytes, name: str, wanted: Record) -> None:
    found = _object(first)
    if _MARK not in found:
        raise _no_journal(name)
    if found[_MARK] != VERSION:
        raise JournalError(
            f"the journal {name} has version {found[_MARK]}",
            expected=f"version {VERSION}",
            hint="the release of qwenvl_kit that wrote it, or another file",
        )
    for what in ("kind", "fingerprint"):
        if found.get(what) != wanted[what]:
            raise JournalError(
                f"the journal {name} belongs to another request: {_difference(found, wanted)}",
                expected="the same request as when the journal was started",
                hint="use another file, or delete this one to start again",
            )


def _difference(found: Record, wanted: Record) -> str:
    if found.get("kind") != wanted["kind"]:
        return f"it is for {_shorten(found.get('kind'))}, and this is {wanted['kind']}"
    before, now = found.get("settings"), wanted["settings"]
    before = before if isinstance(before, dict) else {}
    changed = [
        f"{key} was {_shorten(before.get(key))} and is {_shorten(now.get(key))}"
        for key in {**before, **now}
        if fingerprint(before.get(key)) != fingerprint(now.get(key))
    ]
    return "; ".join(changed) or "its settings do not have the fingerprint that it states"


def _line(value: Record) -> bytes:
    return f"{json.dumps(value, default=_plain)}\n".encode("ascii")


def _plain(value: Any) -> Any:
    """A number of NumPy as a number of Python."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _append(file: BinaryIO, line: bytes) -> None:
    file.write(line)
    file.flush()
    os.fsync(file.fileno())


def _num_bytes(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _shorten(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 120 else f"{text[:80]}...{text[-20:]}"


def _no_journal(name: str) -> JournalError:
    return JournalError(
        f"{name} is not a journal",
        expected="a new file name, or a journal that an earlier run started",
    )


def _someone_else(name: str) -> JournalError:
    return JournalError(
        f"the journal {name} was changed while it was open",
        expected="one process that writes to it",
        hint="wait for the other run to end, or give each run its own journal",
    )


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise JournalError(
            f"the journal {name} cannot be used ({error.strerror or error})",
            expected="a file in a folder that exists, which you may write to",
        ) from error
