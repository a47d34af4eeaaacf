"""Answers as columns beside their rows."""

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
"""What a row gains, and Arrow's name of its type. A row that failed has the last two, the class of
its error and what it says, and None in the others; one with a reply has it the other way about."""


def check_names(there: Iterable[str]) -> None:
    """Refuse columns that answers would have twice.

    Raises:
        InputError: names them.
    """
    if taken := [name for name in there if name in COLUMNS]:
        raise InputError(
            f"the data set has {', '.join(taken)}, which is what answers are called",
            hint="dataset.rename_columns({...}) or dataset.drop_columns([...])",
        )


def with_answers(table: pyarrow.Table, outcomes: Sequence[Reply | QwenVLKitError]) -> pyarrow.Table:
    """A table with the columns of what became of its rows.

    Raises:
        InputError: it has one of them already.
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
