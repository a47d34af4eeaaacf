"""Rows of JSON Lines and JSON files, one after another, each with its line."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO, Union

from qwenvl_kit.errors import InputError
from qwenvl_kit.safe_text import plain

_LINES = (".jsonl", ".ndjson", ".jsonlines")
_ARRAYS = (".json",)


class RowFiles(NamedTuple):
    """The files of rows that a room reads, as its errors speak of them.

    Attributes:
        kind: their name, such as "training file".
        error: the error of a file or a line that cannot be read.
        hint: a way for files of other kinds.
    """

    kind: str
    error: type[InputError]
    hint: str = ""


class Row(NamedTuple):
    """A row of a file, or the error in its place.

    Attributes:
        where: its place, such as `train.jsonl:3`.
        value: its value in JSON, or the error that it cannot be read.
        offset: the bytes of the file before its line; None in a file that is read in whole.
    """

    where: str
    value: Union[Any, InputError]
    offset: int | None = None


def read_rows(path: str | os.PathLike[str], files: RowFiles) -> Iterator[Row]:
    """Yield the rows of a file in their order; a line that is no JSON is an error in its place.

    Args:
        path: a file of JSON Lines (`.jsonl`), read line by line, or a JSON file that holds an
            array of rows, one row, or rows one after another.
        files: the kind of file, and its error.

    Raises:
        InputError: that of `files`: there is no such file, it cannot be read, or it has another
            ending.
    """
    name, ending = os.fsdecode(path), Path(path).suffix.lower()
    if ending not in (*_LINES, *_ARRAYS):
        raise files.error(
            f"the {files.kind} {name} ends in {ending!r}",
            expected=f"a file of the kinds {', '.join((*_LINES, *_ARRAYS))}",
            hint=files.hint,
        )
    try:
        with open(path, encoding="utf-8", newline="") as file:
            is_array = ending in _ARRAYS or _begins_array(file)
            read = _values(file.read(), name) if is_array else _lines(file, name)
            for where, value, offset in read:
                if isinstance(value, _NoJson):
                    value = value.as_error(files, where)  # noqa: PLW2901
                yield Row(where, value, offset)
    except OSError as error:
        raise files.error(
            f"the {files.kind} {name} cannot be read ({error.strerror or error})",
            expected="a file that exists, which you may read",
        ) from error
    except UnicodeDecodeError as error:
        raise files.error(
            f"the {files.kind} {name} is no text in UTF-8 (byte {error.start})",
            expected="a file in UTF-8",
            hint=f"iconv -t UTF-8 {name}",
        ) from error


def _begins_array(file: TextIO) -> bool:
    """True if the first line that is not empty is a bracket alone: an array over many lines."""
    first = next((line for line in file if line.strip()), "")
    file.seek(0)
    return first.lstrip("\ufeff").strip() == "["


def row_at(path: str | os.PathLike[str], where: str, offset: int, files: RowFiles) -> Any:
    """Read one row of a file of JSON Lines again.

    Args:
        path: the file.
        where: the place of the row, for errors.
        offset: the bytes before its line, as `read_rows` gave them.
        files: the kind of file, and its error.

    Raises:
        InputError: that of `files`: the file was changed: it cannot be read, or the line is no JSON
            any more.
    """
    try:
        with open(path, "rb") as raw:
            raw.seek(offset)
            line = next(io.TextIOWrapper(raw, encoding="utf-8", newline=""), "")
        return _DECODER.decode(line.lstrip("\ufeff"))
    except (OSError, ValueError, RecursionError) as error:
        raise files.error(
            f"the {files.kind} was changed since it was first read ({plain(str(error))[:120]})",
            expected="a file that stays as it is while it is used",
            where=where,
        ) from error


def _lines(file: TextIO, name: str) -> Iterator[Row]:
    offset = 0
    for number, line in enumerate(file, 1):
        text = line.lstrip("\ufeff") if number == 1 else line
        if text.strip():
            where = f"{name}:{number}"
            try:
                yield Row(where, _DECODER.decode(text), offset)
            except (ValueError, RecursionError) as error:
                yield Row(where, _NoJson(error), offset)
        offset += len(line.encode())


def _values(text: str, name: str) -> Iterator[Row]:
    """The elements of an array, or values that follow each other; nothing after a fault."""
    text = text.lstrip("\ufeff")
    at = _skip(text, 0, " \t\r\n")
    is_array = text.startswith("[", at)
    at = _skip(text, at + 1, " \t\r\n") if is_array else at
    line, counted = 1, 0
    while at < len(text) and not (is_array and text[at] == "]"):
        line, counted = line + text.count("\n", counted, at), at
        where = f"{name}:{line}"
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            yield Row(where, _NoJson(error))
            return
        yield Row(where, value)
        at = _skip(text, at, " \t\r\n")
        if is_array and not text.startswith((",", "]"), at):
            line += text.count("\n", counted, at)
            where = f"{name}:{line}"
            cause = "the array is cut off" if at >= len(text) else f"{text[at]!r} for a comma"
            yield Row(where, _NoJson(ValueError(cause)))
            return
        at = _skip(text, at, " \t\r\n,") if is_array else at


def _skip(text: str, at: int, blanks: str) -> int:
    while at < len(text) and text[at] in blanks:
        at += 1
    return at


def _without_repeats(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    """The object of these pairs; JSON's own reader would keep the last of two equal keys."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_without_repeats)


class _NoJson:
    """A line that is no JSON."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def as_error(self, files: RowFiles, where: str) -> InputError:
        made = files.error(
            f"no JSON ({plain(str(self._error))[:120]})",
            expected="one JSON object a line, or an array of them in a .json file",
            where=where,
        )
        made.__cause__ = self._error
        return made
