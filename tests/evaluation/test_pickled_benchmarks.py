"""Benchmarks can be pickled, so that other processes may ask them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit import evaluation
from qwenvl_kit.evaluation import Benchmark
from qwenvl_kit.evaluation.launch.registry import benchmarks
from qwenvl_kit.evaluation.scoring.by_name import RULES
from tests.evaluation.benches import benchmark
from tests.evaluation.benchmarks import (
    test_docvqa,
    test_egoschema,
    test_hallusionbench,
    test_mathvista,
    test_mmbench,
    test_mmmu,
    test_mtvqa,
    test_mvbench,
    test_perceptiontest,
    test_realworldqa,
    test_refcoco,
    test_textvqa,
    test_videomme,
)
from tests.evaluation.benchmarks.film_files import with_films
from tests.evaluation.data.files import write_parquet, write_tsv

RIGHT = {"option": "B", "yes_no": "yes", "number": "14", "iou": "[0, 0, 9, 9]"}

PICTURES: dict[str, list[dict[str, Any]]] = {
    "ChartQA": [
        {"question": "?", "answer": "2", "type": "human_test", "image": test_docvqa.CONTENT}
    ],
    "DocVQA": [test_docvqa.hub_row(1)],
    "HallusionBench": [
        {**test_hallusionbench.makers_row("VD", "illusion", 0, 0, 1), "filename": "a.png"}
    ],
    "MMBench": test_mmbench.rows(1),
    "MMMU": [test_mmmu.row()],
    "MTVQA": [test_mtvqa.hub_row(1)],
    "MathVista": [test_mathvista.option_row()],
    "OCRBench": [
        {"question": "?", "answer": ["a"], "question_type": "x", "image": test_docvqa.CONTENT}
    ],
    "RealWorldQA": [test_realworldqa.hub_row(test_realworldqa.WRITTEN, "A")],
    "RefCOCO": [test_refcoco.hub_row()],
    "TextVQA": [test_textvqa.hub_row(1)],
}
FILMS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "EgoSchema": ([test_egoschema.row()], f"{test_egoschema.UID}.mp4"),
    "MVBench": ([{**test_mvbench.COUNT, "task_type": "Moving Count"}], "x.mp4"),
    "PerceptionTest": ([test_perceptiontest.row()], "x.mp4"),
    "VideoMME": ([test_videomme.row()], "x.mp4"),
}


def unpickled(asked: Benchmark) -> Benchmark:
    found: Benchmark = pickle.loads(pickle.dumps(asked))
    return found


def check_same(asked: Benchmark, answer: str) -> None:
    """Check that a benchmark asks and scores as it did before it was pickled."""
    found = unpickled(asked)
    assert (found.name, found.digest, found.data) == (asked.name, asked.digest, asked.data)
    assert list(found) == list(asked)
    assert found.metrics == asked.metrics
    for before, after in zip(asked, found):
        assert asked.prompt_text(before) == found.prompt_text(after)
        assert asked.score(before, answer) == found.score(after, answer)


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_a_published_benchmark_about_pictures_can_be_pickled(name: str) -> None:
    kind: Callable[..., Benchmark] = getattr(evaluation, name)
    given = {"family": "qwen3_vl"} if name == "RefCOCO" else {}
    asked = kind(PICTURES[name], **given)
    check_same(asked, "[100, 100, 600, 600]" if name == "RefCOCO" else asked[0].targets[0])


@pytest.mark.parametrize("name", sorted(FILMS))
def test_a_published_benchmark_about_films_can_be_pickled(name: str, tmp_path: Path) -> None:
    kind: Callable[..., Benchmark] = getattr(evaluation, name)
    rows, film = FILMS[name]
    asked = kind(rows, folder=with_films(tmp_path, [film]), missing="fail")
    check_same(asked, asked[0].targets[0])


def test_each_published_benchmark_is_among_these() -> None:
    assert {each.__name__ for each in benchmarks().values()} == {*PICTURES, *FILMS}


@pytest.mark.parametrize("scorer", RULES)
def test_each_rule_scores_alike_after_pickling(scorer: str) -> None:
    right = RIGHT.get(scorer, "a dog")
    row = {"question": "Which?", "A": "a cat", "B": "a dog", "answer": right}
    check_same(Benchmark([row], scorer=scorer, prompt="Look. {question}{choices}"), right)


def scored_by_length(answer: str, item: evaluation.EvaluationItem) -> float:
    return float(len(answer) == len(item.targets[0]))


def test_a_function_of_ones_own_may_be_pickled_with_it() -> None:
    check_same(benchmark(scorer=scored_by_length), "red")


def test_a_benchmark_of_a_file_can_be_pickled(tmp_path: Path) -> None:
    rows = [{"question": "Which?", "answer": "B", "A": "x", "B": "y", "image": "a.png"}]
    for path in (
        write_tsv(tmp_path / "a.tsv", rows),
        write_parquet(tmp_path / "a.parquet", rows),
    ):
        check_same(Benchmark(path, scorer="option"), "B")
