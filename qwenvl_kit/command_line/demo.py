"""The command `serve-demo`: a page to talk with a model, by Gradio (extra `demo`)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qwenvl_kit.command_line.loading import open_chat, sampling_of
from qwenvl_kit.command_line.options import ModelOptions, SamplingOptions
from qwenvl_kit.command_line.running import command
from qwenvl_kit.command_line.sources import is_film
from qwenvl_kit.command_line.terminal import say_dim
from qwenvl_kit.errors import InputError, MissingPackageError, QwenVLKitError

if TYPE_CHECKING:
    from qwenvl_kit.chat import VisionChat
    from qwenvl_kit.messages.message import Message

TITLE = "qwenvl_kit"
_KINDS = ["image", "video", ".pdf"]


def add_to(app: typer.Typer) -> None:
    """Add the command of this file to the program."""
    codes = "Exit codes: 0 the page was ended, 2 it could not be served."
    command(app, "serve-demo", epilog=codes)(serve_demo)


def serve_demo(
    host: Annotated[str, typer.Option(help="the address to listen at")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="its port")] = 7860,
    *,
    model: ModelOptions,
    sampling: SamplingOptions,
) -> int:
    """Serve a page to talk with a model.

    It needs Gradio: pip install 'qwenvl-kit[demo]'. The page is for trying things: it knows no
    users. It opens only the files that it is given.
    """
    from qwenvl_kit.media.policy import MediaPolicy

    _gradio()  # before a model is loaded for nothing
    with tempfile.TemporaryDirectory(prefix="qwenvl_kit_demo_") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # where it keeps the files that it is given
        policy = MediaPolicy(allow_folders=[folder])
        with open_chat(model, policy) as chat:
            page = build_page(chat, sampling)
            say_dim("Ctrl-C ends the page")
            _launch(page, host, port)
    return 0


def build_page(chat: VisionChat, sampling: SamplingOptions) -> Any:
    """Return the page: a `gradio.ChatInterface` whose messages may hold files.

    Raises:
        MissingPackageError: Gradio is not installed.
    """
    gradio = _gradio()

    def answer(message: dict[str, Any], history: list[dict[str, Any]]) -> Iterator[str]:
        try:
            asked = [*messages_of(history), *messages_of([{"role": "user", "content": message}])]
            yield from _growing(chat, asked, sampling)
        except QwenVLKitError as error:
            raise gradio.Error(str(error), print_exception=False) from error

    return gradio.ChatInterface(
        answer,
        title=TITLE,
        multimodal=True,
        textbox=gradio.MultimodalTextbox(file_types=_KINDS, file_count="multiple"),
    )


def messages_of(history: list[dict[str, Any]]) -> list[Message]:
    """Return the messages of Gradio's history: dicts whose content is text, a file, or several.

    Args:
        history: dicts with role and content, as `gradio.ChatInterface` gives them.
    """
    from qwenvl_kit.messages.message import Message

    found = []
    for turn in history:
        parts = [*_parts(turn.get("content"))]
        if parts:
            is_answer = turn.get("role") == "assistant"
            found.append(Message.assistant(*parts) if is_answer else Message.user(*parts))
    return found


def _parts(content: Any) -> Iterator[Any]:
    from qwenvl_kit.messages.message import ImagePart, TextPart, VideoPart

    if isinstance(content, str):
        if content.strip():
            yield TextPart(content)
    elif isinstance(content, (list, tuple)):
        for each in content:
            yield from _parts(each)
    elif isinstance(content, dict) and "files" in content:  # a message of the multimodal box
        yield from _parts([_as_file(each) for each in content["files"]])
        yield from _parts(content.get("text"))
    elif isinstance(content, dict) and content.get("path"):
        path = str(content["path"])
        yield VideoPart(path) if is_film(path) else ImagePart(path)
    elif isinstance(content, dict):
        yield from _parts(content.get("text") or content.get("file"))


def _as_file(given: Any) -> Any:
    """A file of a message as a dict; Gradio gives paths."""
    return {"path": given} if isinstance(given, (str, Path)) else given


def _growing(chat: VisionChat, asked: list[Message], sampling: SamplingOptions) -> Iterator[str]:
    """The answer, each time that it grows."""
    text = ""
    settings = sampling_of(chat, sampling)
    with chat.stream(asked, sampling=settings, thinking=sampling.thinking) as stream:
        for delta in stream:
            text += delta.text
            yield text
        yield stream.reply.text


def _gradio() -> Any:
    """Gradio, told to send nothing to its makers.

    Raises:
        MissingPackageError: it is not installed.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        import gradio
    except ImportError as error:
        raise MissingPackageError(
            "the package gradio is not installed", hint="pip install 'qwenvl-kit[demo]'"
        ) from error
    return gradio


def _launch(page: Any, host: str, port: int) -> None:
    try:
        page.launch(server_name=host, server_port=port, share=False)
    except OSError as error:
        raise InputError(
            f"the page cannot be served: {error}", expected="--host and --port that are free"
        ) from error
