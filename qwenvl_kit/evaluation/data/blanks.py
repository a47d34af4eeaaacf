"""Blank cells: those without a value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def is_empty(value: Any) -> bool:
    """Return True for a cell without a value: None, NaN, or a text of nothing but blanks."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, float) and math.isnan(value)


def is_without_media(value: Any) -> bool:
    """Return True for a cell without pictures: an empty one, also `{"bytes": None, "path": None}`.

    A list of nothing but such values is one, too.
    """
    if isinstance(value, Mapping) and value.keys() <= {"bytes", "path"}:
        return all(each is None for each in value.values())
    if isinstance(value, (list, tuple)):
        return all(map(is_without_media, value))
    return is_empty(value)
