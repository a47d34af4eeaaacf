"""The command `extract`: a typed value that is read from pictures."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from qwenvl_kit.command_line.answers import remark_on, reply_fields, write_confidence
from qwenvl_kit.command_line.asking import SourceArguments
from qwenvl_kit.command_line.loading import open_chat, sampling_of
from qwenvl_kit.command_line.options import ModelOptions, OutputOptions, SamplingOptions
from qwenvl_kit.command_line.running import command
from qwenvl_kit.command_line.sources import read_pictures
from qwenvl_kit.command_line.terminal import write_json
from qwenvl_kit.errors import SchemaError

_EXPECTED = "a file with a JSON schema, or module:Class"


def add_to(app: typer.Typer) -> None:
    """Add the command of this file to the program."""
    command(app)(extract)


def extract(
    media: SourceArguments,
    schema: Annotated[
        str,
        typer.Option(
            metavar="FILE.json|MODULE:CLASS",
            help="a JSON schema; or a dataclass, TypedDict or pydantic model, whose module is "
            "imported, from this folder too",
        ),
    ],
    language: Annotated[Literal["en", "zh"], typer.Option(help="the language of the prompt")] = (
        "en"
    ),
    *,
    model: ModelOptions,
    sampling: SamplingOptions,
    shown: OutputOptions,
) -> int:
    """Read a typed value from a picture.

    Several pictures are read as one. The value is written as JSON.
    """
    from qwenvl_kit.tasks import extract as read_value

    wanted = load_schema(schema)
    parts = [each.part for each in read_pictures(media, with_films=True, allows_web=model.web)]
    with open_chat(model) as chat:
        settings = sampling_of(chat, sampling)
        found = read_value(chat, parts, wanted, language=language, sampling=settings)  # type: ignore[arg-type]
    value = _plain(found.value)
    if shown.as_json:
        fields = {"text": found.reply.text, "value": value}
        fields["confidences"] = dict(found.confidences)
        write_json({**fields, **reply_fields(found.reply, found.confidence)})
        return 0
    write_json(value, indent=2)
    write_confidence(found.confidence, shown)
    remark_on(found.reply)
    return 0


def load_schema(text: str) -> Any:
    """Return the schema of a JSON file, or the class of a module.

    Raises:
        SchemaError: there is no such file or class, or the file is no JSON object.
    """
    path = Path(text).expanduser()
    module, colon, name = text.rpartition(":")
    is_class = colon and module.replace(".", "").isidentifier() and name.isidentifier()
    if is_class and not path.exists():
        return _class(module, name)
    return _from_file(path)


def _from_file(path: Path) -> dict[str, Any]:
    try:
        schema = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SchemaError(
            f"the schema cannot be read: {error.strerror or error}",
            expected=_EXPECTED,
            where=str(path),
        ) from error
    except (ValueError, RecursionError) as error:
        raise SchemaError(
            f"the schema is no JSON: {error}", expected=_EXPECTED, where=str(path)
        ) from error
    if not isinstance(schema, dict):
        raise SchemaError("the schema is no object", expected=_EXPECTED, where=str(path))
    return schema


def _class(module: str, name: str) -> Any:
    """A class of a module, which may lie in the folder of this process."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # the module is the caller's, and may raise anything
        raise SchemaError(
            f"{module}:{name} cannot be imported: {type(error).__name__}: {error}",
            expected=_EXPECTED,
        ) from error
    if not isinstance(found, (type, dict)):
        raise SchemaError(f"{module}:{name} is no class", expected=_EXPECTED)
    return found


def _plain(value: Any) -> Any:
    """A value as dicts, lists, strings and numbers."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = (field.name for field in dataclasses.fields(value))
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value
