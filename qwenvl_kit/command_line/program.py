"""The program: all commands by their names, and the arguments of the process."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import qwenvl_kit
from qwenvl_kit.command_line import (
    asking,
    chatting,
    checking,
    demo,
    evaluating,
    extracting,
    locating,
    planning,
    reading,
    training,
)
from qwenvl_kit.command_line.running import EXIT_CODES, Ended, show_tracebacks
from qwenvl_kit.command_line.terminal import make_streams_tolerant, say

NAME = "qwenvl"
MODULE = "python -m qwenvl_kit"

app = typer.Typer(
    name=NAME,
    help="Ask Qwen vision-language models about pictures, films and documents.",
    epilog=f"{EXIT_CODES} `{NAME} COMMAND --help` tells more about a command.",
    no_args_is_help=False,
    pretty_exceptions_enable=False,  # which would show the values of variables, keys among them
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"qwenvl_kit {qwenvl_kit.__version__}")
        raise typer.Exit


@app.callback()
def _settings(
    traceback: Annotated[
        bool, typer.Option("--traceback", help="show where an error came from")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="tell the version")
    ] = False,
) -> None:
    show_tracebacks(traceback)


for _room in (
    *(asking, reading, locating, extracting, chatting, planning, demo),
    *(checking, training, evaluating),
):
    _room.add_to(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the arguments after the program's name; None for those of this process.

    Returns:
        The exit code of the command.

    Raises:
        SystemExit: no command ran, as the arguments could not be understood, or asked for help.
    """
    given = [*(sys.argv[1:] if arguments is None else arguments)]
    make_streams_tolerant()
    try:
        app(given, prog_name=_called_as())
    except SystemExit as stopped:
        if isinstance(stopped.__context__, Ended):
            return stopped.__context__.exit_code
        if stopped.code == 2:
            _hint(given)
        raise
    return 0


def _called_as() -> str:
    """The name under which this process was started, for messages and for completion."""
    started = Path(sys.argv[0] or NAME)
    return NAME if re.fullmatch(rf"{NAME}(\.exe)?", started.name) else MODULE


def _hint(given: Sequence[str]) -> None:
    """Tell about arguments that look like options and are none."""
    options = given[: given.index("--")] if "--" in given else given
    for argument in options:
        if argument.startswith("-") and len(argument) > 1 and os.path.lexists(argument):
            say(f"There is a file {argument!r}: write ./{argument}, or put it after --")
        elif re.match(r"--(api[-_]?)?key(=|$)", argument):
            say(
                "A key is never an argument, as other users of a machine see these. Set the "
                "variable QWENVL_API_KEY, or name another by --key-variable"
            )
