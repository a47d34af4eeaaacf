"""OCRBench (Liu et al. 2023, arXiv:2305.07895): reading text in pictures, 1,000 questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from qwenvl_kit.evaluation.benchmarks.pictures import QWEN, QWEN3, Answers, PictureBenchmark
from qwenvl_kit.evaluation.columns import ColumnNames
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.evaluation.items import UNREAD, EvaluationItem, ItemScore
from qwenvl_kit.evaluation.metrics import Metric
from qwenvl_kit.evaluation.prompting import Prompt
from qwenvl_kit.evaluation.scoring.reading import without_thoughts
from qwenvl_kit.evaluation.scoring.text import ocrbench

FORMULAS = "Handwritten Mathematical Expression Recognition"
"""The type of questions whose answers are compared without spaces, and with their case."""


class OCRBench(PictureBenchmark):
    """OCRBench: the score is the share of right answers; the published total is a count.

        OCRBench("OCRBench.tsv")                                 # VLMEvalKit's file
        OCRBench("OCRBench/data", split="test")                  # echo840/OCRBench, Parquet

    Reports give the number of right answers out of 1,000: 0.809 here, 80.9 in tables, is their 809.
    An answer is right if it holds a right one, without case and line breaks; formulas are compared
    without spaces. Results are told by the ten types of question, and by the five parts of reports,
    of which "Text Recognition" joins six types.
    """

    title: ClassVar[str] = "OCRBench"
    prompts: ClassVar[Mapping[str, Prompt]] = {
        "qwen": QWEN,
        "vlmevalkit": "{question}",
        "qwen3": QWEN3,
    }
    metrics: Sequence[Metric] = (
        Metric(name="accuracy", source="arXiv:2305.07895; reports give it times 1,000"),
    )
    column_names: ClassVar[ColumnNames] = ColumnNames(
        id=("index", "id"),
        targets=("answer", "answers"),
        groups={"question type": ("question_type", "category", "type")},
        facts={"dataset": ("dataset", "dataset_name")},
        optional=("id", "choices", "video", "cluster", "dataset"),
    )
    answers: ClassVar[Answers] = "any"

    def item(self, row: Row) -> EvaluationItem:
        """Return the item of a row, with the part of reports that its type belongs to."""
        found = super().item(row)
        kind = found.groups.get("question type", "")
        is_recognition = kind.endswith("Recognition") and kind != FORMULAS
        part = "Text Recognition" if is_recognition else kind
        return replace(found, groups={"part": part, **found.groups})

    def score(self, item: EvaluationItem, answer: str) -> ItemScore:
        """Score an answer by whether it holds a right one."""
        said = without_thoughts(answer)
        if not said:
            return UNREAD
        is_formula = FORMULAS in item.groups.values() or item.facts.get("dataset") == "HME100k"
        return ItemScore(ocrbench(said, item.targets, is_formula=is_formula), said)
