"""ChartQA (Masry et al. 2022, arXiv:2203.10244): questions about charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from qwenvl_kit.evaluation.benchmarks.pictures import ONE_WORD, QWEN, QWEN3, PictureBenchmark
from qwenvl_kit.evaluation.columns import ColumnNames
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.evaluation.data.tables import PICTURE
from qwenvl_kit.evaluation.items import EvaluationItem
from qwenvl_kit.evaluation.metrics import Metric
from qwenvl_kit.evaluation.prompting import Prompt

_WRITERS = {
    "human": "human",
    "human_test": "human",
    "test_human": "human",
    "0": "human",
    "augmented": "augmented",
    "augmented_test": "augmented",
    "test_augmented": "augmented",
    "machine": "augmented",
    "1": "augmented",
}
"""The writers of questions, by the words of VLMEvalKit, lmms-eval and HuggingFaceM4/ChartQA."""


class ChartQA(PictureBenchmark):
    """ChartQA: test has 1,250 questions of people and 1,250 made from summaries ("augmented").

        ChartQA("ChartQA_TEST.tsv")                         # VLMEvalKit's file
        ChartQA("ChartQA/data", split="test")               # lmms-lab or HuggingFaceM4, Parquet
        ChartQA("test/test_human.json", folder="test/png")  # the makers' file

    The score is relaxed accuracy over all of them, as published: a number within 5% is right, also
    1950 for the year 2000. The strict figure beside it wants years as they are, and reads numbers
    as people write them. Intervals are drawn by charts.
    """

    title: ClassVar[str] = "ChartQA"
    prompts: ClassVar[Mapping[str, Prompt]] = {
        "qwen": QWEN,
        "vlmevalkit": ONE_WORD,
        "lmms_eval": "{question}\nAnswer the question with a single word.",
        "qwen3": QWEN3,
    }
    metrics: Sequence[Metric] = (
        Metric(name="relaxed accuracy", source="arXiv:2203.10244, end of section 5.1"),
        Metric(name="strict relaxed accuracy", is_strict=True),
    )
    column_names: ClassVar[ColumnNames] = ColumnNames(
        id=("index", "id"),
        question=("question", "query"),
        targets=("answer", "label"),
        image=("image", "image_path", "imgname"),
        cluster=("imgname", PICTURE),
        groups={"questions": ("type", "split", "human_or_machine")},
        optional=("id", "choices", "video", "cluster", "questions"),
    )
    rule: ClassVar[str] = "relaxed"

    def item(self, row: Row) -> EvaluationItem:
        """Return the item of a row, in the group of those who wrote its question."""
        found = super().item(row)
        writer = _WRITERS.get(found.groups.get("questions", "").lower())
        others = {name: value for name, value in found.groups.items() if name != "questions"}
        return replace(found, groups={"questions": writer, **others} if writer else others)
