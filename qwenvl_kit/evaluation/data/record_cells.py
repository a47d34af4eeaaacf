"""Cells that hold records: lists of dicts, also as a text of JSON or Python."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import Any

from qwenvl_kit.errors import EvaluationError

_MOST_CHARACTERS = 2**20
"""The longest text that is parsed."""

_STRINGS = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_DEEPEST = 8
"""The deepest brackets of a text that is parsed."""


def records_cell(value: Any, where: str, what: str) -> list[Mapping[str, Any]]:
    """Return a cell as a list of dicts. A text is read as data: it is never run.

    Args:
        value: a list of dicts, or a text that writes one in JSON or Python.
        where: the place of its row, for the error.
        what: the name of the field, for the error.

    Raises:
        EvaluationError: it is something else.
    """
    found = _parsed(value) if isinstance(value, str) else value
    if hasattr(found, "tolist"):
        found = found.tolist()
    if not isinstance(found, (list, tuple)) or not all(isinstance(each, Mapping) for each in found):
        text = repr(value)
        raise EvaluationError(
            f"{what} is {text[:80]}{'...' * (len(text) > 80)}, which is no list of dicts",
            expected="""a list of dicts, such as [{"question": ..., "answer": ...}]""",
            where=where,
        )
    return list(found)


def _parsed(text: str) -> Any:
    """The value that a text writes in JSON or Python; None if it writes none."""
    if len(text) > _MOST_CHARACTERS:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if not _is_shallow(text):
        return None
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _is_shallow(text: str) -> bool:
    """True if a text may be parsed as Python: brackets and signs in great depth could crash it."""
    rest = _STRINGS.sub("''", text)
    depth = deepest = 0
    for character in rest:
        depth += (character in "[{(") - (character in "]})")
        deepest = max(deepest, depth)
    return deepest <= _DEEPEST and not re.search(r"[+\-~]\s*[+\-~]", rest)
