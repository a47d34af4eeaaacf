"""Text on terminals and in pipes: what models write steers no terminal, and JSON stays JSON."""

from __future__ import annotations

import json
import os
import re
import sys
import unicodedata
from contextlib import suppress
from typing import Any, TextIO

from qwenvl_kit.errors import InputError
from qwenvl_kit.safe_text import escaped

_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"
_KEPT = re.compile(r"([\n\t])")
_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that are escaped in JSON: those that `safe_text` escapes."""


def make_streams_tolerant() -> None:
    """Let output escape characters that its encoding does not have, in place of an error.

    The encoding itself stays: Windows pipes have one of their own (huggingface_hub issue 4609).
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def safe(text: str) -> str:
    """Return a text with its lines and tabs, and all other control characters escaped."""
    pieces = _KEPT.split(text.replace("\r\n", "\n"))
    return "".join(each if each in ("\n", "\t") else escaped(each) for each in pieces)


def write(text: str, end: str = "\n") -> None:
    """Write the safe form of a text to the standard output.

    Raises:
        InputError: it is closed, or its disk is full.
    """
    _put(f"{safe(text)}{end}")


def say(text: str, end: str = "\n") -> None:
    """Write the safe form of a text to the standard error."""
    _tell(f"{safe(text)}{end}")


def say_dim(text: str) -> None:
    """Write a remark to the standard error: dim where it shows colours."""
    shown = safe(text)
    _tell(f"{_DIM}{shown}{_PLAIN}\n" if has_colours(sys.stderr) else f"{shown}\n")


def write_json(value: Any, *, indent: int | None = None) -> None:
    """Write a value as JSON, in one line unless `indent` is given.

    Characters that control terminals are escaped as JSON has it, so that whoever parses the line
    gets the text as it was.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    is_narrow = not encoding.lower().replace("-", "").startswith("utf")
    text = json.dumps(value, ensure_ascii=is_narrow, default=str, indent=indent)
    _put("".join(map(_json_safe, text)) + "\n")


def _tell(text: str) -> None:
    """Write to the standard error, where there is one that can be written."""
    if sys.stderr is None:  # `print` would take the standard output in its place
        return
    with suppress(OSError):  # and nobody could be told
        sys.stderr.write(text)
        sys.stderr.flush()


def _put(text: str) -> None:
    """Write to the standard output at once.

    Raises:
        BrokenPipeError: the program that reads it has ended.
        InputError: it is closed, or its disk is full.
    """
    if sys.stdout is None:
        raise InputError("the standard output is closed", expected="a file, pipe or terminal")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(
            f"the standard output cannot be written: {error.strerror or error}",
            expected="a file with room on its disk, a pipe or a terminal",
        ) from error


def _json_safe(character: str) -> str:
    if character == "\n" or unicodedata.category(character) not in _STEERING:
        return character
    return json.dumps(character)[1:-1]


def has_colours(stream: TextIO | None) -> bool:
    """True if a stream is a terminal that may be given colours (https://no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and _term() != "dumb"


def is_terminal(stream: TextIO | None) -> bool:
    """True if a stream is a terminal; False for one that is closed."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def _term() -> str:
    return os.environ.get("TERM", "")
