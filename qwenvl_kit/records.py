"""Values as what JSON can hold, and back."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import lru_cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from qwenvl_kit.errors import JournalError

_Value = TypeVar("_Value")


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
