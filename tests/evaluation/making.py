"""Scored items of tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qwenvl_kit.evaluation.items import EvaluationItem, ItemScore, ScoredItem


def scored_item(
    name: str,
    value: float | None,
    *,
    cluster: str = "",
    groups: Mapping[str, str] | None = None,
    facts: Mapping[str, Any] | None = None,
    strict: float | None = None,
    read: str | None = "read",
    **more: Any,
) -> ScoredItem:
    """An item with a score; without one, and an error in `more`, it has failed."""
    item = EvaluationItem(
        id=name,
        question=more.pop("question", f"Question {name}?"),
        targets=more.pop("targets", ("yes",)),
        cluster=cluster,
        groups=groups or {},
        facts=facts or {},
        where=more.pop("where", f"data.tsv:{name}"),
        **{each: more.pop(each) for each in ("choices", "load_media") if each in more},
    )
    score = None if value is None else ItemScore(value, read, strict)
    answer = more.pop("answer", None if value is None else "an answer")
    return ScoredItem(item=item, answer=answer, score=score, **more)
