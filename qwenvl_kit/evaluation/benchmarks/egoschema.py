"""EgoSchema (Mangalam et al. 2023, arXiv:2308.09126): long first-person films, five options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from qwenvl_kit.evaluation.benchmarks.films import FilmBenchmark
from qwenvl_kit.evaluation.benchmarks.option_questions import (
    letter_at,
    lmms_eval_prompt,
    qwen_video_prompt,
    without_letters,
)
from qwenvl_kit.evaluation.columns import ColumnNames
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.evaluation.items import EvaluationItem
from qwenvl_kit.evaluation.prompting import Prompt


class EgoSchema(FilmBenchmark):
    """EgoSchema's 500 questions with public answers: films in a folder, questions in a file.

        EgoSchema("subset.parquet", folder="videos")

    The columns are those of lmms-lab/egoschema on Hugging Face, configuration `Subset`:
    `question_idx`, `question`, `video_idx`, `option` (five, with their letters), `answer` (from 0).
    The score is the share of right letters. Reports of models are often about all 5,031 questions,
    whose answers are not public. Qwen has published no prompt for it: "qwen" asks as its code for
    Video-MME does.
    """

    title: ClassVar[str] = "EgoSchema"
    prompts: ClassVar[Mapping[str, Prompt]] = {
        "qwen": qwen_video_prompt,
        "lmms_eval": lmms_eval_prompt,
    }
    column_names: ClassVar[ColumnNames] = ColumnNames(
        id=("question_idx", "q_uid", "id"),
        targets=("answer",),
        choices=("option", "options"),
        video=("video_idx", "q_uid", "video"),
        optional=("targets", "image", "cluster"),
    )
    hidden_answers: ClassVar[str] = (
        "the answers of 500 of its 5,031 questions are public (configuration Subset, or "
        "subset_answers.json of github.com/egoschema/EgoSchema); the others are scored by its "
        "makers: their README says where answers are sent"
    )

    def film_item(self, row: Row) -> EvaluationItem:
        """Return the item of a row: the letter of its answer, and options without letters."""
        found = super().film_item(row)
        letter = letter_at(found.targets[0], found.choices, found.where)
        return replace(found, targets=(letter,), choices=without_letters(found.choices))
