"""Each rule gives the published value to each of the cases, which name their sources.

The values in `cases/*.json` come from the code of others, run on the inputs, or from a reading by
hand where that code is known to be wrong. `answer` is scored against `targets`; `read`, where it is
there, is what must be read of it, and `strict` the stricter value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit.evaluation.items import EvaluationItem, ItemScore
from qwenvl_kit.evaluation.scoring.by_name import RULES, scorer_named
from qwenvl_kit.evaluation.scoring.mathvista import mathvista_extraction, mathvista_score
from qwenvl_kit.evaluation.scoring.text import anls, ocrbench

CASES = Path(__file__).parent / "cases"


def cases() -> list[Any]:
    return list(_cases())


def _cases() -> Iterator[Any]:
    for path in sorted(CASES.glob("*.json")):
        for number, case in enumerate(json.loads(path.read_text(encoding="utf-8"))):
            yield pytest.param(case, id=f"{path.stem}-{number}")


def of_ocrbench(case: dict[str, Any]) -> ItemScore:
    return ItemScore(ocrbench(case["answer"], case["targets"], **case["facts"]), case["answer"])


def of_mathvista(case: dict[str, Any]) -> ItemScore:
    return mathvista_score(
        case["answer"], case["targets"][0], choices=case["choices"], **case["facts"]
    )


def of_extraction(case: dict[str, Any]) -> ItemScore:
    found = mathvista_extraction(case["answer"], choices=case["choices"], **case["facts"])
    return ItemScore(float(found is not None), found)


def of_threshold(case: dict[str, Any]) -> ItemScore:
    return ItemScore(anls(case["answer"], case["targets"], case["threshold"]), case["answer"])


BY_ARGUMENTS: dict[str, Callable[[dict[str, Any]], ItemScore]] = {
    "ocrbench": of_ocrbench,
    "mathvista": of_mathvista,
    "mathvista_extraction": of_extraction,
}
"""Rules that need more than an answer and an item: benchmarks give it to them."""


def score(case: dict[str, Any]) -> ItemScore:
    if "threshold" in case:
        return of_threshold(case)
    if case["rule"] in BY_ARGUMENTS:
        return BY_ARGUMENTS[case["rule"]](case)
    item = EvaluationItem(
        id="case",
        question="",
        targets=tuple(case["targets"]),
        choices=tuple(case.get("choices", ())),
    )
    return scorer_named(case["rule"])(case["answer"], item)


@pytest.mark.parametrize("case", cases())
def test_a_rule_gives_the_published_value(case: dict[str, Any]) -> None:
    found = score(case)
    assert found.value == pytest.approx(case["value"], abs=1e-9), case["source"]
    if "strict" in case:
        assert found.strict == case["strict"], case["source"]
    if "read" in case:
        assert found.read == case["read"], case["source"]


def test_each_rule_has_cases_and_each_case_names_its_source() -> None:
    found = [each.values[0] for each in cases()]
    assert {case["rule"] for case in found} == {*RULES, *BY_ARGUMENTS} - {"judged"}
    assert all(case["source"] for case in found)
    assert len(found) >= 300
