"""The command `locate`: boxes around things, as lines, as JSON and drawn on the picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from qwenvl_kit.command_line.answers import reply_fields
from qwenvl_kit.command_line.loading import open_chat, sampling_of
from qwenvl_kit.command_line.options import ModelOptions, OutputOptions, SamplingOptions
from qwenvl_kit.command_line.running import command
from qwenvl_kit.command_line.sources import read_pictures
from qwenvl_kit.command_line.terminal import say_dim, write, write_json
from qwenvl_kit.errors import InputError

if TYPE_CHECKING:
    from qwenvl_kit.grounding.boxes import Box
    from qwenvl_kit.grounding.places import Boxes

_SIDES = ("x1_px", "y1_px", "x2_px", "y2_px")


def add_to(app: typer.Typer) -> None:
    """Add the command of this file to the program."""
    command(app)(locate)


def locate(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="the picture, or -")],
    what: Annotated[str, typer.Argument(metavar="WHAT", help="the things, such as 'all cups'")],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="the picture with the boxes on it"),
    ] = None,
    language: Annotated[Literal["en", "zh"], typer.Option(help="the language of the prompt")] = (
        "en"
    ),
    *,
    model: ModelOptions,
    sampling: SamplingOptions,
    shown: OutputOptions,
) -> int:
    """Find things in a picture.

    Writes a line for each box: left, upper, right and lower side in the picture's own pixels, and
    the label.
    """
    from qwenvl_kit.tasks import locate as find

    (source, *others) = read_pictures([image], allows_web=model.web)
    if others:
        raise InputError(f"{len(others) + 1} pictures were given", expected="one")
    file = None if output is None else _checked(Path(output).expanduser())
    with open_chat(model) as chat:
        settings = sampling_of(chat, sampling)
        boxes = find(chat, source.part, what, language=language, sampling=settings)  # type: ignore[arg-type]
    if file is not None:
        _save(boxes, file)
    if shown.as_json:
        write_json(_fields(boxes, output))
    else:
        _write(boxes, shown)
    return 0


def _write(boxes: Boxes, shown: OutputOptions) -> None:
    for box in boxes:
        numbers = " ".join(f"{getattr(box, side):.0f}" for side in _SIDES)
        is_sure = shown.confidence and box.confidence is not None
        sure = f" {box.confidence:.3f}" if is_sure else ""
        write(f"{numbers}{sure} {' '.join(box.label.split())}")
    if not len(boxes):
        say_dim("nothing was found")
    for warning in boxes.warnings:
        say_dim(warning)


def _fields(boxes: Boxes, output: str | None) -> dict[str, Any]:
    return {
        "text": boxes.reply.text,
        "boxes": [_box_fields(box) for box in boxes],
        "width_px": boxes.image_size.width_px,
        "height_px": boxes.image_size.height_px,
        "output": output,
        "warnings": boxes.warnings,
        **reply_fields(boxes.reply),
    }


def _box_fields(box: Box) -> dict[str, Any]:
    sides = {side: round(getattr(box, side), 2) for side in _SIDES}
    return {"label": box.label, **sides, "confidence": box.confidence}


def _checked(file: Path) -> Path:
    """The file to write, before anything is asked for it."""
    import PIL.Image

    PIL.Image.init()
    if PIL.Image.EXTENSION.get(file.suffix.lower()) not in PIL.Image.SAVE:
        raise InputError(f"--output {str(file)!r} was given", expected="a name such as found.png")
    if not file.parent.is_dir() or file.is_dir():
        raise InputError(
            f"--output {str(file)!r} was given", expected="a file in a folder that exists"
        )
    return file


def _save(boxes: Boxes, file: Path) -> None:
    try:
        boxes.draw().save(file)
    except OSError as error:
        raise InputError(
            f"the picture cannot be written: {error.strerror or error}",
            expected="a file that this user may write",
            where=str(file),
        ) from error
