"""Values of TOML made into the arguments of a function, as the function's annotations say."""

from __future__ import annotations

import collections.abc
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from qwenvl_kit.errors import ArgumentError, InputError, QwenVLKitError
from qwenvl_kit.training.launch.keys import Place, check_keys, parameters_of
from qwenvl_kit.training.launch.wording import (
    PLAIN,
    is_kind_of,
    is_path,
    is_union,
    kind_in_words,
    shown,
    type_in_words,
)


def converted(value: Any, annotation: Any, place: Place, name: str) -> Any:
    """Return a value of TOML as its annotation wants it.

    A table becomes a dataclass, an array a tuple where one is wanted, and a relative path lies in
    the folder of the file.

    Args:
        value: the value.
        annotation: the type that the function wants.
        place: the table that has the value.
        name: the key.

    Raises:
        InputError: the value has another type; the error says which one, and the expected.
        ArgumentError: a table has a key that its dataclass does not know.
    """
    try:
        return _converted(value, annotation, place.under(name))
    except _MisfitError:
        raise InputError(
            f"{name} = {shown(value)} was given, which is {kind_in_words(value)}",
            expected=type_in_words(annotation),
            where=str(place),
        ) from None


def made(maker: Callable[..., Any], table: Mapping[str, Any], place: Place) -> Any:
    """Call a function, or make a dataclass, with the values of a table.

    Raises:
        InputError: a key or value cannot be used, or the call says so.
    """
    known = parameters_of(maker)
    check_keys(table, known, place, {})
    given = {key: converted(table[key], known[key].annotation, place, key) for key in table}
    for parameter in known.values():
        if parameter.is_required and parameter.name not in given:
            raise ArgumentError(f"{parameter.name} is missing", where=str(place))
    try:
        return maker(**given)
    except QwenVLKitError as error:
        error.where = f"{place}: {error.where}" if error.where else str(place)
        raise


class _MisfitError(Exception):
    """A value does not have the type that was asked for."""


def _converted(value: Any, annotation: Any, place: Place) -> Any:
    inner = get_args(annotation)
    if is_union(annotation):
        return _first_fit(value, inner, place)
    if dataclasses.is_dataclass(annotation) or is_kind_of(annotation, collections.abc.Mapping):
        return _table(value, annotation, place)
    if is_path(annotation) and isinstance(value, str):
        return place.file.parent / Path(value).expanduser()
    if isinstance(value, list) and is_kind_of(annotation, collections.abc.Iterable):
        items = [_converted(item, inner[0] if inner else Any, place) for item in value]
        return tuple(items) if is_kind_of(annotation, tuple) else items
    if not _is_plain_fit(value, annotation):
        raise _MisfitError
    return value


def _is_plain_fit(value: Any, annotation: Any) -> bool:
    if get_origin(annotation) is Literal:
        choices = get_args(annotation)
        return any(type(value) is type(choice) and value == choice for choice in choices)
    if annotation is float:
        return type(value) in (int, float)
    return annotation is Any or (annotation in PLAIN and type(value) is annotation)


def _first_fit(value: Any, choices: tuple[Any, ...], place: Place) -> Any:
    """The value as the first choice that it fits; a string is a path where it may be one."""
    for choice in sorted(choices, key=is_path, reverse=True):
        try:
            return _converted(value, choice, place)
        except _MisfitError:
            continue
    raise _MisfitError


def _table(value: Any, annotation: Any, place: Place) -> Any:
    if not isinstance(value, dict):
        raise _MisfitError
    if dataclasses.is_dataclass(annotation):
        return made(annotation, value, place)  # type: ignore[arg-type]
    of_key, of_value = get_args(annotation) or (Any, Any)
    return {
        _converted(key, of_key, place): _converted(item, of_value, place)
        for key, item in value.items()
    }
