"""Options that several commands share, as groups of fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import typer

Quantization = Literal["4bit", "8bit"]
Hub = Literal["huggingface", "modelscope"]

EMBEDDED = "embedded"
"""The name of the small model that is part of the package."""

KEY_VARIABLE = "QWENVL_API_KEY"
"""The variable of the environment with the key for a server."""


@dataclass(frozen=True)
class ModelOptions:
    """The model that answers, and the limits of what it is shown.

    Attributes:
        model: a folder, an id of a hub, "embedded", or the name that a server has for it.
        base_url: the address of a server.
        key_variable: the variable with the server's key; None for `QWENVL_API_KEY`, if it is set.
        source: the hub of the id.
        revision: a branch, tag or commit of the hub.
        offline: True if nothing may be fetched.
        web: True if media may be fetched from public hosts.
        quantization: "4bit" or "8bit".
        adapter: the folder of a LoRA adapter.
        device: a torch device, or "auto".
        dtype: a torch dtype, or "auto".
        budget: the visual tokens that a picture may take: a preset, or a number.
    """

    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            envvar="QWENVL_MODEL",
            metavar="ID|FOLDER",
            help=f"the model (default: {EMBEDDED}, the small one of the package)",
        ),
    ] = None
    base_url: Annotated[
        str | None,
        typer.Option("--base-url", metavar="URL", help="the address of a server with the model"),
    ] = None
    key_variable: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help=f"the variable with the server's key (default: {KEY_VARIABLE})"
        ),
    ] = None
    source: Annotated[Hub, typer.Option(help="the hub of an id")] = "huggingface"
    revision: Annotated[
        str | None, typer.Option(metavar="R", help="a branch, tag or commit of the hub")
    ] = None
    offline: Annotated[bool, typer.Option("--offline", help="fetch nothing")] = False
    web: Annotated[
        bool, typer.Option("--web", help="fetch pictures and films from public hosts")
    ] = False
    quantization: Annotated[
        Quantization | None, typer.Option(help="quantise the weights while loading")
    ] = None
    adapter: Annotated[str | None, typer.Option(metavar="FOLDER", help="a LoRA adapter")] = None
    device: Annotated[str, typer.Option(help="a device of torch")] = "auto"
    dtype: Annotated[str, typer.Option(help="a dtype of torch")] = "auto"
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|N",
            help="visual tokens of a picture: native, quick, standard, fine, or at most so many",
        ),
    ] = None


@dataclass(frozen=True)
class SamplingOptions:
    """The settings of generation; those that are None are the checkpoint's own.

    Attributes:
        max_tokens: the most tokens of an answer.
        temperature: 0 for the most probable token each time.
        seed: the seed of the random choice.
        thinking: True if the model should think first, where its checkpoint can be switched.
    """

    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", metavar="N", help="the most tokens of an answer")
    ] = None
    temperature: Annotated[
        float | None,
        typer.Option(metavar="T", help="0 takes the most probable token each time"),
    ] = None
    seed: Annotated[int | None, typer.Option(metavar="N", help="the seed of the choice")] = None
    thinking: Annotated[
        bool | None, typer.Option("--thinking/--no-thinking", help="let the model think first")
    ] = None


@dataclass(frozen=True)
class OutputOptions:
    """The form in which answers are written.

    Attributes:
        as_json: True for one JSON object a line.
        confidence: True to write the confidence as well.
        traceback: True to show where an error came from.
    """

    as_json: Annotated[
        bool, typer.Option("--json", help="write one JSON object a line for each answer")
    ] = False
    confidence: Annotated[
        bool, typer.Option("--confidence", help="write how sure the answer is, too")
    ] = False
    traceback: Annotated[
        bool, typer.Option("--traceback", help="show where an error came from")
    ] = False


@dataclass(frozen=True)
class BatchOptions:
    """The asking of one question about each of many sources.

    Attributes:
        each: True to ask about each source by itself.
        journal: the file of answers, from which a later run goes on.
        progress: True for a bar; None where the standard error is a terminal.
        max_batch_size: the most requests in flight.
    """

    each: Annotated[
        bool, typer.Option("--each", help="ask about each picture or film by itself")
    ] = False
    journal: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="with --each: go on from here after a stop"),
    ] = None
    progress: Annotated[
        bool | None,
        typer.Option("--progress/--no-progress", help="a bar (default: on a terminal)"),
    ] = None
    max_batch_size: Annotated[
        int | None, typer.Option("--max-batch-size", metavar="N", help="the most at a time")
    ] = None
