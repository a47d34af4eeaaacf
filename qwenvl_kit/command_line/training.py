"""The commands `train` and `launch-config`."""

from __future__ import annotations

import argparse
from typing import Annotated, Literal

import typer

from qwenvl_kit.command_line.running import EXIT_CODES, command
from qwenvl_kit.command_line.terminal import write


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file to the program."""
    command(app, epilog=EXIT_CODES)(train)
    command(app, "launch-config", epilog=EXIT_CODES)(tell_launch_config)


def train(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="a TOML file")],
    check: Annotated[
        bool, typer.Option("--check", help="check the examples, and train nothing")
    ] = False,
    output: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="a folder in place of the file's")
    ] = None,
    resume: Annotated[
        bool | None,
        typer.Option(
            "--resume/--no-resume",
            help="go on with the run in the folder (the default), or refuse one",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="TABLE.KEY=VALUE",
            help="a setting in place of the file's, such as training.epochs=3; may be repeated",
        ),
    ] = None,
) -> int:
    """Train what a TOML file describes.

    For several processes: accelerate launch -m qwenvl_kit train CONFIG.
    """
    from qwenvl_kit.training.launch.command import train as run

    given = {"config": config, "check": check, "output": output, "resume": resume}
    return run(argparse.Namespace(**given, set=settings or []))


def tell_launch_config(
    strategy: Annotated[Literal["zero2", "zero3", "fsdp"], typer.Argument(metavar="STRATEGY")],
) -> int:
    """Tell where settings for several processes lie.

    They are a file for `accelerate launch --config_file`.

    STRATEGY is zero2 or zero3, DeepSpeed's, or fsdp, torch's.
    """
    from qwenvl_kit.training.launch.shipped import launch_config

    write(str(launch_config(strategy)))
    return 0
