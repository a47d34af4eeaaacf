"""The items of a result as CSV."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwenvl_kit.evaluation.reports.result_files import RESULT_FILES

if TYPE_CHECKING:
    from qwenvl_kit.evaluation.items import EvaluationItem, ScoredItem
    from qwenvl_kit.evaluation.scored_run import ScoredRun

_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Characters at the beginning of a cell that a spreadsheet may take for a formula (OWASP, "CSV
Injection"), with their full-width forms."""

COLUMNS = (
    "id",
    "where",
    "question",
    "choices",
    "targets",
    "answer",
    "read",
    "score",
    "strict",
    "confidence",
    "judge_answer",
    "finish_reason",
    "visual_tokens",
    "cluster",
    "error",
)
"""The columns; those of groups follow, such as `group:language`."""


def write_csv(result: ScoredRun, path: str | os.PathLike[str]) -> None:
    """Write the items of a result as CSV, a line each, in one step.

    Lists are JSON. A cell that a spreadsheet would take for a formula begins with an apostrophe:
    a text that a model or a data file wrote must not be run. All texts are quoted, so that none is
    split where semicolons separate cells.

    Raises:
        EvaluationError: the file cannot be written.
    """
    groups = list(dict.fromkeys(name for each in result.items for name in each.item.group_names))
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow([*COLUMNS, *(_harmless(f"group:{name}") for name in groups)])
    for each in result.items:
        cells = [*_cells(each), *(_group(each.item, name) for name in groups)]
        writer.writerow([_harmless(cell) for cell in cells])
    content = text.getvalue().encode("utf-8-sig", "replace")
    RESULT_FILES.write(Path(os.fsdecode(path)), content)


def _cells(found: ScoredItem) -> list[Any]:
    item, score, facts = found.item, found.score, found.reply_facts
    return [
        item.id,
        item.where,
        item.question,
        json.dumps(item.choices, ensure_ascii=False) if item.choices else "",
        json.dumps(item.targets, ensure_ascii=False),
        found.answer,
        found.read,
        None if score is None else score.value,
        None if score is None else score.strict,
        found.confidence,
        found.judge_answer,
        None if facts is None else facts.finish_reason,
        None if facts is None else facts.visual_tokens,
        item.cluster,
        None if found.error is None else f"{type(found.error).__name__}: {found.error}",
    ]


def _group(item: EvaluationItem, name: str) -> str:
    """The value of a group; the values of a tag as a list of JSON."""
    if name in item.tags:
        return json.dumps(item.tags[name], ensure_ascii=False)
    return item.groups.get(name, "")


def _harmless(cell: Any) -> Any:
    """A cell that no spreadsheet runs; numbers stay as they are."""
    if not isinstance(cell, str):
        return cell
    text = cell.replace("\0", "\ufffd")
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULAS) else text
