"""The journals of a sweep: their places, the answers that they hold, and what an answer took."""

from __future__ import annotations

import os
import re
from pathlib import Path

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.evaluating import CONDITIONS_KEY, JOURNAL_KIND
from qwenvl_kit.evaluation.result import EvaluationResult
from qwenvl_kit.journal import read_records

_MOST_FIRST_BYTES = 2**24
"""The most bytes of the first line of a journal."""


def journal_of(folder: str | os.PathLike[str] | None, benchmark: str, name: str) -> Path | None:
    """Return the journal of a budget, in a folder that is made; None without a folder.

    Raises:
        EvaluationError: the folder cannot be made.
    """
    if folder is None:
        return None
    path = Path(os.fsdecode(folder))
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EvaluationError(
            f"the folder of journals cannot be made: {error.strerror or error}",
            expected="a folder that this user may write to",
            where=str(path),
        ) from error
    safe = re.sub(r"[^\w.-]+", "_", f"{benchmark}.{name}")
    return path / f"{safe[:120]}.jsonl"


def num_kept(journal: Path | None) -> int:
    """Return the number of answers in a journal; 0 if there is none yet, or it is not complete."""
    if journal is None or not _is_begun(journal):
        return 0
    return sum(key != CONDITIONS_KEY for key, _ in read_records(journal, kind=JOURNAL_KIND))


def _is_begun(journal: Path) -> bool:
    """True if a journal has its first line in whole; without it `evaluate` begins it anew."""
    try:
        with journal.open("rb") as file:
            return file.readline(_MOST_FIRST_BYTES).endswith(b"\n")
    except OSError:  # `evaluate` says why it cannot be used
        return False


def seconds_per_item(result: EvaluationResult, before: int, after: int) -> float | None:
    """Return the seconds of an item, of those that no journal had before; None if it had all.

    Args:
        result: the result.
        before: the number of answers in its journal before it was asked.
        after: their number now; 0 without a journal.
    """
    unanswered = sum(each.answer is None for each in result.failed)
    asked = after - before + unanswered if after else len(result.items)
    seconds = result.record.seconds
    return None if asked <= 0 or seconds is None else seconds / asked
