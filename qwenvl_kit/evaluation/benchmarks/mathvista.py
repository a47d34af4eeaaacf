"""MathVista (Lu et al. 2024, arXiv:2310.02255): mathematics about pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from string import ascii_uppercase
from typing import Any, ClassVar

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmarks.mathvista_prompts import (
    bare_question,
    extraction_prompt,
    lmms_eval_query,
    published_query,
)
from qwenvl_kit.evaluation.benchmarks.pictures import QWEN, QWEN3, PictureBenchmark
from qwenvl_kit.evaluation.columns import ColumnNames
from qwenvl_kit.evaluation.data.cells import text_cell
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.evaluation.items import UNREAD, EvaluationItem, ItemScore
from qwenvl_kit.evaluation.metrics import Metric
from qwenvl_kit.evaluation.prompting import Prompt
from qwenvl_kit.evaluation.scoring.mathvista import mathvista_extraction, mathvista_score

_OPTIONAL = ("id", "targets", "choices", "video", "cluster")


class MathVista(PictureBenchmark):
    """MathVista: testmini has 1,000 questions; 540 have options, the others want a number or list.

        MathVista("MathVista_MINI.tsv")                          # VLMEvalKit's file
        MathVista("MathVista/data", split="testmini")            # AI4Math/MathVista, Parquet
        MathVista("testmini.json", folder=".")                   # the makers' file

    The makers let a judge extract the value of each answer, then compare it by the type of the
    question. Here a value that an answer states clearly is taken as it is, and `evaluate(...,
    judge=...)` asks a judge about all others; without one they are unread, and wrong. The strict
    figure beside the score compares numbers and lists by their values. Results are told by task,
    and by skill, of which a question has several.
    """

    title: ClassVar[str] = "MathVista"
    prompts: ClassVar[Mapping[str, Prompt]] = {
        "qwen": QWEN.replace("{question}", "{query}"),
        "vlmevalkit": "{query}",
        "lmms_eval": lmms_eval_query,
        "qwen3": QWEN3.replace("{question}", "{query}"),
    }
    metrics: Sequence[Metric] = (
        Metric(name="accuracy", source="arXiv:2310.02255; evaluation/calculate_score.py"),
        Metric(name="strict accuracy", is_strict=True),
    )
    column_names: ClassVar[ColumnNames] = ColumnNames(
        id=("pid", "index", "id"),
        targets=("answer",),
        image=("decoded_image", "image", "image_path"),
        groups={
            "task": ("task",),
            "question type": ("question_type",),
            "answer type": ("answer_type",),
        },
        tags={"skill": ("skills",)},
        facts={
            "question_type": ("question_type",),
            "answer_type": ("answer_type",),
            "precision": ("precision",),
            "unit": ("unit",),
            "query": ("query",),
        },
        optional=(*_OPTIONAL, "task", "skill", "precision", "unit", "query"),
    )
    max_new_tokens: ClassVar[int] = 2048
    hidden_answers: ClassVar[str] = (
        "testmini has answers; those of test are not published, see mathvista.github.io"
    )

    def item(self, row: Row) -> EvaluationItem:
        """Return the item of a row; of a question with options the target is the letter.

        Raises:
            EvaluationError: a field is missing, or the right answer is none of the options.
        """
        metadata = row["metadata"] if row.get("metadata") else {}
        found = super().item(row.with_cells(metadata if isinstance(metadata, Mapping) else {}))
        facts: dict[str, Any] = {
            **found.facts,
            "answer": found.targets[0],
            "precision": _places(found),
        }
        bare = replace(found, question=bare_question(found.question), facts=facts)
        if not facts.get("query"):
            is_query = bare.question != found.question
            facts["query"] = found.question if is_query else published_query(bare)
        if facts["question_type"] != "multi_choice":
            return replace(bare, choices=())
        return replace(bare, targets=(_letter_of(bare),))

    def score(self, item: EvaluationItem, answer: str) -> ItemScore:
        """Score the value that an answer states; one that states none clearly is unread."""
        kinds = {name: item.facts[name] for name in ("question_type", "answer_type")}
        said = mathvista_extraction(answer, choices=item.choices, **kinds)
        return UNREAD if said is None else self._compared(item, said)

    def judge_prompt(self, item: EvaluationItem, answer: str) -> str:
        """Return the text that asks a judge for the value of an answer."""
        return extraction_prompt(item.facts["query"], answer)

    def score_judged(self, item: EvaluationItem, answer: str, judged: str) -> ItemScore:
        """Score the value that a judge extracted."""
        said = judged.strip().removeprefix("Extracted answer:").strip()
        return self._compared(item, said)

    def _compared(self, item: EvaluationItem, said: str) -> ItemScore:
        return mathvista_score(
            said,
            item.facts["answer"],
            question_type=item.facts["question_type"],
            answer_type=item.facts["answer_type"],
            choices=item.choices,
            precision=item.facts.get("precision"),
        )


_WHOLE = re.compile(r"\.0*$")
"""The end of a whole number that a table has made a float of: "1.0"."""


def _places(item: EvaluationItem) -> int | None:
    """The decimal places of a float; None if the data name none."""
    text = text_cell(item.facts.get("precision"), item.where, "precision").strip()
    text = _WHOLE.sub("", text)
    if text and not text.isdecimal():
        raise EvaluationError(
            f"the precision is {text!r}", expected="a number of decimal places", where=item.where
        )
    return int(text) if text else None


def _letter_of(item: EvaluationItem) -> str:
    """The letter of the option that is the right answer."""
    for letter, choice in zip(ascii_uppercase, item.choices):
        if choice.strip() == item.targets[0].strip():
            return letter
    raise EvaluationError(
        f"the right answer {item.targets[0]!r} is none of the options {list(item.choices)!r}",
        expected="one of the options",
        where=item.where,
    )
