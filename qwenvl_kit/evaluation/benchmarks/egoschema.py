"""EgoSchema (Mangalam et al. 2023, arXiv:2308.09126): long first-person films, five options."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmark import PathLike
from qwenvl_kit.evaluation.benchmarks.films import FilmBenchmark
from qwenvl_kit.evaluation.benchmarks.option_questions import (
    letter_at,
    lmms_eval_prompt,
    qwen_video_prompt,
    without_letters,
)
from qwenvl_kit.evaluation.columns import ColumnNames, cell, named, options_in_order
from qwenvl_kit.evaluation.data.cells import list_cell, text_cell
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.evaluation.items import EvaluationItem
from qwenvl_kit.evaluation.prompting import Prompt


@explains_wrong_arguments
class EgoSchema(FilmBenchmark):
    """EgoSchema's 500 questions with public answers: films in a folder, questions in a file.

        EgoSchema("subset.parquet", folder="videos")
        EgoSchema("questions.json", answers="subset_answers.json", folder="videos")

    The columns are those of lmms-lab/egoschema on Hugging Face, configuration `Subset`:
    `question_idx`, `question`, `video_idx`, `option` (five, with their letters), `answer` (from 0);
    or those of the files of its makers, github.com/egoschema/EgoSchema. The score is the share of
    right letters. Reports of models are often about all 5,031 questions, whose answers are not
    public. Qwen has published no prompt for it: "qwen" asks as its code for Video-MME does.

    Args:
        data: see `FilmBenchmark`.
        answers: a JSON file with the places of right answers by the ids of questions; the questions
            without an answer in it are left out. None if the data have them.
        options: see `FilmBenchmark`.

    Raises:
        EvaluationError: as `FilmBenchmark`; or `answers` cannot be read.
    """

    title: ClassVar[str] = "EgoSchema"
    prompts: ClassVar[Mapping[str, Prompt]] = {
        "qwen": qwen_video_prompt,
        "lmms_eval": lmms_eval_prompt,
    }
    column_names: ClassVar[ColumnNames] = ColumnNames(
        id=("question_idx", "q_uid", "id"),
        targets=("answer",),
        choices=("option", "options", "option 0"),
        video=("video_idx", "q_uid", "video"),
        optional=("targets", "image", "cluster"),
    )
    hidden_answers: ClassVar[str] = (
        "the answers of 500 of its 5,031 questions are public (configuration Subset, or "
        "subset_answers.json of github.com/egoschema/EgoSchema); the others are scored by its "
        "makers: their README says where answers are sent"
    )

    def __init__(self, data: Any, *, answers: PathLike | None = None, **options: Any) -> None:
        self._answers = None if answers is None else _read_answers(Path(answers))
        super().__init__(data, **options)

    def items_of(self, row: Row) -> Iterable[EvaluationItem]:
        """Return the item of a row; nothing for a question that has no answer in `answers`."""
        is_left_out = self._answers is not None and not self.answer_of(row)
        return () if is_left_out else (self.item(row),)

    def answer_of(self, row: Row) -> str:
        """Return the place of the right answer, from the data or from `answers`."""
        if self._answers is None:
            return super().answer_of(row)
        return self._answers.get(text_cell(cell(row, self._names.id), row.where, "id"), "")

    def film_item(self, row: Row) -> EvaluationItem:
        """Return the item of a row: the letter of its answer, and options without letters."""
        found = super().film_item(row)
        if named(row, self._names.choices) == "option 0":
            cells = [row[f"option {at}"] for at in range(5) if f"option {at}" in row]
            listed = list_cell(cells, row.where, "choices")
            found = replace(found, choices=options_in_order(listed, row.where))
        letter = letter_at(found.targets[0], found.choices, found.where)
        return replace(found, targets=(letter,), choices=without_letters(found.choices))


def _read_answers(path: Path) -> dict[str, str]:
    """The places of right answers by the ids of questions."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise EvaluationError(f"answers={os.fspath(path)!r} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise EvaluationError(
            f"answers={os.fspath(path)!r} holds a {type(found).__name__}",
            expected='a dict of JSON, such as {"001934bb-81bd-4cd8-a574-0472ef3f6678": 3}',
        )
    return {key: text_cell(value, path.name, key) for key, value in found.items()}
