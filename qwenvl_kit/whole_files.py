"""Files written whole or not at all, and read strictly, within a size."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from qwenvl_kit.errors import QwenVLKitError
from qwenvl_kit.safe_text import plain

STRICT = {"strict": True, "extra": "forbid", "allow_inf_nan": False}
"""The settings by which pydantic reads a file: no value is converted, and no key passed over."""

_Value = TypeVar("_Value")
_MOST_PROBLEMS = 3


@dataclass(frozen=True)
class FileKind:
    """A kind of files of one writer.

    Attributes:
        error: the class of the errors about such files.
        expected: such a file in words, for errors, such as "a file that fine_tune has written".
        found: the place where one is expected, for errors about files that are not there.
        version: the version of the form of its values.
    """

    error: type[QwenVLKitError]
    expected: str
    found: str
    version: int = 1

    def write(self, path: Path, content: bytes) -> None:
        """Write a file in one step: whoever reads it, at any time, finds the old one or the new.

        Raises:
            QwenVLKitError: of the kind's class: the disk is full, or the folder cannot be written
                to.
        """
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        with self.writing(path):
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
    def writing(self, path: Path) -> Iterator[None]:
        """Translate what the system says of a file that cannot be written.

        Raises:
            QwenVLKitError: of the kind's class: the disk is full, or the folder cannot be written
                to.
        """
        try:
            yield
        except OSError as error:
            raise self.error(
                f"{path.name} cannot be written: {error.strerror or error}",
                expected="a folder with free space that this user may write to",
                where=str(path),
            ) from error

    def read(self, path: Path, most_bytes: int) -> bytes:
        """Read a file.

        Raises:
            QwenVLKitError: of the kind's class: it is missing, cannot be read, or has more bytes.
        """
        try:
            with path.open("rb") as file:
                content = file.read(most_bytes + 1)
        except OSError as error:
            raise self.error(
                f"{path.name} cannot be read: {error.strerror or error}",
                expected=self.found,
                where=str(path),
            ) from error
        if len(content) > most_bytes:
            raise self.error(
                f"the file has more than {most_bytes:,} bytes",
                expected=self.expected,
                where=str(path),
            )
        return content

    def write_value(self, path: Path, value: object) -> None:
        """Write a dataclass as JSON; see `write`. What JSON cannot hold is its text."""
        from pydantic import TypeAdapter

        content = TypeAdapter(type(value)).dump_json(value, indent=2, fallback=str)
        self.write(path, content + b"\n")

    def read_value(self, path: Path, kind: type[_Value], most_bytes: int) -> _Value:
        """Read a dataclass from JSON.

        Args:
            path: the file.
            kind: the class.
            most_bytes: the most bytes that the file may have.

        Raises:
            QwenVLKitError: of the kind's class: it is not such a file, or of another version; the
                error says where in it.
        """
        from pydantic import TypeAdapter, ValidationError

        content = self.read(path, most_bytes)
        self._check_version(content, path)
        try:
            return TypeAdapter(kind).validate_json(content)
        except ValidationError as error:
            problems = [
                f"{'.'.join(map(str, each['loc']))}: {each['msg']}"
                for each in error.errors(include_url=False, include_input=False)[:_MOST_PROBLEMS]
            ]
            raise self.error(
                f"the file cannot be used: {'; '.join(problems)}",
                expected=f"{self.expected}, unchanged",
                where=str(path),
            ) from error

    def _check_version(self, content: bytes, path: Path) -> None:
        try:
            value: Any = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self.error(
                f"the file is not JSON: {plain(str(error))}",
                expected=f"{self.expected}, complete",
                where=str(path),
            ) from error
        found = value.get("version") if isinstance(value, dict) else None
        if isinstance(found, bool) or found != self.version:
            raise self.error(
                f"the file has the version {plain(repr(found))[:40]}",
                expected=f"version {self.version}",
                hint="the release of qwenvl_kit that wrote it",
                where=str(path),
            )
