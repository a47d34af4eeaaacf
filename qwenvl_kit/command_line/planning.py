"""The command `plan`: the cost of a question, before anything runs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from qwenvl_kit.command_line.asking import MediaArguments
from qwenvl_kit.command_line.loading import open_chat, sampling_of
from qwenvl_kit.command_line.options import ModelOptions, OutputOptions, SamplingOptions
from qwenvl_kit.command_line.running import command
from qwenvl_kit.command_line.sources import read_question, read_sources, user_message
from qwenvl_kit.command_line.terminal import write, write_json


def add_to(app: typer.Typer) -> None:
    """Add the command of this file to the program."""
    codes = "Exit codes: 0 the question fits, 1 it does not fit, 2 it could not be done."
    command(app, epilog=codes)(plan)


def plan(
    question: Annotated[
        str, typer.Argument(metavar="QUESTION", help="the question, or - for the standard input")
    ],
    media: MediaArguments = None,
    *,
    model: ModelOptions,
    sampling: SamplingOptions,
    shown: OutputOptions,
) -> int:
    """Tell what a question will cost.

    The tokens and the memory are told; no picture is decoded, and the model does not run.
    """
    sources = read_sources(media or (), question=question, allows_web=model.web)
    asked = user_message(read_question(question), sources)
    with open_chat(model) as chat:
        settings = sampling_of(chat, sampling)
        found = chat.plan([asked], sampling=settings, thinking=sampling.thinking)
    if shown.as_json:
        fits = {"context": found.fits_context, "memory": found.fits_memory}
        write_json({"fits": found.fits, "fits_in": fits, **asdict(found), "error": None})
    else:
        write(str(found))
    return 0 if found.fits else 1
