"""MMBench (Liu et al. 2024, arXiv:2307.06281): options that are rotated."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from string import ascii_uppercase
from typing import ClassVar

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmarks.option_questions import with_letter
from qwenvl_kit.evaluation.benchmarks.pictures import PictureBenchmark
from qwenvl_kit.evaluation.columns import ColumnNames
from qwenvl_kit.evaluation.data.cells import text_cell
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.evaluation.items import EvaluationItem
from qwenvl_kit.evaluation.metrics import Metric
from qwenvl_kit.evaluation.prompting import Prompt, lettered

ROTATION = 1_000_000
"""The index of a question is that of its first rotation; each further one adds this number
(open-compass/VLMEvalKit, dataset/utils/multiple_choice.py, `mcq_circular_eval`)."""

_CHINESE = re.compile(r"[\u4e00-\u9fff]")


def _asked(item: EvaluationItem) -> str:
    hint = item.facts["hint"]
    return (
        (f"Hint: {hint}\n" if hint else "")
        + f"Question: {item.question}\n"
        + (f"Options:\n{lettered(item)}\n")
    )


def _qwen(item: EvaluationItem) -> str:
    """The text of VLMEvalKit, vlm/qwen2_vl/prompt.py, `_build_mcq_prompt`."""
    asked = _asked(item)
    if _CHINESE.search(asked):
        return asked + "请直接回答选项字母。"
    return asked + "Please select the correct answer from the options above."


def _qwen3(item: EvaluationItem) -> str:
    """The text of VLMEvalKit, vlm/qwen3_vl/prompt.py, `_build_mcq_prompt`."""
    return _asked(item) + "Answer with the option letter only."


def _vlmevalkit(item: EvaluationItem) -> str:
    """The text of VLMEvalKit for other models, dataset/image_mcq.py."""
    return _asked(item) + "Please select the correct answer from the options above. \n"


def _lmms_eval(item: EvaluationItem) -> str:
    """The text of lmms-eval, tasks/mmbench/en_utils.py and mmbench.yaml."""
    hint = item.facts["hint"]
    options = f"There are several options:\n{lettered(item)}"
    asked = f"{hint} {item.question} {options}" if hint else f"{item.question} {options}"
    return f"{asked}\n\nAnswer with the option's letter from the given choices directly."


class MMBench(PictureBenchmark):
    """MMBench's development split, from a file.

        MMBench("MMBench_DEV_EN.tsv")      # VLMEvalKit's file; also CN and V11
        MMBench("dev.parquet")             # the columns of lmms-lab/MMBench on Hugging Face

    Each question is there several times, its options rotated; it is right only if all of its
    rotations are (CircularEval). `estimates["vanilla"]` is the share of right answers where options
    stand as they were written, `estimates["all rotations"]` that of all rows.
    """

    title: ClassVar[str] = "MMBench"
    prompts: ClassVar[Mapping[str, Prompt]] = {
        "qwen": _qwen,
        "qwen3": _qwen3,
        "vlmevalkit": _vlmevalkit,
        "lmms_eval": _lmms_eval,
    }
    metrics: Sequence[Metric] = (
        Metric(name="CircularEval", unit=("rotated",), source="arXiv:2307.06281, section 4.3"),
        Metric(name="vanilla", unit=("first",)),
        Metric(name="all rotations"),
    )
    column_names: ClassVar[ColumnNames] = ColumnNames(
        id=("index",),
        targets=("answer",),
        choices=("options",),
        groups={"category": ("category",), "l2_category": ("l2-category", "L2-category")},
        optional=("targets", "image", "video", "cluster", "l2_category"),
    )
    rule: ClassVar[str] = "option"
    hidden_answers: ClassVar[str] = (
        "the answers of MMBench's test split are kept by its makers, who score what is sent to "
        "mmbench.opencompass.org.cn; the development split has its answers"
    )

    def item(self, row: Row) -> EvaluationItem:
        """Return the item of a row; its fact `rotated` is the same for all of its rotations.

        Raises:
            EvaluationError: a field is missing or cannot be read, or the row has no answer.
        """
        row = _without_nan(row)
        found = with_letter(super().item(row))
        hint = text_cell(row.get("hint"), row.where, "hint")
        question = _rotated(row, found)
        facts = {
            "rotated": question,
            "first": question if found.id == question else None,
            "hint": hint,
        }
        return replace(found, facts=facts)

    def drawn_with(self, item: EvaluationItem) -> str:
        """Return the number of the question whose rotation an item is."""
        return str(item.facts["rotated"])


def _without_nan(row: Row) -> Row:
    """A row without the text "nan", which lmms-lab's Parquet has for cells that are empty."""
    names = ("hint", *ascii_uppercase)
    empty = [name for name in names if name in row and row[name] == "nan"]
    return row.with_changed(dict.fromkeys(empty)) if empty else row


def _rotated(row: Row, item: EvaluationItem) -> str:
    """The number of the question whose rotation a row is.

    Raises:
        EvaluationError: the index is no whole number.
    """
    given = text_cell(row.get("g_index"), row.where, "g_index") or item.id
    if not given.isdecimal():
        raise EvaluationError(
            f"the index is {given!r}",
            expected=f"a whole number; rotations of a question differ by {ROTATION:,}",
            where=row.where,
        )
    return str(int(given) % ROTATION)
