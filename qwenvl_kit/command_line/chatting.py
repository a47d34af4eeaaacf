"""The command `chat`: a conversation in the terminal, turn by turn."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from qwenvl_kit.command_line.answers import remark_on, write_confidence
from qwenvl_kit.command_line.asking import stream_reply
from qwenvl_kit.command_line.loading import open_chat
from qwenvl_kit.command_line.options import ModelOptions, OutputOptions, SamplingOptions
from qwenvl_kit.command_line.running import command
from qwenvl_kit.command_line.sources import (
    STDIN,
    Source,
    check_question,
    read_sources,
    user_message,
)
from qwenvl_kit.command_line.terminal import is_terminal, say, say_dim
from qwenvl_kit.errors import InputError, MediaError, MediaNotFoundError, QwenVLKitError

if TYPE_CHECKING:
    from qwenvl_kit.chat import VisionChat
    from qwenvl_kit.messages.message import Message

PROMPT, CONTINUED = ">>> ", "... "
HELP = (
    "/image PATH  shows a picture, film or document with the next question",
    "/reset       begins a new conversation",
    "/quit        ends the program, as Ctrl-D does; Ctrl-C ends an answer",
    'A line that is only """ begins and ends a question of several lines.',
)
_SHOW = ("/image", "/film", "/file")
_END = ("/quit", "/exit", "/bye")
_BLOCK = '"""'


def add_to(app: typer.Typer) -> None:
    """Add the command of this file to the program."""
    codes = "Exit codes: 0 the conversation ended, 2 it could not begin."
    command(app, epilog=codes)(chat)


def chat(
    media: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MEDIA",
            help="pictures, films or documents that the first question is about",
            show_default=False,
        ),
    ] = None,
    system: Annotated[
        str | None, typer.Option(metavar="TEXT", help="instructions for all of it")
    ] = None,
    *,
    model: ModelOptions,
    sampling: SamplingOptions,
    shown: OutputOptions,
) -> int:
    """Talk with a model, in turns."""
    if shown.as_json:
        raise InputError("--json was given", expected="it with `ask`, which answers once")
    if STDIN in (media or ()):
        raise InputError("- was given", expected="files: the standard input has the questions")
    sources = read_sources(media or (), allows_web=model.web)
    with open_chat(model) as loaded:
        talk = Talk(loaded, model, sampling, shown, system)
        talk.show(sources)
        if is_terminal(sys.stdin):
            _enable_line_editing()
            say_dim(f"{model.model or 'The embedded model'} is ready; /help tells more")
        while talk.take_turn():
            pass
    return 0


class Talk:
    """A conversation in a terminal.

    Args:
        loaded: the chat that answers.
        model: the options of the model.
        sampling: the options of generation.
        shown: the form of answers.
        system: the instructions for all of it.
    """

    def __init__(
        self,
        loaded: VisionChat,
        model: ModelOptions,
        sampling: SamplingOptions,
        shown: OutputOptions,
        system: str | None,
    ) -> None:
        self._chat, self._sampling, self._shown = loaded, sampling, shown
        self._allows_web, self._system = model.web, system
        self._sources: list[Source] = []
        self._messages = self._beginning()

    def show(self, sources: Sequence[Source]) -> None:
        """Show sources with the next question."""
        self._sources += sources
        for source in sources:
            say_dim(f"{source.name} is shown with the next question")

    def take_turn(self) -> bool:
        """Read a line and do what it says; False at the end of the conversation."""
        try:
            line = _read_line()
        except EOFError:
            if is_terminal(sys.stdin):
                say("")  # the shell's prompt begins a line of its own
            return False
        except KeyboardInterrupt:
            say("")
            say_dim("/quit or Ctrl-D ends the program")
            return True
        try:
            return self._obey(line)
        except QwenVLKitError as error:
            say(str(error))
            if isinstance(error, MediaError) and self._sources:
                self._sources = []  # else each further question would fail by it
                say_dim("what was to be shown is put aside; /image shows it again")
        except KeyboardInterrupt:
            say("")
        return True

    def _obey(self, line: str) -> bool:
        word, _, rest = line.strip().partition(" ")
        if word in _END:
            return False
        if word == "/reset":
            self._messages, self._sources = self._beginning(), []
            say_dim("a new conversation")
        elif word in _SHOW:
            self.show(find_files(rest, allows_web=self._allows_web))
        elif word.startswith("/") and os.path.lexists(_unquoted(line.strip())):
            self.show(find_files(line, allows_web=self._allows_web))
        elif word in ("/help", "/?"):
            say("\n".join(HELP))
        elif word.startswith("/"):
            say(f"There is no command {word}; /help tells those there are")
        elif word:
            self._ask(line)
        return True

    def _ask(self, question: str) -> None:
        """Ask the next question; if it fails, the conversation stays as it was."""
        from qwenvl_kit.messages.message import Message

        asked = (*self._messages, user_message(check_question(question), self._sources))
        reply = stream_reply(self._chat, asked, self._sampling)
        write_confidence(reply.confidence, self._shown)
        remark_on(reply)
        self._sources = []
        if reply.text.strip():  # else nothing was said before it was ended
            self._messages = (*asked, Message.assistant(reply.text))

    def _beginning(self) -> tuple[Message, ...]:
        from qwenvl_kit.messages.message import Message

        return () if self._system is None else (Message.system(self._system),)


def find_files(text: str, *, allows_web: bool = False) -> list[Source]:
    """Return the sources that a line of `/image` names.

    A path may hold spaces, stand in quotes, or have its spaces escaped, as terminals write a file
    that is dragged into them. Several are written as a shell would have them.

    Raises:
        InputError: it names none.
        MediaNotFoundError: there is no such file.
    """
    text = text.strip()
    if not text:
        raise InputError("/image was given without a file", expected="/image photo.jpg")
    if text == STDIN:
        raise InputError("- was given", expected="a file: the standard input has the questions")
    for whole in (text, _unquoted(text)):
        if os.path.lexists(os.path.expanduser(whole)):
            return read_sources([whole], allows_web=allows_web)
    sources = read_sources(_words(text), allows_web=allows_web)
    for source in sources:
        _check_exists(source.name)
    return sources


def _check_exists(name: str) -> None:
    """Refuse a file that is not there at once, and not only with the next question."""
    is_file = "://" not in name and not name.startswith("data:")
    if is_file and not os.path.exists(os.path.expanduser(name)):
        raise MediaNotFoundError(
            f"there is no file {name!r}", expected="/image and the path of a file"
        )


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # a quote that is not closed
        return [text]


def _unquoted(text: str) -> str:
    words = _words(text)
    return words[0] if len(words) == 1 else text


def _read_line() -> str:
    """The next question: a line, or the lines between two of three quotes."""
    is_shown = is_terminal(sys.stdin)
    line = input(PROMPT if is_shown else "")
    if line.strip() != _BLOCK:
        return line
    lines: list[str] = []
    while (line := input(CONTINUED if is_shown else "")).strip() != _BLOCK:
        lines.append(line)
    return "\n".join(lines)


def _enable_line_editing() -> None:
    with suppress(ImportError):  # Windows has its own
        import readline  # noqa: F401  # `input` uses it when it is there
