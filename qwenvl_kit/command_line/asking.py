"""The commands `ask` and `describe`, and the asking that other commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from qwenvl_kit.command_line.answers import write_reply
from qwenvl_kit.command_line.batches import ask_each, check_batch_options
from qwenvl_kit.command_line.loading import open_chat, sampling_of
from qwenvl_kit.command_line.options import (
    BatchOptions,
    ModelOptions,
    OutputOptions,
    SamplingOptions,
)
from qwenvl_kit.command_line.running import ENDED_BY_INTERRUPT, command
from qwenvl_kit.command_line.sources import (
    Source,
    read_pictures,
    read_question,
    read_sources,
    user_message,
)
from qwenvl_kit.command_line.terminal import is_terminal, write

if TYPE_CHECKING:
    from qwenvl_kit.chat import VisionChat
    from qwenvl_kit.messages.message import Message
    from qwenvl_kit.results import Reply

MediaArguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MEDIA",
        help="pictures, films (by their ending), documents, patterns in quotes, or - for the "
        "standard input",
        show_default=False,
    ),
]
SourceArguments = Annotated[
    list[str],
    typer.Argument(metavar="MEDIA", help="pictures or films, patterns in quotes, or -"),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file to the program."""
    command(app)(ask)
    command(app)(describe)


def ask(
    question: Annotated[
        str, typer.Argument(metavar="QUESTION", help="the question, or - for the standard input")
    ],
    media: MediaArguments = None,
    *,
    model: ModelOptions,
    sampling: SamplingOptions,
    shown: OutputOptions,
    batch: BatchOptions,
) -> int:
    """Ask about pictures, films and documents.

    Without MEDIA the question is about nothing but its own words. Where the answer goes to a
    terminal it is shown while it comes, thoughts included.
    """
    sources = read_sources(media or (), question=question, allows_web=model.web)
    text = read_question(question)
    return ask_about(
        sources, lambda _: text, model=model, sampling=sampling, shown=shown, batch=batch
    )


def describe(
    media: SourceArguments,
    detail: Annotated[
        Literal["short", "standard", "detailed"], typer.Option(help="the length")
    ] = "standard",
    focus: Annotated[
        str | None, typer.Option(metavar="WORDS", help="the things to pay attention to")
    ] = None,
    language: Annotated[
        Literal["en", "zh"], typer.Option(help="the language of question and answer")
    ] = "en",
    *,
    model: ModelOptions,
    sampling: SamplingOptions,
    shown: OutputOptions,
    batch: BatchOptions,
) -> int:
    """Describe a picture or film.

    Of several, each is described by itself.
    """
    from qwenvl_kit.tasks.describe import question_about

    sources = read_pictures(media, with_films=True, allows_web=model.web)

    def question(source: Source | None) -> str:
        part = None if source is None else source.part
        return question_about(part, detail=detail, focus=focus, language=language)

    batch = one_or_each(sources, batch)
    return ask_about(sources, question, model=model, sampling=sampling, shown=shown, batch=batch)


def one_or_each(sources: Sequence[Source], batch: BatchOptions) -> BatchOptions:
    """Return the options of a batch for a command that takes one source: several are a batch."""
    return replace(batch, each=True) if len(sources) > 1 else batch


def ask_about(
    sources: Sequence[Source],
    question: Callable[[Source | None], str],
    *,
    model: ModelOptions,
    sampling: SamplingOptions,
    shown: OutputOptions,
    batch: BatchOptions,
) -> int:
    """Ask about all sources together, or about each of them, and write what is answered.

    Args:
        sources: the sources.
        question: gives the question about a source; None stands for no source.
        model: the options of the model.
        sampling: the options of generation.
        shown: the form of the answers.
        batch: the options of a batch.

    Returns:
        The exit code.

    Raises:
        QwenVLKitError: nothing could be asked, or the one question was not answered.
    """
    check_batch_options(batch, len(sources))
    with open_chat(model) as chat:
        if batch.each:
            return ask_each(chat, question, sources, sampling=sampling, options=batch, shown=shown)
        asked = user_message(question(sources[0] if sources else None), sources)
        if is_terminal(sys.stdout) and not shown.as_json:
            reply = stream_reply(chat, [asked], sampling)
            write_reply(reply, shown, is_written=True)
            return ENDED_BY_INTERRUPT if reply.finish_reason == "cancelled" else 0
        settings = sampling_of(chat, sampling)
        write_reply(chat.ask([asked], sampling=settings, thinking=sampling.thinking), shown)
    return 0


def stream_reply(chat: VisionChat, messages: Sequence[Message], sampling: SamplingOptions) -> Reply:
    """Write an answer to the standard output while it comes, thoughts included, and return it.

    Ctrl-C ends the answer: it is returned as far as it came, with finish reason "cancelled".
    """
    settings = sampling_of(chat, sampling)
    with chat.stream(messages, sampling=settings, thinking=sampling.thinking) as stream:
        try:
            for delta in stream:
                write(delta.text, end="")
        except KeyboardInterrupt:
            stream.cancel()
        reply = stream.reply
    write("")
    return reply
