"""Cells of rows, read as a text, as a list of texts, or as pictures and films."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from typing import Any

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.data.blanks import is_empty
from qwenvl_kit.evaluation.data.media_cells import media_of

__all__ = [
    "answers_cell",
    "cell_lists",
    "is_empty",
    "list_cell",
    "media_of",
    "plain_cell",
    "text_cell",
]

_MOST_CHARACTERS = 2**20
"""The longest text that is parsed as a list of answers."""

_MOST_EXACT = 2**53
"""The whole numbers below it are exact as floats (IEEE 754 binary64)."""

_DOUBLE_BYTES = 8
"""The bytes of Python's own floats."""

_STRING = r"(?:'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\")"
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_LITERAL = rf"(?:{_STRING}|{_NUMBER}|None)"
_FLAT_LIST = re.compile(rf"\[\s*(?:{_LITERAL}\s*(?:,\s*{_LITERAL}\s*)*(?:,\s*)?)?\]", re.DOTALL)
"""A list of strings and numbers without lists in it, as Python writes it."""

_NO_COMMAS = re.compile(rf"\[\s*{_STRING}(?:\s+{_STRING})+\s*\]", re.DOTALL)
"""Strings side by side, as NumPy prints an array; Python would read them as one string."""


def text_cell(value: Any, where: str, what: str) -> str:
    """Return a cell as text; an empty one is "".

    A whole float is written without its `.0`: tables of pandas make floats of whole numbers where
    a column has gaps, so that the row 3 would be named "3.0".

    Args:
        value: a text, a number, or a value of NumPy that is one of them.
        where: the place of its row, for the error.
        what: the name of the field, for the error.

    Raises:
        EvaluationError: it is neither a text nor a number.
    """
    plain = plain_cell(value)
    if plain is None:
        return value if isinstance(value, str) else ""
    if isinstance(plain, str):
        return plain
    if isinstance(plain, float) and plain.is_integer() and abs(plain) < _MOST_EXACT:
        return str(int(plain))
    if isinstance(plain, (bool, int, float)):
        return str(plain)
    raise EvaluationError(
        f"{what} is a {type(value).__name__}", expected="a text or a number", where=where
    )


def list_cell(value: Any, where: str, what: str, *, must_be_list: bool = False) -> list[str]:
    """Return a cell as a list of texts; an empty one is an empty list.

    A text that is a list of Python or JSON, such as `"['a', 'b']"`, is read as data: it is never
    run. Any other text is a list of one. A list of nothing but blank texts is empty; beside other
    elements an empty one is "", so that places and numbers stay as they are.

    Args:
        value: a list, an array of NumPy, or a text.
        where: the place of its row, for the error.
        what: the name of the field, for the error.
        must_be_list: True to refuse a text that is no list.

    Raises:
        EvaluationError: an element is neither a text nor a number, or the cell is no list where it
            must be one.
    """
    plain = plain_cell(value)
    found = _elements(plain, where, what)
    if must_be_list and found is None:
        raise EvaluationError(
            f"{what} is {_shown(plain)}, which is no list",
            expected="""a list of texts, such as ['12', '12 cm'] or ["12", "12 cm"]""",
            where=where,
        )
    return _texts([plain] if found is None else found, where, what)


def answers_cell(value: Any, where: str, what: str, *, is_plural: bool) -> list[str]:
    """Return a cell as a list of right answers; an empty one is an empty list.

    A list of numbers in a text, such as "[1, 2]", is one answer, and so is one of objects: they are
    several only in a column whose name is plural. A list of numbers in a list is one, as a box is.

    Args:
        value: a list, an array of NumPy, or a text.
        where: the place of its row, for the error.
        what: the name of the field, for the error.
        is_plural: True for a column such as `answers`.

    Raises:
        EvaluationError: an element is neither a text nor a number nor a list of numbers.
    """
    plain = plain_cell(value)
    found = _elements(plain, where, what)
    is_several = is_plural or not isinstance(plain, str) or _has_strings(plain, found)
    values = [plain] if found is None or not is_several else found
    return _texts([_one_answer(each) for each in values], where, what)


