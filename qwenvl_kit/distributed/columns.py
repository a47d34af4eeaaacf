"""The columns that hold the answers to the rows of a data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from qwenvl_kit.errors import InputError, QwenVLKitError
from qwenvl_kit.results import Reply

if TYPE_CHECKING:
    import pyarrow

COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "reply_text": "string",
        "reply_confidence": "float64",
        "reply_finish_reason": "string",
        "reply_prompt_tokens": "int64",
        "reply_completion_tokens": "int64",
        "error": "string",
        "error_message": "string",
    }
)
"""The columns that each row gains, with Arrow's name of their type. A row that failed has the class
and the message of its error in the last two and None in the others; a row with a reply has None in
the last two."""


def check_names(there: Iterable[str]) -> None:
    """Raise an error if a data set already has a column with the name of an answer column.

    Raises:
        InputError: it has such columns; the message names them.
    """
    if taken := [name for name in there if name in COLUMNS]:
        raise InputError(
            f"the data set has columns with the names of answer columns: {', '.join(taken)}",
            hint="dataset.rename_columns({...}) or dataset.drop_columns([...])",
        )


def with_answers(table: pyarrow.Table, outcomes: Sequence[Reply | QwenVLKitError]) -> pyarrow.Table:
    """Return a table with the columns of the answers added.

    Raises:
        InputError: the table has one of these columns already.
    """
    import pyarrow

    check_names(table.column_names)
    rows = [_values(outcome) for outcome in outcomes]
    for name, kind in COLUMNS.items():
        values = [row.get(name) for row in rows]
        table = table.append_column(name, pyarrow.array(values, getattr(pyarrow, kind)()))
    return table


def _values(outcome: Reply | QwenVLKitError) -> dict[str, Any]:
    if isinstance(outcome, QwenVLKitError):
        return {"error": type(outcome).__name__, "error_message": str(outcome)}
    return {
        "reply_text": outcome.text,
        "reply_confidence": outcome.confidence,
        "reply_finish_reason": outcome.finish_reason,
        "reply_prompt_tokens": outcome.usage.prompt_tokens,
        "reply_completion_tokens": outcome.usage.completion_tokens,
    }
