"""The command `read`: the text of a picture, its lines with their places, or its table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from qwenvl_kit.command_line.answers import remark_on, reply_fields, write_confidence
from qwenvl_kit.command_line.asking import SourceArguments, ask_about, one_or_each
from qwenvl_kit.command_line.loading import open_chat, sampling_of
from qwenvl_kit.command_line.options import (
    BatchOptions,
    ModelOptions,
    OutputOptions,
    SamplingOptions,
)
from qwenvl_kit.command_line.running import command
from qwenvl_kit.command_line.sources import Source, read_pictures
from qwenvl_kit.command_line.terminal import say_dim, write, write_json
from qwenvl_kit.errors import InputError

if TYPE_CHECKING:
    from qwenvl_kit.chat import VisionChat
    from qwenvl_kit.tasks import ReadTable, ReadText

    Settings = dict[str, Any]


def add_to(app: typer.Typer) -> None:
    """Add the command of this file to the program."""
    command(app)(read)


def read(
    image: SourceArguments,
    table: Annotated[bool, typer.Option("--table", help="read the table that it shows")] = False,
    lines: Annotated[
        bool, typer.Option("--lines", help="read line by line, with places and confidences")
    ] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="keep headings, lists and tables, as Markdown")
    ] = False,
    language: Annotated[Literal["en", "zh"], typer.Option(help="the language of the prompt")] = (
        "en"
    ),
    *,
    model: ModelOptions,
    sampling: SamplingOptions,
    shown: OutputOptions,
    batch: BatchOptions,
) -> int:
    """Read the text of a picture (OCR).

    Of several pictures, each is read by itself.
    """
    if sum((table, lines, markdown)) > 1:
        raise InputError("several forms were given", expected="--table, --lines or --markdown")
    sources = read_pictures(image, allows_web=model.web)
    batch = one_or_each(sources, batch)
    if not (table or lines):
        from qwenvl_kit.tasks.read_text import PROMPTS

        text = PROMPTS["markdown" if markdown else "plain"][language]
        return ask_about(
            sources, lambda _: text, model=model, sampling=sampling, shown=shown, batch=batch
        )
    if batch.each:
        raise InputError(
            f"{len(sources)} sources were given", expected="one picture with --table or --lines"
        )
    with open_chat(model) as chat:
        settings = {"language": language, "sampling": sampling_of(chat, sampling)}
        (_table if table else _lines)(chat, sources[0], settings, shown)
    return 0


def _table(chat: VisionChat, source: Source, settings: Settings, shown: OutputOptions) -> None:
    from qwenvl_kit.tasks import read_table

    found: ReadTable = read_table(chat, source.part, **settings)  # type: ignore[arg-type]
    reply, sure = found.extraction.reply, found.extraction.confidence
    if shown.as_json:
        fields = {"text": reply.text, "columns": found.columns, "rows": found.rows}
        write_json({**fields, "warnings": found.warnings, **reply_fields(reply, sure)})
        return
    write(str(found))
    write_confidence(sure, shown)
    remark_on(reply)


def _lines(chat: VisionChat, source: Source, settings: Settings, shown: OutputOptions) -> None:
    from qwenvl_kit.tasks import read_text

    found: ReadText = read_text(chat, source.part, form="lines", **settings)  # type: ignore[arg-type]
    if shown.as_json:
        lines = [_line_fields(line) for line in found.text_lines]
        fields = {"text": found.text, "lines": lines, "warnings": found.warnings}
        write_json({**fields, **reply_fields(found.reply)})
        return
    write(found.text)
    write_confidence(found.confidence, shown)
    for warning in found.warnings:
        say_dim(warning)
    remark_on(found.reply)


def _line_fields(line: Any) -> dict[str, Any]:
    fields = {"text": line.text, "confidence": line.confidence, "box": None}
    if line.box is not None:
        sides = ("x1_px", "y1_px", "x2_px", "y2_px")
        fields["box"] = {side: getattr(line.box, side) for side in sides}
    return fields
