"""Pictures and films in the cells of rows, in the forms that makers of benchmarks write."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from qwenvl_kit.errors import EvaluationError, MediaDecodeError, located
from qwenvl_kit.evaluation.data.blanks import is_without_media
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.media.base64_text import is_picture_in_base64
from qwenvl_kit.messages.message import ImagePart, VideoPart
from qwenvl_kit.safe_text import looks_like_base64, shown_source

_LONGEST_PATH = 4096
"""A text with more characters is no path: Linux has PATH_MAX = 4096."""

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]{1,30}:")
"""The beginning of a URL; one letter is a drive of Windows."""

_TEXTS = re.compile(
    r"\[\s*(?:'[^'\\\n]*'|\"[^\"\\\n]*\")(?:\s*,\s*(?:'[^'\\\n]*'|\"[^\"\\\n]*\"))*\s*,?\s*\]"
)
"""A list of base64 or paths in one text, as Python and JSON write it."""


def media_of(
    row: Row, image_columns: Sequence[str], video_columns: Sequence[str]
) -> tuple[ImagePart | VideoPart, ...]:
    """Return the pictures of a row, then its films.

    A cell may hold base64, a list of base64 (also as one text), bytes, `{"bytes", "path"}` as hubs
    have it, a picture of Pillow, a path or a URL; a list is several pictures, or the frames of one
    film. Relative paths are below the row's folder. Of several columns the first that is filled
    counts.

    Args:
        row: the row.
        image_columns: the columns that may hold pictures.
        video_columns: the columns that may hold a film.

    Raises:
        EvaluationError: a cell holds something else, or its file was changed; it names the row.
        MediaDecodeError: a long text is no base64 of a picture.
    """
    with located(row.where):
        pictures = [_source(each, row) for each in _elements(_filled(row, image_columns))]
        films = _films(_filled(row, video_columns), row)
        return (*map(ImagePart, pictures), *map(VideoPart, films))


def _filled(row: Row, columns: Sequence[str]) -> Any:
    """The cell of the first column that is filled; None if none is."""
    for column in columns:
        if column in row and not is_without_media(value := row[column]):
            return value
    return None


def _elements(value: Any) -> Iterator[Any]:
    """The pictures in a cell."""
    if value is None:
        return
    if isinstance(value, str) and _TEXTS.fullmatch(value.strip()):
        value = ast.literal_eval(value.strip())
    if _is_array_of_objects(value):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        yield from (each for each in value if not is_without_media(each))
    else:
        yield value


def _films(value: Any, row: Row) -> Iterator[Any]:
    """The film in a cell: a file, or its frames."""
    if value is None:
        return
    found = [_source(each, row) for each in _elements(value)]
    is_one = len(found) == 1
    yield found[0] if is_one else found


def _source(value: Any, row: Row) -> Any:
    """A picture or film as `ImagePart` and `VideoPart` take it."""
    if isinstance(value, str):
        return _text_source(value.strip(), row.folder)
    if isinstance(value, Mapping) and value.keys() <= {"bytes", "path"}:
        content = value.get("bytes")
        return content if content is not None else _source(value["path"], row)
    if isinstance(value, os.PathLike):
        return _below(os.fspath(value), row.folder)
    is_known = isinstance(value, (bytes, bytearray, memoryview)) or hasattr(value, "shape")
    if is_known or hasattr(value, "read") or type(value).__module__.startswith("PIL."):
        return value
    raise EvaluationError(
        f"a picture or film is {shown_source(value)}",
        expected='base64, bytes, {"bytes": ..., "path": ...}, a picture of Pillow, a path or a URL',
    )


def _text_source(text: str, folder: Path | None) -> Any:
    if _URL.match(text) or is_picture_in_base64(text):
        return text
    if len(text) <= _LONGEST_PATH and not _is_lost_base64(text, folder):
        return _below(text, folder)
    raise MediaDecodeError(
        f"a text of {len(text):,} characters is no base64 of a picture",
        expected="base64 of a PNG, JPEG or other picture, or a path",
    )


def _is_lost_base64(text: str, folder: Path | None) -> bool:
    """True for a text that may be base64, has no dot as names of files have, and names no file."""
    return looks_like_base64(text) and not Path(_below(text, folder)).exists()


def _below(name: str | bytes, folder: Path | None) -> str:
    """A path, below a folder if it is relative."""
    path = os.fsdecode(name)
    return path if folder is None or os.path.isabs(path) else str(folder / path)


def _is_array_of_objects(value: Any) -> bool:
    """True for an array of NumPy that is a list and no picture."""
    return type(value).__module__ == "numpy" and getattr(value, "ndim", 0) == 1
