"""Files of a run: written whole or not at all, and read strictly, within a size."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from qwenvl_kit.errors import TrainingError
from qwenvl_kit.safe_text import plain

VERSION = 1
"""The version of the form in which records and reports are written."""

STRICT = {"strict": True, "extra": "forbid", "allow_inf_nan": False}
"""The settings by which pydantic reads a file: no value is converted, and no key passed over."""

_Value = TypeVar("_Value")
_MOST_PROBLEMS = 3


def write_file(path: Path, content: bytes) -> None:
    """Write a file in one step: whoever reads it, at any time, finds the old one or the new.

    Raises:
        TrainingError: the disk is full, or the folder cannot be written to.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Translate what the system says of a file that cannot be written.

    Raises:
        TrainingError: the disk is full, or the folder cannot be written to.
    """
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"{path.name} cannot be written: {error.strerror or error}",
            expected="a folder with free space that this user may write to",
            where=str(path),
        ) from error


def read_file(path: Path, most_bytes: int) -> bytes:
    """Read a file of a run.

    Raises:
        TrainingError: it is missing, cannot be read, or has more bytes than a training writes.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise TrainingError(
            f"{path.name} cannot be read: {error.strerror or error}",
            expected="the folder of a training, as fine_tune writes it",
            where=str(path),
        ) from error
    if len(content) > most_bytes:
        raise TrainingError(
            f"the file has more than {most_bytes:,} bytes",
            expected="a file that fine_tune has written",
            where=str(path),
        )
    return content


def write_value(path: Path, value: object) -> None:
    """Write a value, a dataclass, as JSON; see `write_file`. What JSON cannot hold is its text."""
    from pydantic import TypeAdapter

    content = TypeAdapter(type(value)).dump_json(value, indent=2, fallback=str)
    write_file(path, content + b"\n")


def read_value(path: Path, kind: type[_Value], most_bytes: int) -> _Value:
    """Read a dataclass that `write_value` has written.

    Args:
        path: the file.
        kind: the class.
        most_bytes: the most bytes that the file may have.

    Raises:
        TrainingError: it is not such a file, or of another version; the error says where in it.
    """
    from pydantic import TypeAdapter, ValidationError

    content = read_file(path, most_bytes)
    _check_version(content, path)
    try:
        return TypeAdapter(kind).validate_json(content)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}"
            for each in error.errors(include_url=False, include_input=False)[:_MOST_PROBLEMS]
        ]
        raise TrainingError(
            f"the file cannot be used: {'; '.join(problems)}",
            expected="a file that fine_tune has written, unchanged",
            where=str(path),
        ) from error


def _check_version(content: bytes, path: Path) -> None:
    try:
        value: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise TrainingError(
            f"the file is not JSON: {plain(str(error))}",
            expected="a file that fine_tune has written, complete",
            where=str(path),
        ) from error
    found = value.get("version") if isinstance(value, dict) else None
    if isinstance(found, bool) or found != VERSION:
        raise TrainingError(
            f"the file has the version {plain(repr(found))[:40]}",
            expected=f"version {VERSION}",
            hint="the release of qwenvl_kit that wrote it",
            where=str(path),
        )
