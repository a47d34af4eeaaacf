"""Numbers of a dict, as guides and data sets write them."""

from __future__ import annotations

import math
from typing import Any

from qwenvl_kit.errors import InputError
from qwenvl_kit.formats.keys import shown


def read_number(name: str, value: Any, error: type[InputError]) -> Any:
    """A number from a string or from a list of one; a string of a whole number gives an `int`.

    Other values are returned unchanged; the part that takes them checks them.

    Args:
        name: the key of the value.
        value: the value.
        error: the class of error that is raised.

    Raises:
        InputError: a string is no number; the error is of the class `error`.
    """
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str):
        return value
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise error(f"{name}={shown(value)} was given", expected="a number")
    return int(number) if number.is_integer() else number


def read_count(name: str, value: Any, error: type[InputError]) -> Any:
    """The same for counts: 4.0, as data tables have it, gives 4.

    Raises:
        InputError: a string is no number; the error is of the class `error`.
    """
    number = read_number(name, value, error)
    return int(number) if isinstance(number, float) and number.is_integer() else number