def _has_strings(text: str, found: Sequence[Any] | None) -> bool:
    """True if the list that a text writes is empty, or has strings in quotes and no lists."""
    if not found:
        return True
    is_flat = all(each is None or isinstance(each, str) for each in found)
    return is_flat and ('"' in text or "'" in text)


def _one_answer(value: Any) -> Any:
    """A list of numbers as the text of one answer; any other value as it is."""
    if not isinstance(value, (list, tuple)) or not value:
        return value
    numbers = [_number_text(each) for each in value]
    return value if None in numbers else f"[{', '.join(map(str, numbers))}]"


def _number_text(value: Any) -> str | None:
    """A number as it is written; None for a value that is none."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return text_cell(value, "", "")
    return value if isinstance(value, str) and re.fullmatch(_NUMBER, value) else None


def _elements(plain: Any, where: str, what: str) -> Sequence[Any] | None:
    """The elements of a list, or of a text that writes one; None for a value that is no list."""
    if plain is None:
        return []
    if isinstance(plain, (list, tuple)):
        return plain
    return cell_lists(plain, where, what) if isinstance(plain, str) else None


def _texts(values: Sequence[Any], where: str, what: str) -> list[str]:
    """The texts of values; nothing if all of them are blank."""
    texts = [text_cell(each, where, what) for each in values]
    return texts if any(text.strip() for text in texts) else []


def cell_lists(text: str, where: str, what: str) -> list[Any] | None:
    """Return the list that a text writes in Python or JSON; None if it writes none.

    Args:
        text: the text.
        where: the place of its row, for the error.
        what: the name of the field, for the error.

    Raises:
        EvaluationError: it looks like a list and is longer than 1 MiB, or has no commas.
    """
    given = text.strip()
    if not (given.startswith("[") and given.endswith("]")):
        return None
    if len(given) > _MOST_CHARACTERS:
        raise EvaluationError(
            f"{what} is a list of {len(given):,} characters",
            expected=f"at most {_MOST_CHARACTERS:,}",
            where=where,
        )
    if _NO_COMMAS.fullmatch(given):
        raise EvaluationError(
            f"{what} is {_shown(given)}, which has no commas, as NumPy prints an array",
            expected="a list with commas, such as ['a', 'b']",
            hint="array.tolist(), before the file is written",
            where=where,
        )
    return _parsed(given)


def _parsed(text: str) -> list[Any] | None:
    """The list in a text of JSON, else of Python without lists in it; numbers stay as written."""
    try:
        found = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError):
        if not _FLAT_LIST.fullmatch(text):
            return None
        return [_literal(each) for each in re.findall(_LITERAL, text, re.DOTALL)]
    return found if isinstance(found, list) else None


def _literal(text: str) -> str | None:
    """A string in quotes, or a number as it is written; None for "None"."""
    if text[0] not in "'\"":
        return None if text == "None" else text
    try:
        return str(ast.literal_eval(text))
    except (ValueError, SyntaxError):  # an escape of no character, such as "\x"
        return text[1:-1]


def plain_cell(value: Any) -> Any:
    """Return a value of NumPy or pandas as one of Python; None for an empty cell."""
    kind = type(value).__module__.partition(".")[0]
    if kind == "pandas" and type(value).__name__ in ("NAType", "NaTType"):
        return None
    if kind == "numpy" and hasattr(value, "tolist"):
        value = _exact(value).tolist()
    return None if is_empty(value) else value


def _exact(value: Any) -> Any:
    """A value of NumPy whose short floats are the numbers that they show: 0.1 of float32 is 0.1."""
    is_short = value.dtype.kind == "f" and value.dtype.itemsize < _DOUBLE_BYTES
    return value.astype(str).astype(float) if is_short else value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}...{text[-10:]}"
