"""The arguments that name pictures, films, documents and text: files, patterns, URLs, the input."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qwenvl_kit.errors import InputError, MediaForbiddenError, MediaNotFoundError
from qwenvl_kit.safe_text import shown

if TYPE_CHECKING:
    from qwenvl_kit.messages.message import ImagePart, Message, TextPart, VideoPart

    Part = ImagePart | VideoPart | TextPart

STDIN = "-"

FILM_ENDINGS = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts"),
        *(".mts", ".wmv", ".flv", ".3gp", ".ogv"),
    )
)
"""Endings of files that are shown as films."""

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://|data:")
_WEB = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """A picture, film, document or text that an argument names.

    Attributes:
        name: the argument, or the file that its pattern found.
        part: the part of a message that shows it.
    """

    name: str
    part: Part


def read_question(text: str) -> str:
    """Return the question that an argument gives; `-` is the text of the standard input.

    Raises:
        InputError: it is empty, or the standard input is no text.
    """
    if text != STDIN:
        return check_question(text)
    content = _input_bytes()
    found = _as_text(content)
    if found is not None:
        return check_question(found.strip())
    raise InputError(
        f"the standard input, {len(content)} bytes, is no text",
        expected="the question as UTF-8 text",
        hint="the question as an argument, and - after it for a picture",
    )


def check_question(question: str) -> str:
    """Return a question that holds text.

    Raises:
        InputError: it is empty, or holds bytes that are no text.
    """
    if not question.strip():
        raise InputError("the question is empty", expected="a question")
    if any("\ud800" <= character <= "\udfff" for character in question):
        raise InputError("the question holds bytes that are no text", expected="UTF-8")
    return question


def read_sources(
    arguments: Iterable[str], *, question: str = "", allows_web: bool = False
) -> list[Source]:
    """Return the sources that arguments name, in their order.

    Patterns such as `photos/*.jpg` are replaced by the files that they find, in order of their
    names; `-` is the standard input: text, or the bytes of a picture, film or document.

    Args:
        arguments: the arguments.
        question: the argument of the question, which may have taken the standard input.
        allows_web: True if URLs may be fetched.

    Raises:
        InputError: the standard input is to be read twice.
        MediaNotFoundError: a pattern finds no file.
        MediaForbiddenError: a URL was given, and nothing may be fetched.
    """
    names = [name for argument in arguments for name in _expanded(argument)]
    if [question, *names].count(STDIN) > 1:
        raise InputError(
            f"{STDIN} was given twice", expected="it once, as the input can be read only once"
        )
    return [_source(name, allows_web) for name in names]


def read_pictures(
    arguments: Iterable[str], *, with_films: bool = False, allows_web: bool = False
) -> list[Source]:
    """Return the sources that arguments name, which must be pictures or documents, or films too.

    Raises:
        InputError: one is a text or a film; and as `read_sources` does.
    """
    from qwenvl_kit.messages.message import ImagePart, VideoPart

    sources = read_sources(arguments, allows_web=allows_web)
    kinds = (ImagePart, VideoPart) if with_films else ImagePart
    for source in sources:
        if not isinstance(source.part, kinds):
            found = "a film" if isinstance(source.part, VideoPart) else "a text"
            wanted = "a picture or film" if with_films else "a picture"
            raise InputError(f"{source.name} is {found}", expected=wanted)
    return sources


def user_message(question: str, sources: Iterable[Source]) -> Message:
    """Return the message of a question: the sources in their order, and then the question."""
    from qwenvl_kit.messages.message import Message

    return Message.user(*(source.part for source in sources), question)


def is_film(name: str) -> bool:
    """True if a file is shown as a film: by the ending of its name, or else by its first bytes."""
    if Path(name.partition("?")[0]).suffix.lower() in FILM_ENDINGS:
        return True
    return not _URL.match(name) and _begins_as_film(_first_bytes(name))


def _expanded(argument: str) -> Sequence[str]:
    """The files that a pattern finds; what is no pattern, or a file as it stands, is kept."""
    if not argument:
        raise InputError("an empty name was given", expected="a file, a pattern or -")
    path = os.path.expanduser(argument)
    if argument == STDIN or _URL.match(argument) or os.path.lexists(path):
        return [argument]
    if not glob.has_magic(path):
        return [argument]
    found = sorted(each for each in glob.glob(path, recursive=True) if not os.path.isdir(each))
    if not found:
        raise MediaNotFoundError(
            f"no file matches {shown(argument)}", expected="a file, or a pattern that finds some"
        )
    return found


def _source(name: str, allows_web: bool) -> Source:
    from qwenvl_kit.messages.message import ImagePart, VideoPart

    if name == STDIN:
        return Source(name, _input_part())
    if _WEB.match(name) and not allows_web:
        raise MediaForbiddenError(
            f"the source {shown(name)} is on the network",
            expected="a file",
            hint="--web, which fetches from public hosts",
        )
    return Source(name, VideoPart(name) if is_film(name) else ImagePart(name))


def _input_part() -> Part:
    from qwenvl_kit.messages.message import ImagePart, TextPart, VideoPart

    content = _input_bytes()
    if _begins_as_film(content[:64]):
        return VideoPart(content)
    text = _as_text(content)
    if text is None or content.lstrip().startswith(b"%PDF-"):
        return ImagePart(content)
    return TextPart(f"{text.rstrip()}\n\n")


def _input_bytes() -> bytes:
    """All bytes of the standard input."""
    stream = None if sys.stdin is None else getattr(sys.stdin, "buffer", None)
    content = b"" if stream is None else stream.read()
    if not content:
        raise InputError("the standard input is empty", expected="text, or a picture's bytes")
    return content


def _as_text(content: bytes) -> str | None:
    """The bytes as text; None if they are none."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _first_bytes(name: str) -> bytes:
    """The first bytes of a file; none of anything else, as a pipe may never give any."""
    path = os.path.expanduser(name)
    try:
        if not os.path.isfile(path):
            return b""
        with open(path, "rb") as file:
            return file.read(64)
    except (OSError, ValueError):  # the media boundary says what is wrong with it
        return b""


def _begins_as_film(start: bytes) -> bool:
    from qwenvl_kit.media.signatures import is_video

    return is_video(start)
