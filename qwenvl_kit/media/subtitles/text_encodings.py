"""The encoding of a subtitle file, which no such format names."""

from __future__ import annotations

import codecs
import re

from qwenvl_kit.errors import InputError, MediaDecodeError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HIGH_RUN = re.compile(rb"[\x80-\xff]+")
_MOSTLY = 0.95
"""The share of runs of high bytes whose length is even, from which a text counts as Chinese."""

_SAMPLE_BYTES = 2**16


def decode_text(data: bytes, encoding: str | None = None) -> tuple[str, str]:
    """Return a text, and the encoding that was guessed; an empty one if it is certain.

    A mark at the beginning decides, then UTF-16 if every other byte is 0, then UTF-8 if all bytes
    are valid. What is left is GB18030, as most Chinese files are, or Windows-1252, as most files of
    Western Europe are: in the first, letters that are not ASCII take two bytes each.

    Args:
        data: the bytes.
        encoding: the encoding, by its name in Python; None to find it.

    Raises:
        InputError: there is no such encoding.
        MediaDecodeError: the bytes are not in the encoding that was given.
    """
    if encoding is not None:
        return _decoded(data, encoding), ""
    name = _certain_encoding(data)
    if name:
        return data.decode(name, "replace"), ""
    name, known_as = ("gb18030", "GB18030") if _is_chinese(data) else ("cp1252", "Windows-1252")
    return data.decode(name, "replace"), known_as


def _certain_encoding(data: bytes) -> str:
    """The encoding that a mark, the zeros of UTF-16 or valid UTF-8 tell; empty if none does."""
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), "")
    wide = "" if marked else _wide_encoding(data)
    if marked or wide:
        return marked or wide
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return "utf-8"


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except (LookupError, TypeError, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise MediaDecodeError(
                f"the subtitles are not in {encoding}: byte {error.start} cannot be read",
                expected="the encoding in which they were saved",
                hint="encoding=None finds it",
            ) from error
        raise InputError(
            f"encoding={encoding!r} was given", expected="an encoding of Python, such as 'big5'"
        ) from error


def _wide_encoding(data: bytes) -> str:
    """The byte order of UTF-16 without a mark; empty if it is none."""
    sample = data[: _SAMPLE_BYTES - _SAMPLE_BYTES % 2]
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = max(1, len(sample) // 2)
    # Times, numbers and line ends are ASCII in every language: a third of the characters or more.
    if odd > 0.3 * half and even < 0.05 * half:
        return "utf-16-le"
    if even > 0.3 * half and odd < 0.05 * half:
        return "utf-16-be"
    return ""


def _is_chinese(data: bytes) -> bool:
    sample = data[:_SAMPLE_BYTES]
    runs = [len(run) for run in _HIGH_RUN.findall(sample)]
    if not runs or sum(length % 2 == 0 for length in runs) < _MOSTLY * len(runs):
        return False
    try:
        sample[: sample.rfind(b"\n") + 1 or None].decode("gb18030")
    except UnicodeDecodeError:
        return False
    return True
