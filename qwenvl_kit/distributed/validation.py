"""Validation of arguments, before Ray starts anything."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

from qwenvl_kit.distributed.columns import check_names
from qwenvl_kit.errors import InputError, MissingPackageError


def check_ray() -> None:
    """Raise an error if Ray Data is not installed.

    Raises:
        MissingPackageError: Ray Data or pyarrow is not installed.
    """
    try:
        import pyarrow
        import ray.data
    except ImportError as error:
        raise MissingPackageError(
            f"Ray Data is not installed ({error})", hint="pip install 'qwenvl-kit[ray]'"
        ) from error
    del pyarrow, ray


def check_ray_train() -> None:
    """Raise an error if Ray Train is not installed.

    Raises:
        MissingPackageError: Ray Train, or a package that it needs, is not installed.
    """
    try:
        import ray.train.torch
    except ImportError as error:
        raise MissingPackageError(
            f"Ray Train is not installed ({error})", hint="pip install 'qwenvl-kit[ray,training]'"
        ) from error
    del ray


def check_asked(chat_factory: object, to_request: object, question: object) -> None:
    """Raise an error if `to_request` and `question` are both given or both missing.

    Raises:
        InputError: one of the arguments cannot be used.
    """
    if not callable(chat_factory):
        raise InputError(
            f"chat_factory of type {type(chat_factory).__name__} was given",
            expected="a function that makes a VisionChat",
            hint="lambda: VisionChat.from_pretrained(...)",
        )
    if (to_request is None) == (question is None):
        given = "neither to_request nor question was given"
        if question is not None:
            given = "both to_request and question were given"
        raise InputError(given, expected="one of them")
    if to_request is not None and not callable(to_request):
        raise InputError(
            f"to_request of type {type(to_request).__name__} was given",
            expected="a function of a row that gives its request",
        )
    if question is not None and not isinstance(question, str):
        raise InputError(
            f"question of type {type(question).__name__} was given", expected="a string"
        )


def check_dataset(dataset: Any, image_column: str | None, id_column: str | None) -> None:
    """Raise an error if a data set lacks a column, or already has an answer column.

    Args:
        dataset: a data set of Ray Data.
        image_column: column that must exist, if the columns are known; None if not needed.
        id_column: column that must exist; rows are read to find out. None if not needed.

    Raises:
        InputError: it is no data set, a column is missing, or an answer column exists.
    """
    import ray.data

    if not isinstance(dataset, ray.data.Dataset):
        raise InputError(
            f"a data set of type {type(dataset).__name__} was given",
            expected="a ray.data.Dataset",
            hint="ray.data.from_items, read_parquet, read_images",
        )
    there = dataset.columns(fetch_if_missing=id_column is not None)
    if there is None:  # there are no rows, or none was read so far
        return
    check_names(there)
    for argument, name, hint in (
        ("id_column", id_column, ""),
        ("image_column", image_column, "to_request=... for requests of another form"),
    ):
        if name is not None and name not in there:
            raise InputError(
                f"{argument}={name!r} was given",
                expected=f"a column of the data set: {', '.join(map(str, there))}",
                hint=hint,
            )


def check_output(output: object) -> None:
    """Raise an error if `output` is not a path.

    Raises:
        InputError: it has another type.
    """
    if output is not None and not isinstance(output, (str, os.PathLike)):
        raise InputError(
            f"output of type {type(output).__name__} was given", expected="the path of a folder"
        )


def check_counts(given: Mapping[str, object], *, least: int = 1) -> None:
    """Raise an error if a value is not a whole number, or below the least.

    Raises:
        InputError: the message names the first such value.
    """
    for name, value in given.items():
        if type(value) is not int or value < least:
            expected = "a whole number above 0" if least == 1 else f"a whole number from {least}"
            raise InputError(f"{name}={value!r} was given", expected=expected)


def check_shares(given: Mapping[str, Any]) -> None:
    """Raise an error if a value is not a number of CPUs or GPUs that Ray accepts.

    Raises:
        InputError: the message names the first such value.
    """
    for name, value in given.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (is_number and 0 <= value < math.inf):
            raise InputError(f"{name}={value!r} was given", expected="a number from 0")
        if name == "num_gpus" and value > 1 and value % 1:
            raise InputError(
                f"{name}={value!r} was given", expected="a whole number, or a share below 1"
            )
