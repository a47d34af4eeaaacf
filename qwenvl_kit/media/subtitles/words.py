"""The words of a line of subtitles, without the marks of style that formats put into it."""

from __future__ import annotations

import html
import re

_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<[0-9][0-9:.]*>|</>")
"""Marks of SubRip and WebVTT: `<i>`, `<font color="white">`, `<v Anna>`, `<00:01.500>`."""

_BRACES = re.compile(r"(\{[^{}]*\})")
"""Marks of SubStation, which hides whatever stands in braces."""

_OVERRIDE = re.compile(r"\{\\[^{}]*\}")
"""The same in SubRip, where players read such marks and show other braces."""

_BREAKS = re.compile(r"\\[Nnh]")
_DRAWING = re.compile(r"\\p([0-9])")
"""The mark after which SubStation draws: coordinates stand in place of words, up to `\\p0`."""

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
"""Controls and marks of text direction, which no word needs."""

_MOST_CHARACTERS = 2000
"""The most characters of one line of subtitles; nobody reads more in its time."""


def plain_words(text: str) -> str:
    """Return the words of a line of SubRip or WebVTT."""
    return _clean(html.unescape(_OVERRIDE.sub("", _TAG.sub("", _shortened(text)))))


def substation_words(text: str) -> str:
    """Return the words of a line of SubStation; empty for a drawing."""
    words, is_drawing = [], False
    for piece in _BRACES.split(_shortened(text)):
        if piece[:1] == "{" and piece[-1:] == "}":
            scales = _DRAWING.findall(piece)
            is_drawing = scales[-1] != "0" if scales else is_drawing
        elif not is_drawing:
            words.append(piece)
    return _clean("".join(words))


def _shortened(text: str) -> str:
    """The text, cut where it is longer than marks and words of one line can be."""
    return text if len(text) <= 4 * _MOST_CHARACTERS else text[: 4 * _MOST_CHARACTERS]


def _clean(text: str) -> str:
    return " ".join(_CONTROLS.sub("", _BREAKS.sub(" ", text)).split())[:_MOST_CHARACTERS]
