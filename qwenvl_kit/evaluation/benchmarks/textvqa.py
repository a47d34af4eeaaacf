"""TextVQA (Singh et al. 2019, arXiv:1904.08920): questions about text in photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from qwenvl_kit.evaluation.benchmarks.pictures import (
    ONE_WORD,
    QWEN,
    QWEN3,
    Answers,
    PictureBenchmark,
)
from qwenvl_kit.evaluation.columns import ColumnNames
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.evaluation.data.tables import PICTURE
from qwenvl_kit.evaluation.items import EvaluationItem
from qwenvl_kit.evaluation.metrics import Metric
from qwenvl_kit.evaluation.prompting import Prompt


class TextVQA(PictureBenchmark):
    """TextVQA: validation has 5,000 questions with ten answers each; the score is VQA accuracy.

        TextVQA("TextVQA_VAL.tsv")                                # VLMEvalKit's file
        TextVQA("textvqa/data", split="validation")               # lmms-lab/textvqa, Parquet
        TextVQA("TextVQA_0.5.1_val.json", folder="train_images")  # the makers' file

    The question keeps its capitals; lmms-eval takes them away. Intervals are drawn by photographs.
    """

    title: ClassVar[str] = "TextVQA"
    prompts: ClassVar[Mapping[str, Prompt]] = {
        "qwen": QWEN,
        "vlmevalkit": ONE_WORD,
        "qwen3": QWEN3,
    }
    metrics: Sequence[Metric] = (
        Metric(name="VQA accuracy", source="arXiv:1505.00468, section 3; TextVQA's evaluator"),
    )
    column_names: ClassVar[ColumnNames] = ColumnNames(
        id=("question_id", "index"),
        targets=("answers", "answer"),
        image=("image", "image_path", "image_id"),
        cluster=("image_id", PICTURE),
        optional=("id", "targets", "choices", "video", "cluster"),
    )
    rule: ClassVar[str] = "vqa"
    answers: ClassVar[Answers] = "list"
    hidden_answers: ClassVar[str] = (
        "the validation split has answers; answers to the test split are scored at EvalAI "
        "(eval.ai, challenge 874)"
    )

    def item(self, row: Row) -> EvaluationItem:
        """Return the item of a row; the makers' rows name a photograph by its id alone."""
        if "image" in row or "image_path" in row:
            return super().item(row)
        return super().item(row.with_cells({"image": f"{row['image_id']}.jpg"}))
