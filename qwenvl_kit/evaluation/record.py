"""The record of an evaluation: all that is needed to repeat it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from qwenvl_kit.evaluation.benchmark import Benchmark
from qwenvl_kit.evaluation.items import EvaluationItem, digest_items
from qwenvl_kit.evaluation.naming import name_of
from qwenvl_kit.journal import fingerprint
from qwenvl_kit.options import Fit, as_budget

if TYPE_CHECKING:
    from qwenvl_kit.chat import VisionChat
    from qwenvl_kit.requests import Request

Method: TypeAlias = Literal["text", "probability"]
"""The way in which items are answered: the model writes a text, or its most probable option is
taken."""

_PACKAGES = ("qwenvl-kit", "torch", "transformers", "vllm", "openai", "pillow", "av")


@dataclass(frozen=True, kw_only=True)
class EvaluationRecord:
    """The conditions of an evaluation.

    Attributes:
        benchmark: the name of the benchmark.
        data: the name and the digest (SHA-256) of its data.
        items: the digest of the items that were asked: ids, questions, options, right answers.
        prompt: the name of the prompt.
        prompts: the digest of all texts that were asked.
        own_prompt: the text of a prompt of one's own, with its fields; the qualified name of a
            function; empty for one of the benchmark's prompts.
        scorer: the name of the rule that scores answers, or the qualified name of a function; empty
            in files of releases that did not keep it.
        conditions: further settings that decide answers, such as the frames of films.
        num_all: the number of items in the data.
        seed: the seed by which a part of them was drawn; None if all were asked.
        method: "text" or "probability".
        model: the report of the chat: checkpoint, revision, family, backend, dtype, device.
        sampling: the settings of generation.
        budget: the visual tokens of pictures.
        thinking: the setting of thoughts; None for the template's own.
        fit: "refuse" or "shrink" for items that are too long; None for the chat's own.
        judge: the report of the chat that judged; empty without a judge.
        versions: versions of Python and of the packages that answer.
        begun: the time at which it began, in UTC, as ISO 8601 has it.
        seconds: the seconds that it took, those of an earlier run with the same journal left out.
    """

    benchmark: str
    data: Mapping[str, str]
    items: str
    prompt: str
    prompts: str
    num_all: int
    own_prompt: str = ""
    scorer: str = ""
    seed: int | None = None
    method: str = "text"
    model: Mapping[str, str] = field(default_factory=dict)
    sampling: Mapping[str, Any] = field(default_factory=dict)
    budget: Mapping[str, Any] = field(default_factory=dict)
    thinking: bool | None = None
    fit: Fit | None = None
    conditions: Mapping[str, str] = field(default_factory=dict)
    judge: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    begun: str = ""
    seconds: float | None = None


def digest_prompts(benchmark: Benchmark, items: Iterable[EvaluationItem]) -> str:
    """Return the SHA-256 of the texts that ask items."""
    return fingerprint([benchmark.prompt_text(item) for item in items])


def new_record(
    chat: VisionChat | None,
    benchmark: Benchmark,
    items: Sequence[EvaluationItem],
    settings: Request | None = None,
    **more: Any,
) -> EvaluationRecord:
    """Return the record of an evaluation that begins.

    Args:
        chat: the chat that answers; None for answers that come from elsewhere.
        benchmark: the benchmark.
        items: the items that are asked.
        settings: the settings of the call; those of the chat fill what is open.
        more: further fields.
    """
    model = {} if chat is None else dict(chat.report())
    sampling, budget = _settings(chat, settings)
    return EvaluationRecord(
        benchmark=benchmark.name,
        data=benchmark.data,
        items=digest_items(items),
        prompt=benchmark.prompt_name,
        prompts=digest_prompts(benchmark, items),
        own_prompt=benchmark.own_prompt,
        scorer=_scorer(benchmark),
        conditions=dict(benchmark.conditions),
        num_all=len(benchmark),
        model=model,
        sampling=sampling,
        budget=budget,
        thinking=None if settings is None else settings.thinking,
        fit=None if settings is None else settings.fit,
        versions=_versions(),
        **more,
    )


def _scorer(benchmark: Benchmark) -> str:
    """The name of the rule: that of a subclass, if it has one of its own."""
    for own, general in (
        (type(benchmark).score_reply, Benchmark.score_reply),
        (type(benchmark).score, Benchmark.score),
    ):
        if own is not general:
            return name_of(own)
    return benchmark.scorer_name


def _settings(chat: VisionChat | None, settings: Request | None) -> tuple[dict[str, Any], ...]:
    """The sampling and the budget of a call, as dicts."""
    if settings is None:
        return {}, {}
    sampling = settings.sampling or (None if chat is None else chat.default_sampling)
    budget = settings.budget or (None if chat is None else chat.default_budget)
    return (
        {} if sampling is None else asdict(sampling),
        {} if budget is None else asdict(as_budget(budget)),
    )


def _versions() -> dict[str, str]:
    found = {"python": python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
