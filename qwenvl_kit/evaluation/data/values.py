"""Rows of values in memory: lists of dicts, DataFrames, and data sets of Hugging Face."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

from qwenvl_kit.errors import EvaluationError, MediaDecodeError
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.evaluation.data.tables import TableRows, check_columns, with_shared_pictures

_EXPECTED = (
    "a path of .tsv, .csv, .jsonl, .json or .parquet, a folder of Parquet files, a "
    "datasets.Dataset, a DataFrame, or a list of dicts"
)


def open_values(
    data: Any, folder: Path | None, heavy: Sequence[str], split: str | None
) -> TableRows:
    """Return the rows of values in memory.

    Args:
        data: a list of dicts, a DataFrame of pandas or polars, a Table of pyarrow, or a Dataset or
            DatasetDict of `datasets`.
        folder: the folder of relative paths.
        heavy: the columns of pictures, which a Dataset reads when they are needed.
        split: the split of a DatasetDict.

    Raises:
        EvaluationError: it is something else, or a row is no dict.
    """
    if isinstance(data, Mapping) and all(map(_is_dataset, data.values())) and data:
        return _open_dataset(_chosen_split(data, split), folder, heavy)
    if _is_dataset(data):
        return _open_dataset(data, folder, heavy)
    read = next((read for has, read in _TABLES.items() if hasattr(data, has)), None)
    _check_names(data)
    values = read(data) if read is not None else data
    if not isinstance(values, (list, tuple)):
        hint = "list(data), if it fits in memory" if hasattr(data, "__iter__") else ""
        raise EvaluationError(
            f"data of type {type(data).__name__} were given", expected=_EXPECTED, hint=hint
        )
    rows = [_row(value, f"rows[{at}]", folder) for at, value in enumerate(values)]
    columns = tuple(dict.fromkeys(column for row in rows for column in row))
    name = f"{type(data).__name__} of {len(rows):,} rows"
    return TableRows(name, columns, with_shared_pictures(rows, columns), partial(digest_rows, rows))


def _check_names(data: Any) -> None:
    """Refuse a table with two columns of one name, of which its rows would have the last."""
    names = getattr(data, "column_names", None) or getattr(data, "columns", None)
    if names is not None and hasattr(names, "__iter__"):
        check_columns([str(name) for name in names], type(data).__name__)


def _row(value: Any, where: str, folder: Path | None) -> Row:
    if not isinstance(value, Mapping):
        raise EvaluationError(
            f"a row is a {type(value).__name__}",
            expected='a dict, such as {"question": ..., "answer": ...}',
            where=where,
        )
    return Row({str(name): cell for name, cell in value.items()}, where, None, folder)


def _records_of_pandas(frame: Any) -> Any:
    """The rows of a DataFrame of pandas; short floats are the numbers that they show."""
    short = [name for name in frame.columns if str(frame.dtypes[name]) in ("float16", "float32")]
    shown = {name: frame[name].astype(str).astype("float64") for name in short}
    return frame.assign(**shown).to_dict("records") if short else frame.to_dict("records")


_TABLES: Mapping[str, Callable[[Any], Any]] = {
    "to_dicts": lambda frame: frame.to_dicts(),
    "to_pylist": lambda table: table.to_pylist(),
    "iloc": _records_of_pandas,
}
"""The ways in which tables of polars, pyarrow and pandas give rows, by a method that each has."""


def _is_dataset(data: Any) -> bool:
    """True for a Dataset of `datasets`."""
    return (
        hasattr(data, "column_names")
        and hasattr(data, "select_columns")
        and hasattr(data, "__len__")
    )


def _chosen_split(splits: Mapping[Any, Any], split: str | None) -> Any:
    names = {str(name): name for name in splits}
    if split is None and len(names) == 1:
        return next(iter(splits.values()))
    if split is None or split not in names:
        given = "no split was given" if split is None else f"there is no split {split!r}"
        raise EvaluationError(given, expected=f"split= with one of {', '.join(map(repr, names))}")
    return splits[names[split]]


def _open_dataset(dataset: Any, folder: Path | None, heavy: Sequence[str]) -> TableRows:
    """The rows of a Dataset; pictures are read as their bytes, so that each may fail alone."""
    columns = tuple(dataset.column_names)
    media = _media_features(dataset)
    for name, feature in media.items():
        dataset = dataset.cast_column(name, feature)
    left = [name for name in columns if name in heavy or name in media]
    views = {name: dataset.select_columns([name]) for name in left}
    light = dataset.select_columns([name for name in columns if name not in left])
    split = str(getattr(dataset, "split", None) or "rows")
    rows = []
    for at in range(len(dataset)):
        readers = {name: partial(_dataset_cell, views[name], at, name) for name in left}
        cells = light[at] if light.column_names else {}
        rows.append(Row(cells, f"{split}[{at}]", readers, folder))
    shared = with_shared_pictures(rows, columns)
    info = getattr(dataset, "info", None)
    name = getattr(info, "dataset_name", None) or "Dataset"
    return TableRows(f"{name}:{split}", columns, shared, partial(digest_rows, rows))


def _media_features(dataset: Any) -> dict[str, Any]:
    """The features of pictures of a Dataset, each in the form that gives bytes and no pixels."""
    features = getattr(dataset, "features", None) or {}
    found = {name: _undecoded(feature) for name, feature in features.items()}
    return {name: feature for name, feature in found.items() if feature is not None}


def _undecoded(feature: Any) -> Any:
    """A feature of pictures, or of lists of them, that decodes nothing; None for other features."""
    if type(feature).__name__ in ("Image", "Video") and hasattr(feature, "decode"):
        return type(feature)(decode=False)
    if isinstance(feature, list) and len(feature) == 1:
        inner = _undecoded(feature[0])
        return None if inner is None else [inner]
    inner = _undecoded(feature.feature) if hasattr(feature, "feature") else None
    if inner is None:
        return None
    made = copy(feature)
    made.feature = inner
    return made


def _dataset_cell(view: Any, at: int, column: str) -> Any:
    """A cell of a Dataset, whose reader may raise anything."""
    try:
        return view[at][column]
    except Exception as error:
        raise MediaDecodeError(
            f"the cell {column!r} cannot be read ({type(error).__name__}: {str(error)[:120]})",
            expected="a picture or film that datasets can read",
        ) from error


def digest_rows(rows: Sequence[Row]) -> str:
    """Return the SHA-256 of all cells with their columns, those of pictures by their content."""
    made = hashlib.sha256()
    for row in rows:
        for column in sorted(row):
            made.update(f"{column}\0".encode())
            _add(made, row[column])
        made.update(b"\n")
    return made.hexdigest()


def _add(made: Any, value: Any) -> None:
    """Add a value to a digest, by its content."""
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            made.update(f"{key}:".encode())
            _add(made, value[key])
    elif isinstance(value, (list, tuple)):
        made.update(f"{len(value)}[".encode())
        for each in value:
            _add(made, each)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        made.update(f"{len(value)}b".encode() + bytes(value))
    elif hasattr(value, "tobytes"):
        size = getattr(value, "shape", None) or getattr(value, "size", "")
        kind = getattr(value, "dtype", None) or getattr(value, "mode", "")
        made.update(f"{kind}{size}".encode() + value.tobytes())
    else:
        made.update(f"{type(value).__name__}:{value}\0".encode(errors="surrogatepass"))
