"""Results on disk while they are made: a file from which a run that was ended goes on.

One JSON object a line, only ever appended. The first says what the results are of, each other
holds one result under its key:

    {"qwenvl_kit_journal": 1, "kind": "summarize_video", "fingerprint": "...", "settings": {...}}
    {"key": "window 0", "record": {...}}

A line is on the disk before `add` or `add_all` returns. One that was being written when its
process was killed is dropped when the file is opened again.
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
"""What JSON can hold."""

VERSION = 1
"""Of the form of the file."""

_MARK = "qwenvl_kit_journal"
_START = f'{{"{_MARK}": '.encode()
_MAX_HEADER_BYTES = 2**24


class Journal:
    """Results by key, kept in a file.

    Only their places are kept in memory. Nothing is kept anywhere but there, so that a journal
    without a file, `Journal()`, remembers nothing.

    Args:
        file: opened for reading and appending.
        name: of the file, for messages.
        places: where each record's line begins, and its bytes.
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
        """The journal at a path; it is made if there is none.

        Args:
            path: the file; its folder exists.
            kind: what the results are of.
            settings: all that the results depend on.

        Raises:
            JournalError: the file cannot be used, is no journal, is damaged elsewhere than in its
                last line, or is the journal of something else: the message names the settings
                that differ.
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
        """Whether there is a file."""
        return self._file is not None

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def get(self, key: str) -> Record | None:
        """The record of a key, the last one if it was added twice; None if there is none."""
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

        A disk takes as long for several as for one.

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


def to_record(value: Any) -> dict[str, Any]:
    """A dataclass, such as a `Reply`, as dicts, tuples, texts and numbers."""
    return asdict(value)


def from_record(kind: type[_Value], record: Mapping[str, Any]) -> _Value:
    """The value that a record was made of.

    Fields follow their annotations: dataclasses, tuples of one type, and optional ones. What a
    record has beyond them was written by a later release and is left out.

    Args:
        kind: the dataclass.
        record: what `to_record` gave, also by way of JSON.

    Raises:
        JournalError: it is not a record of that kind.
    """
    try:
        return _built(kind, record)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise JournalError(
            f"a record is not a {kind.__name__} ({error})",
            expected="what this release of qwenvl_kit wrote",
        ) from error


_MODEL_FACTS = ("model", "source", "revision", "family", "quantization", "adapter")


def model_facts(report: Mapping[str, str]) -> dict[str, str]:
    """What of `chat.report()` tells a model from another, wherever it runs."""
    return {name: report[name] for name in _MODEL_FACTS if name in report}


def fingerprint(value: Any) -> str:
    """SHA-256 of what JSON can hold, the same for the same content in whatever order of keys."""
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
    """Where the records are; the file has this header afterwards, and ends with a whole line."""
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
    """The place of each record, and where the last whole line ends."""
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
                    hint="delete the line: what it held is then done again",
                )
            break
        places[entry[0]] = (end, len(line))
        end += len(line)
    return places, end


def _parse(line: bytes) -> tuple[str, Record] | None:
    """Key and record of a whole line; None for anything else."""
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
    """Refuse a file that is not a journal, before it is overwritten."""
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
                f"the journal {name} is of something else: {_difference(found, wanted)}",
                expected="the same request as when it was begun",
                hint="another file, or delete this one to begin anew",
            )


def _difference(found: Record, wanted: Record) -> str:
    if found.get("kind") != wanted["kind"]:
        return f"it is of {_shorten(found.get('kind'))}, and this is {wanted['kind']}"
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
    """A number of NumPy as Python's."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} is nothing that JSON can hold")


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
        expected="a file that does not exist yet, or one that an earlier run began",
    )


def _someone_else(name: str) -> JournalError:
    return JournalError(
        f"the journal {name} was changed while it was open",
        expected="one process that writes to it",
        hint="wait for the other run to end, or give each its own journal",
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
