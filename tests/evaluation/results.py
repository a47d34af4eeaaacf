"""Results of tests, made without a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qwenvl_kit.errors import GenerationError
from qwenvl_kit.evaluation.items import ScoredItem
from qwenvl_kit.evaluation.metrics import ACCURACY, Metric
from qwenvl_kit.evaluation.record import EvaluationRecord
from qwenvl_kit.evaluation.result import EvaluationResult
from tests.evaluation.making import scored_item


def record_of(**more: Any) -> EvaluationRecord:
    given: dict[str, Any] = {
        "benchmark": "toys",
        "data": {"name": "toys.tsv", "digest": "0" * 64},
        "items": "1" * 64,
        "prompt": "plain",
        "prompts": "2" * 64,
        "num_all": 3,
        "model": {"model": "some/model", "family": "qwen2_vl"},
        "sampling": {"temperature": 0.0, "max_new_tokens": 128},
        "versions": {"python": "3.11", "torch": "2.9"},
        "begun": "2026-01-01T00:00:00+00:00",
        "seconds": 1.5,
    }
    return EvaluationRecord(**{**given, **more})


def result_of(
    found: Sequence[ScoredItem], metrics: Sequence[Metric] = (ACCURACY,), /, **more: Any
) -> EvaluationResult:
    """A result of items; `more` are fields of its record."""
    record = record_of(**{"num_all": len(found), **more})
    return EvaluationResult(record, tuple(found), tuple(metrics))


def small_result(**more: Any) -> EvaluationResult:
    """Three items: right, wrong and unread, and one that failed."""
    return result_of(
        [
            scored_item("a", 1.0, groups={"kind": "x"}, confidence=0.9, answer="yes"),
            scored_item("b", 0.5, groups={"kind": "y"}, strict=0.0, answer="1,950"),
            scored_item("c", 0.0, groups={"kind": "y"}, read=None, answer=""),
            scored_item("d", None, groups={"kind": "x"}, error=GenerationError("out of luck")),
        ],
        **more,
    )
