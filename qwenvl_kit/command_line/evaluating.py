"""The commands `evaluate` and `compare`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from qwenvl_kit.command_line.options import Hub, Quantization
from qwenvl_kit.command_line.running import EXIT_CODES, command


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file to the program."""
    command(app, epilog=EXIT_CODES)(evaluate)
    command(app, epilog=EXIT_CODES)(compare)


@dataclass(frozen=True)
class QuestionOptions:
    """The benchmark, and its data."""

    benchmark: Annotated[
        str | None, typer.Option(metavar="NAME", help="a name, such as docvqa; or own")
    ] = None
    data: Annotated[str | None, typer.Option(metavar="FILE", help="the file of the questions")] = (
        None
    )
    folder: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="the folder of pictures or films")
    ] = None
    split: Annotated[str | None, typer.Option(help="the split of data that has several")] = None
    prompt: Annotated[
        str | None, typer.Option(help="the name of a prompt, or a text with {question} in it")
    ] = None
    scorer: Annotated[
        str | None, typer.Option(metavar="NAME", help="the rule for --benchmark own")
    ] = None
    name: Annotated[str | None, typer.Option(help="a name for the result")] = None
    cluster: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="the column of what questions share")
    ] = None
    group: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="a column that results are told by; may be repeated"),
    ] = None
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=COLUMN",
            help="the column of a field, such as question=query; may be repeated",
        ),
    ] = None
    set: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="another argument of the benchmark, such as max_frames=64; may be repeated",
        ),
    ] = None


@dataclass(frozen=True)
class AnswererOptions:
    """The model that answers, and the one that judges."""

    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="a folder, an id of a hub, or embedded")
    ] = None
    base_url: Annotated[
        str | None,
        typer.Option("--base-url", metavar="URL", help="the address of a server in its place"),
    ] = None
    key_variable: Annotated[
        str | None, typer.Option(metavar="NAME", help="the variable with the server's key")
    ] = None
    source: Annotated[Hub, typer.Option(help="the hub of an id")] = "huggingface"
    revision: Annotated[
        str | None, typer.Option(metavar="R", help="a branch, tag or commit of the hub")
    ] = None
    offline: Annotated[bool, typer.Option("--offline", help="fetch nothing")] = False
    adapter: Annotated[str | None, typer.Option(metavar="FOLDER", help="a LoRA adapter")] = None
    quantization: Annotated[
        Quantization | None, typer.Option(help="quantise the weights while loading")
    ] = None
    device: Annotated[str, typer.Option(help="a device of torch")] = "auto"
    dtype: Annotated[str, typer.Option(help="a dtype of torch")] = "auto"
    judge_model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="a model that reads answers")
    ] = None
    judge_url: Annotated[
        str | None, typer.Option(metavar="URL", help="the address of the judge's server")
    ] = None


@dataclass(frozen=True)
class RunOptions:
    """The run, and its files."""

    limit: Annotated[
        int | None, typer.Option(metavar="N", help="ask so many, drawn by the seed")
    ] = None
    seed: Annotated[int, typer.Option(metavar="N", help="the seed of what is drawn")] = 0
    budget: Annotated[
        str | None, typer.Option(help="visual tokens of a picture, such as standard")
    ] = None
    fit: Annotated[
        Literal["refuse", "shrink"] | None, typer.Option(help="for items that are too long")
    ] = None
    method: Annotated[
        Literal["text", "probability"], typer.Option(help="the way of choosing an option")
    ] = "text"
    max_new_tokens: Annotated[
        int | None, typer.Option(metavar="N", help="the most tokens of an answer")
    ] = None
    max_batch_size: Annotated[int | None, typer.Option(metavar="N", help="the most at a time")] = (
        None
    )
    thinking: Annotated[
        bool | None,
        typer.Option(
            "--thinking/--no-thinking",
            help="think first or not, where the checkpoint can be switched",
        ),
    ] = None
    journal: Annotated[
        str | None, typer.Option(metavar="FILE", help="go on from here after a stop")
    ] = None
    output: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="write result.json, items.csv and report.html, and a journal unless one is named",
        ),
    ] = None
    progress: Annotated[bool, typer.Option("--progress/--no-progress", help="show a bar")] = True


def evaluate(
    list_all: Annotated[bool, typer.Option("--list", help="name the benchmarks, and end")] = False,
    *,
    questions: QuestionOptions,
    answerer: AnswererOptions,
    run: RunOptions,
) -> int:
    """Measure a model by a benchmark.

    Asks a model the questions of a benchmark, scores its answers by the published rule, and prints
    the score with its interval.
    """
    from qwenvl_kit.evaluation.launch.command import evaluate_command

    given = {**vars(questions), **vars(answerer), **vars(run)}
    for name in ("group", "column", "set"):
        given[name] = given[name] or []
    return evaluate_command(argparse.Namespace(list=list_all, **given))


def compare(
    first: Annotated[str, typer.Argument(metavar="A.json", help="the result.json of a run")],
    second: Annotated[str, typer.Argument(metavar="B.json", help="that of another")],
) -> int:
    """Compare two results of `evaluate`, item by item.

    Tells the difference with its interval, and the items that changed.
    """
    from qwenvl_kit.evaluation.launch.command import compare_command

    return compare_command(argparse.Namespace(first=first, second=second))
