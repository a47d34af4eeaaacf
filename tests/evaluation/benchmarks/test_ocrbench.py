"""OCRBench: a count out of 1,000, by ten types of question."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwenvl_kit.evaluation.benchmarks.ocrbench import FORMULAS, OCRBench
from qwenvl_kit.evaluation.evaluating import score_answers
from tests.evaluation.data.files import in_base64, png, write_parquet, write_tsv

CONTENT = png()
ROWS = [
    ("Regular Text Recognition", "['CENTRE']", "The word is centre."),
    ("Handwriting Recognition", "['a\\nb', 'x']", "A B"),
    ("Key Information Extraction", "['$5.00']", "5.00"),
    (FORMULAS, "['\\\\frac { a } { b }']", "\\frac{a}{b}"),
    (FORMULAS, "['X']", "x"),
    ("Digit String Recognition", "['12', '13']", "13"),
]


def test_the_counts_are_those_of_vlmevalkit(tmp_path: Path) -> None:
    """`OCRBench.evaluate` counts 3 of Text Recognition, 1 formula, and 4 in all."""
    picture = in_base64(CONTENT)
    path = write_tsv(
        tmp_path / "OCRBench.tsv",
        [
            {
                "index": str(at),
                "image": picture if at == 0 else "0",
                "question": "what is written in the image?",
                "answer": answers,
                "category": kind,
            }
            for at, (kind, answers, _) in enumerate(ROWS)
        ],
    )
    result = score_answers(OCRBench(path), {str(at): row[2] for at, row in enumerate(ROWS)})
    counts = {
        part: round(each.value * each.num_items) for part, each in result.by_group["part"].items()
    }
    assert counts == {"Text Recognition": 3, "Key Information Extraction": 0, FORMULAS: 1}
    assert result.score == pytest.approx(4 / 6)
    assert len(result.by_group["question type"]) == 5


def test_the_rows_of_a_hub_are_read(tmp_path: Path) -> None:
    image = {"bytes": CONTENT, "path": None}
    rows = [
        {
            "dataset": "HME100k",
            "question": "Please write out the expression of the formula.",
            "question_type": FORMULAS,
            "answer": ["x ^ { 2 }"],
            "image": image,
        },
        {
            "dataset": "IIIT5K",
            "question": "what is written in the image?",
            "question_type": "Regular Text Recognition",
            "answer": ["CENTRE", "centre"],
            "image": image,
        },
    ]
    benchmark = OCRBench(write_parquet(tmp_path / "test-00000-of-00001.parquet", rows))
    formula, word = benchmark
    assert benchmark.score(formula, "x^{2}").value == 1.0
    assert word.targets == ("CENTRE", "centre")
    assert word.groups["part"] == "Text Recognition"
    assert benchmark.prompts["vlmevalkit"] == "{question}"


def test_an_answer_without_a_list_around_it_is_one_answer() -> None:
    row = {
        "question": "q",
        "question_type": "Doc-oriented VQA",
        "answer": "No. 5",
        "image": CONTENT,
    }
    benchmark = OCRBench([row])
    assert benchmark[0].targets == ("No. 5",)
    assert benchmark.score(benchmark[0], "").read is None
