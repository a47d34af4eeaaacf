"""Results as files of JSON, with the record and every item."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from qwenvl_kit import errors
from qwenvl_kit.errors import EvaluationError, QwenVLKitError
from qwenvl_kit.evaluation.items import EvaluationItem, ItemScore, ReplyFacts, ScoredItem
from qwenvl_kit.evaluation.metrics import Metric
from qwenvl_kit.evaluation.record import EvaluationRecord
from qwenvl_kit.evaluation.scored_run import ScoredRun, checked_metrics
from qwenvl_kit.results import FinishReason
from qwenvl_kit.whole_files import STRICT, FileKind

RESULT_FILES = FileKind(
    EvaluationError,
    expected="a file that EvaluationResult.save has written",
    found="a file that EvaluationResult.save has written",
)
"""The files that results are saved to."""

_MOST_BYTES = 2**30


def save_result(result: ScoredRun, path: str | os.PathLike[str]) -> None:
    """Write a result as JSON, in one step, with its record and every item.

    Pictures, films and whole replies are left out; the reasons why answers ended, their tokens and
    times are kept.

    Raises:
        EvaluationError: the file cannot be written.
    """
    saved = _SavedResult(
        record=result.record,  # type: ignore[arg-type]  # has the fields of it
        metrics=result.metrics,  # type: ignore[arg-type]
        items=tuple(_saved(each) for each in result.items),
        summary={name: str(each) for name, each in result.estimates.items()},
    )
    text = json.dumps(_plain(saved), ensure_ascii=False, indent=1)
    RESULT_FILES.write(Path(os.fsdecode(path)), f"{text}\n".encode("utf-8", "replace"))


def read_run(path: str | os.PathLike[str]) -> ScoredRun:
    """Return the run of a result that was saved; see `load_result`.

    Raises:
        EvaluationError: it is no such file, or of another version; the error says where in it.
    """
    saved = RESULT_FILES.read_value(Path(os.fsdecode(path)), _SavedResult, _MOST_BYTES)
    metrics = [
        replace(_copied(each, Metric), unit=tuple(each.unit), of=tuple(each.of))
        for each in saved.metrics
    ]
    try:
        _check_ids(saved.items)
        return ScoredRun(
            record=_copied(saved.record, EvaluationRecord),
            items=tuple(_loaded(each) for each in saved.items),
            metrics=checked_metrics(metrics, "the result"),
        )
    except EvaluationError as error:
        error.where = os.fsdecode(path)
        raise


def _check_ids(items: Sequence[_SavedItem]) -> None:
    """Refuse two items of one id, which would count as one, or twice."""
    seen: dict[str, int] = {}
    for at, item in enumerate(items):
        if item.id in seen:
            raise EvaluationError(
                f"items.{seen[item.id]} and items.{at} have one id, {item.id!r}",
                expected="an id of its own for each item",
            )
        seen[item.id] = at


@dataclass(frozen=True, kw_only=True)
class _SavedRecord(EvaluationRecord):
    __pydantic_config__: ClassVar[Any] = STRICT


@dataclass(frozen=True, kw_only=True)
class _SavedMetric(Metric):
    __pydantic_config__: ClassVar[Any] = STRICT


@dataclass(frozen=True, kw_only=True)
class _SavedError:
    """An error: the name of its class, and its texts."""

    __pydantic_config__: ClassVar[Any] = STRICT

    kind: str
    problem: str
    expected: str = ""
    hint: str = ""
    where: str = ""


@dataclass(frozen=True, kw_only=True)
class _SavedReply:
    """The facts of a reply; see `ReplyFacts`."""

    __pydantic_config__: ClassVar[Any] = STRICT

    finish_reason: FinishReason
    visual_tokens: int
    completion_tokens: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class _SavedItem:
    """An item with its answer, in one level."""

    __pydantic_config__: ClassVar[Any] = STRICT

    id: str
    question: str
    targets: tuple[str, ...]
    choices: tuple[str, ...] = ()
    groups: dict[str, str]
    tags: dict[str, tuple[str, ...]] = field(default_factory=dict)
    cluster: str = ""
    facts: dict[str, Any]
    where: str = ""
    answer: str | None = None
    value: float | None = None
    read: str | None = None
    strict: float | None = None
    confidence: float | None = None
    judge_answer: str | None = None
    reply: _SavedReply | None = None
    error: _SavedError | None = None


@dataclass(frozen=True, kw_only=True)
class _SavedResult:
    """A result; the summary is for readers of the file."""

    __pydantic_config__: ClassVar[Any] = STRICT

    version: Literal[1] = 1
    summary: dict[str, str]
    record: _SavedRecord
    metrics: tuple[_SavedMetric, ...]
    items: tuple[_SavedItem, ...]


def _saved(found: ScoredItem) -> _SavedItem:
    item, score, facts = found.item, found.score, found.reply_facts
    return _SavedItem(
        id=item.id,
        question=item.question,
        targets=tuple(item.targets),
        choices=tuple(item.choices),
        groups=dict(item.groups),
        tags=dict(item.tags),
        cluster=item.cluster,
        facts=dict(item.facts),
        where=item.where,
        answer=found.answer,
        value=None if score is None else score.value,
        read=None if score is None else score.read,
        strict=None if score is None else score.strict,
        confidence=found.confidence,
        judge_answer=found.judge_answer,
        reply=None if facts is None else _copied(facts, _SavedReply),
        error=None if found.error is None else _saved_error(found.error),
    )


def _loaded(saved: _SavedItem) -> ScoredItem:
    item = EvaluationItem(
        id=saved.id,
        question=saved.question,
        targets=saved.targets,
        choices=saved.choices,
        groups=saved.groups,
        tags=saved.tags,
        cluster=saved.cluster,
        facts=saved.facts,
        where=saved.where,
    )
    score = None if saved.value is None else ItemScore(saved.value, saved.read, saved.strict)
    return ScoredItem(
        item=item,
        answer=saved.answer,
        score=score,
        confidence=saved.confidence,
        judge_answer=saved.judge_answer,
        kept_facts=None if saved.reply is None else _copied(saved.reply, ReplyFacts),
        error=None if saved.error is None else _loaded_error(saved.error),
    )


def _saved_error(error: QwenVLKitError) -> _SavedError:
    return _SavedError(
        kind=type(error).__name__,
        problem=error.problem,
        expected=error.expected,
        hint=error.hint,
        where=error.where,
    )


def _loaded_error(saved: _SavedError) -> QwenVLKitError:
    """The error, of its class if this release has it."""
    kind: Any = getattr(errors, saved.kind, None)
    if not (isinstance(kind, type) and issubclass(kind, QwenVLKitError)):
        kind = QwenVLKitError
    made: QwenVLKitError = kind(
        saved.problem, expected=saved.expected, hint=saved.hint, where=saved.where
    )
    return made


def _copied(value: Any, kind: Any) -> Any:
    """A dataclass with the fields of another."""
    return kind(**{each.name: getattr(value, each.name) for each in fields(kind)})


def _plain(value: Any) -> Any:
    """A value as JSON has it; what it cannot hold is its text."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and abs(value) < float("inf"):
        return float(value)
    return str(value)
