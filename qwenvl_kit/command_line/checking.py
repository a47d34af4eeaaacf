"""The commands `doctor` and `inspect`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from qwenvl_kit.command_line.options import Hub
from qwenvl_kit.command_line.running import EXIT_CODES, command
from qwenvl_kit.command_line.terminal import write, write_json


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file to the program."""
    command(app, "doctor", epilog=EXIT_CODES)(check_installation)
    command(app, "inspect", epilog=EXIT_CODES)(inspect_checkpoint)


def check_installation(
    as_json: Annotated[bool, typer.Option("--json", help="print the findings as JSON")] = False,
) -> int:
    """Look for what is wrong with this installation.

    Looks at versions, devices, kernels, decoders and the hub's cache, and names the cure of what is
    wrong. Opens no connection and changes nothing.
    """
    from qwenvl_kit import diagnostics

    diagnosis = diagnostics.doctor()
    if as_json:
        findings = [asdict(finding) for finding in diagnosis.findings]
        write_json({"is_healthy": diagnosis.is_healthy, "findings": findings}, indent=2)
    else:
        write(str(diagnosis))
    return 0 if diagnosis.is_healthy else 1


def inspect_checkpoint(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="a folder, or an id such as Qwen/Name")
    ],
    source: Annotated[Hub, typer.Option(help="the hub where an id is looked up")] = "huggingface",
    revision: Annotated[
        str | None, typer.Option(metavar="R", help="a branch, tag or commit (default: main)")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="open no connection")] = False,
) -> int:
    """Tell what a checkpoint holds, without loading its weights."""
    from qwenvl_kit.checkpoints.inspection import inspect

    write(str(inspect(model, source=source, revision=revision, offline=offline)))
    return 0
