"""Types and values in words of TOML, for messages."""

from __future__ import annotations

import collections.abc
import dataclasses
import os
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from qwenvl_kit.training.launch.keys import parameters_of

PLAIN = {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}
"""The types of single values, in words."""

_MOST_CHARACTERS = 60


def is_union(annotation: Any) -> bool:
    """True if an annotation is a choice between types."""
    return get_origin(annotation) in (Union, types.UnionType)


def is_path(annotation: Any) -> bool:
    """True if an annotation is a path, and nothing else."""
    return (get_origin(annotation) or annotation) in (os.PathLike, Path)


def is_kind_of(annotation: Any, base: type) -> bool:
    """True if an annotation is a container below a class, whatever its items are."""
    kind = get_origin(annotation) or annotation
    return isinstance(kind, type) and kind not in PLAIN and issubclass(kind, base)


def type_in_words(annotation: Any) -> str:
    """Return the values that an annotation admits; empty if TOML has none of them."""
    inner = get_args(annotation)
    if is_union(annotation):
        told = [type_in_words(choice) for choice in inner]
        return " or ".join(dict.fromkeys(filter(None, told)))
    if get_origin(annotation) is Literal:
        return " or ".join(f'"{choice}"' for choice in inner)
    if is_path(annotation):
        return "a path"
    return PLAIN.get(annotation, "") or _container_in_words(annotation, inner)


def _container_in_words(annotation: Any, inner: tuple[Any, ...]) -> str:
    if dataclasses.is_dataclass(annotation):
        return f"a table of {', '.join(parameters_of(annotation))}"  # type: ignore[arg-type]
    if is_kind_of(annotation, collections.abc.Mapping):
        return "a table"
    if not is_kind_of(annotation, collections.abc.Iterable):
        return ""
    of = type_in_words(inner[0]) if inner else ""
    return f"an array of {of.removeprefix('a ')}s" if of.startswith("a ") else "an array"


def kind_in_words(value: Any) -> str:
    """Return the type of a value of TOML."""
    if isinstance(value, dict):
        return "a table"
    return "an array" if isinstance(value, list) else PLAIN.get(type(value), "a date or time")


def shown(value: Any) -> str:
    """Return a value about as it stands in the file, cut off if it is long."""
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 3]}..."
