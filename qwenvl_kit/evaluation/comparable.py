"""Runs that may be compared item by item, and the conditions in which they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.metrics import Metric
from qwenvl_kit.evaluation.record import EvaluationRecord
from qwenvl_kit.evaluation.result import EvaluationResult
from qwenvl_kit.journal import fingerprint
from qwenvl_kit.safe_text import escaped

_CONDITIONS = (
    "model",
    "budget",
    "sampling",
    "thinking",
    "fit",
    "scorer",
    "method",
    "conditions",
    "judge",
    "versions",
)
"""The conditions of a run that may differ between runs that are compared."""

_MOST_CHARACTERS = 60


def check_comparable(first: EvaluationResult, second: EvaluationResult) -> None:
    """Refuse runs whose scores cannot be compared item by item.

    Raises:
        EvaluationError: they are of other data, prompts, items, scorers or metrics; the error says
            what differs.
    """
    ours, theirs = first.record, second.record
    if ours.benchmark != theirs.benchmark:
        raise _other("benchmarks", ours.benchmark, theirs.benchmark)
    if ours.data.get("digest") != theirs.data.get("digest"):
        raise _other("data", _data(ours.data), _data(theirs.data))
    if len(first.items) != len(second.items) or ours.items != theirs.items:
        raise _other(
            "items",
            _part(first),
            _part(second),
            hint="evaluate both with the same limit and seed",
        )
    if ours.prompts != theirs.prompts:
        raise _other("prompts", _prompt(ours), _prompt(theirs))
    if [each.id for each in first.items] != [each.id for each in second.items]:
        raise _other("items", _part(first), _part(second))
    if ours.scorer and theirs.scorer and ours.scorer != theirs.scorer:
        raise _other("scorers", ours.scorer, theirs.scorer, hint="score both by one rule")
    if fingerprint(_rules(first)) != fingerprint(_rules(second)):
        raise _other("metrics", _names(first.metrics), _names(second.metrics))


def differing_conditions(first: EvaluationResult, second: EvaluationResult) -> Iterator[str]:
    """Yield the conditions that differ, a line each: model, budget, sampling, versions and more."""
    for name in _CONDITIONS:
        ours, theirs = getattr(first.record, name), getattr(second.record, name)
        if not isinstance(ours, Mapping) or not isinstance(theirs, Mapping):
            ours, theirs = {"": ours}, {"": theirs}
        for key in {**ours, **theirs}:
            before, after = ours.get(key), theirs.get(key)
            if fingerprint([before]) != fingerprint([after]):
                what = name if key in ("", name) else f"{name}, {key}"
                yield f"other {what}: {shown(_given(before))} -> {shown(_given(after))}"


def shown(value: object) -> str:
    """Return a value in one line, shortened."""
    text = "-" if value is None else escaped(str(value))
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]} ..."


def _other(what: str, first: str, second: str, hint: str = "") -> EvaluationError:
    is_told = first != second
    return EvaluationError(
        f"the two runs have other {what}: {first} and {second}"
        if is_told
        else f"the two runs have other {what} under one name, {first}",
        expected=f"the same {what} in both",
        hint=hint,
    )


def _data(data: Mapping[str, str]) -> str:
    return f"{data.get('name', '')} ({data.get('digest', '')[:12]})"


def _prompt(record: EvaluationRecord) -> str:
    return f"{record.prompt} ({shown(record.own_prompt)})" if record.own_prompt else record.prompt


def _part(result: EvaluationResult) -> str:
    record = result.record
    seed = "" if record.seed is None else f", seed {record.seed}"
    return f"{len(result.items):,} of {record.num_all:,}{seed} ({record.items[:12]})"


def _rules(result: EvaluationResult) -> list[Any]:
    return [
        [each.name, list(each.unit), each.over, list(each.of), each.is_strict]
        for each in result.metrics
    ]


def _names(metrics: Sequence[Metric]) -> str:
    return ", ".join(each.name for each in metrics)


def _given(value: object) -> object:
    """A value of a record; None for an empty text, which nobody gave."""
    return None if value == "" else value
