"""The commands `evaluate` and `compare` of `python -m qwenvl_kit`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmark import Benchmark
from qwenvl_kit.evaluation.comparing import compare_runs
from qwenvl_kit.evaluation.evaluating import evaluate, greedy
from qwenvl_kit.evaluation.launch.registry import benchmark_named, benchmarks_table
from qwenvl_kit.evaluation.result import EvaluationResult
from qwenvl_kit.options import as_budget

if TYPE_CHECKING:
    from qwenvl_kit.chat import VisionChat

EMBEDDED = "embedded"
"""The name of the small model that is part of the package."""

RESULT_FILE, ITEMS_FILE, PAGE_FILE = "result.json", "items.csv", "report.html"
JOURNAL_FILE = "journal.jsonl"

_OPTIONS = {
    **{name: f"--{name}" for name in ("data", "scorer", "prompt", "name", "cluster", "folder")},
    **{"split": "--split", "columns": "--column", "groups": "--group"},
}
"""The arguments of a benchmark that have options of their own."""


def evaluate_command(options: argparse.Namespace) -> int:
    """Run `evaluate`: ask a model the questions of a benchmark, and print and write its result.

    Returns:
        The exit code: 1 if an item failed.

    Raises:
        QwenVLKitError: it cannot be done.
    """
    if options.list:
        print(benchmarks_table().to_text())
        return 0
    _check_given(options)
    settings = _settings(options)
    benchmark = _benchmark(options)
    journal = _journal(options)
    with ExitStack() as opened:
        chat = opened.enter_context(_chat(options.model, options.base_url, options))
        judge = None
        if options.judge_model or options.judge_url:
            judge = opened.enter_context(_chat(options.judge_model, options.judge_url, options))
        result = evaluate(
            chat,
            benchmark,
            journal=journal,
            judge=judge,
            **settings,
        )
        print(result)
        _write(result, options.output)
    return 1 if result.num_failed else 0


def compare_command(options: argparse.Namespace) -> int:
    """Run `compare`: compare two saved results, and print the comparison.

    Raises:
        QwenVLKitError: they cannot be compared.
    """
    print(compare_runs(options.first, options.second))
    return 0


def _check_given(options: argparse.Namespace) -> None:
    """Refuse a call without what every evaluation needs."""
    for name in ("benchmark", "data"):
        if getattr(options, name) is None:
            raise EvaluationError(
                f"--{name} was not given",
                expected="a model, a benchmark and its data",
                hint="--list names the benchmarks",
            )
    if options.model is None and options.base_url is None:
        raise EvaluationError(
            "neither --model nor --base-url was given",
            expected="a folder or an id of a hub, or the address of a server",
            hint=f"--model {EMBEDDED} takes the small model that is part of the package",
        )


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings of the run, checked before a model is loaded."""
    for name, least in (("limit", 1), ("seed", 0), ("max_batch_size", 1)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise EvaluationError(
                f"--{name.replace('_', '-')} {value} was given",
                expected=f"a whole number, {least} or more",
            )
    return {
        "limit": options.limit,
        "seed": options.seed,
        "method": options.method,
        "sampling": None if options.max_new_tokens is None else greedy(options.max_new_tokens),
        "budget": None if options.budget is None else as_budget(options.budget),
        "fit": options.fit,
        "thinking": options.thinking,
        "max_batch_size": options.max_batch_size,
        "progress": options.progress,
    }


def _benchmark(options: argparse.Namespace) -> Benchmark:
    kind = benchmark_named(options.benchmark)
    given: dict[str, Any] = {"prompt": options.prompt, "split": options.split, "name": options.name}
    given["folder"] = options.folder
    if options.scorer is not None:
        if kind is not Benchmark:
            raise EvaluationError(
                f"--scorer was given for {options.benchmark}, which has a rule of its own",
                expected="--scorer with --benchmark own",
            )
        given["scorer"] = options.scorer
    if options.column:
        given["columns"] = dict(_pair(each, "--column") for each in options.column)
    given["groups"] = tuple(options.group)
    given["cluster"] = options.cluster
    kept = {name: each for name, each in given.items() if each is not None and each != ()}
    return kind(options.data, **kept, **dict(_argument(each) for each in options.set))


def _pair(text: str, option: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise EvaluationError(f"{option} {text!r} was given", expected=f"{option} NAME=VALUE")
    return name, value


def _argument(text: str) -> tuple[str, Any]:
    """An argument of the benchmark that has no option of its own."""
    name, value = _pair(text, "--set")
    if name in _OPTIONS:
        raise EvaluationError(
            f"--set {name}=... was given", expected=f"the option {_OPTIONS[name]} for that"
        )
    return name, _value(value)


def _value(text: str) -> Any:
    """A value of the command line: JSON if it is a number, true, false or a list; else a text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _journal(options: argparse.Namespace) -> Path | None:
    """The journal: the one that is given, else one in the folder of output, which is made."""
    if options.output is not None:
        try:
            Path(options.output).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EvaluationError(
                f"the folder of output cannot be made: {error.strerror or error}",
                expected="a folder that this user may write to",
                where=str(options.output),
            ) from error
    if options.journal is not None:
        return Path(options.journal)
    return None if options.output is None else Path(options.output) / JOURNAL_FILE


def _chat(model: str | None, base_url: str | None, options: argparse.Namespace) -> VisionChat:
    from qwenvl_kit.chat import VisionChat

    if base_url is not None:
        return VisionChat.connect(base_url, model=model, api_key=_key(options.key_variable))
    return VisionChat.from_pretrained(
        None if model == EMBEDDED else model,
        source=options.source,
        revision=options.revision if model == options.model else None,
        offline=options.offline,
        dtype=options.dtype,
        device=options.device,
        quantization=options.quantization,
        adapter=options.adapter if model == options.model else None,
    )


def _key(variable: str | None) -> str | None:
    """The key of a server, from the variable that the caller names."""
    if variable is None:
        return None
    if not (key := os.environ.get(variable)):
        raise EvaluationError(
            f"the environment has no variable {variable}",
            expected="the name of a variable that holds the server's key",
        )
    return key


def _write(result: EvaluationResult, output: str | None) -> None:
    if output is None:
        return
    folder = Path(output)
    result.save(folder / RESULT_FILE)
    result.write_csv(folder / ITEMS_FILE)
    result.write_html(folder / PAGE_FILE)
    print(f"{folder / RESULT_FILE}, {ITEMS_FILE} and {PAGE_FILE} were written", file=sys.stderr)
