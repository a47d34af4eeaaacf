"""PerceptionTest (Pătrăucean et al. 2023, arXiv:2305.13786): multiple choice about films."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from qwenvl_kit.evaluation.benchmarks.films import FilmBenchmark
from qwenvl_kit.evaluation.benchmarks.option_questions import (
    letter_at,
    lmms_eval_prompt,
    qwen_video_prompt,
)
from qwenvl_kit.evaluation.columns import ColumnNames
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.evaluation.items import EvaluationItem
from qwenvl_kit.evaluation.prompting import Prompt


class PerceptionTest(FilmBenchmark):
    """PerceptionTest's multiple-choice questions: films in a folder, questions in a file.

        PerceptionTest("mc_question_val.parquet", folder="videos")

    The columns are those of lmms-lab/PerceptionTest_Val on Hugging Face: `video_name`, `question`,
    `question_id`, `options`, `answer_id` (from 0), `area`, `reasoning`. The score is the share of
    right letters. Qwen has published no prompt for it: "qwen" asks as its code for Video-MME does.
    """

    title: ClassVar[str] = "PerceptionTest"
    prompts: ClassVar[Mapping[str, Prompt]] = {
        "qwen": qwen_video_prompt,
        "lmms_eval": lmms_eval_prompt,
    }
    column_names: ClassVar[ColumnNames] = ColumnNames(
        id=("question_id", "id"),
        targets=("answer_id",),
        choices=("options",),
        video=("video_name", "video"),
        groups={"area": ("area",), "reasoning": ("reasoning",)},
        tags={"tag": ("tag",)},
        optional=("targets", "image", "cluster", "area", "reasoning", "tag"),
    )
    hidden_answers: ClassVar[str] = (
        "the answers of the test split are kept by the makers, who score what is sent to their "
        "challenge on eval.ai; the validation split (mc_question_val) has its answers"
    )

    def film_item(self, row: Row) -> EvaluationItem:
        """Return the item of a row; questions are numbered anew for each film."""
        found = super().film_item(row)
        letter = letter_at(found.targets[0], found.choices, found.where)
        return replace(found, id=f"{self.film_name(row)}/{found.id}", targets=(letter,))
