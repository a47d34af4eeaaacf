"""Numbers of a dict, as guides and data sets write them."""

from __future__ import annotations

import math
from typing import Any

from qwenvl_kit.errors import InputError
from qwenvl_kit.formats.keys import shown


def read_number(name: str, value: Any, error: type[InputError]) -> Any:
    """A number from its text or a list of one; of text it is whole where it may be.

    Anything else stays as it is, for the part that takes it to judge.

    Args:
        name: its key.
        value: what stands there.
        error: what is raised of a text that is no number.

    Raises:
        InputError: of that class.
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
    """The same of what is counted: 4.0, as tables of data have it, is 4.

    Raises:
        InputError: of the class `error`: a text that is no number.
    """
    number = read_number(name, value, error)
    return int(number) if isinstance(number, float) and number.is_integer() else number
