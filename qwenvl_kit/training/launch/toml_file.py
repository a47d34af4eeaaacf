"""TOML: whole files, and single values as they are written behind a key."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from qwenvl_kit.errors import InputError, MissingPackageError


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the tables of a TOML file.

    Raises:
        InputError: there is no such file, or it is not TOML; the error tells line and column.
        MissingPackageError: Python is older than 3.11 and `tomli` is not installed.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"the file cannot be read ({type(error).__name__})",
            expected="a TOML file in UTF-8",
            where=os.fsdecode(path),
        ) from error
    return _parsed(text, os.fsdecode(path))


def toml_value(text: str) -> Any:
    """Return a value as it would stand behind a key; text that is no TOML is a string.

    So `3`, `0.5`, `true`, `["a", "b"]` and `"out"` are what TOML says, and `out` is "out".
    """
    try:
        return _parsed(f"value = {text}", "")["value"]
    except InputError:
        return text


def _parsed(text: str, where: str) -> dict[str, Any]:
    loads, wrong_toml = _parser()
    try:
        read: dict[str, Any] = loads(text)
        return read
    except wrong_toml as error:
        hint = ""
        if "null" in text.lower() or "none" in text.lower():
            hint = "TOML has no null: leave the key out"
        raise InputError(f"the file is not TOML: {error}", hint=hint, where=where) from error


def _parser() -> tuple[Any, type[ValueError]]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError as error:
            raise MissingPackageError(
                "Python 3.10 has no reader of TOML", hint="pip install 'qwenvl-kit[training]'"
            ) from error
    return tomllib.loads, tomllib.TOMLDecodeError
