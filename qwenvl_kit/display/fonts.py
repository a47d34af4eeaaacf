"""Fonts that have the characters of a text, found on this machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
import unicodedata
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from qwenvl_kit.errors import QwenVLKitWarning
from qwenvl_kit.safe_text import escaped

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

FOLDERS = (
    *("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts"),
    *("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts", "C:/Windows/Fonts"),
)
"""Folders of fonts on Linux, macOS and Windows."""

NAMES = (
    *("NotoSansCJK", "NotoSansSC", "SourceHanSans", "wqy-", "DroidSansFallback", "PingFang"),
    *("Hiragino", "STHeiti", "AppleSDGothic", "msyh", "simhei", "simsun", "YuGoth", "malgun"),
    *("Arial Unicode", "ArialUnicode", "unifont", "NotoSans-", "DejaVuSans.", "Arial.", "arial."),
)
"""Beginnings of the names of files that are tried, the best first."""

_SUFFIXES = frozenset({".ttf", ".ttc", ".otf", ".otc"})
_MOST_TRIED = 40
_UNKNOWN = "\U0010fffe"
"""A character that no font has; its shape is that of every character that is missing."""

HINT = (
    "`apt-get install fonts-noto-cjk` (Debian, Ubuntu), `dnf install google-noto-sans-cjk-fonts` "
    "(Fedora) or font=... with the path of a font file"
)
"""The cure for a missing font."""


def font_for(text: str, size_px: int, path: str | None = None) -> FreeTypeFont:
    """Return a font for a text: Pillow's own, or one of this machine that has its characters.

    A warning says if no font has them; they are then drawn as boxes.

    Args:
        text: the text.
        size_px: the height of the font.
        path: the file of a font that is used in any case; None looks for one.

    Raises:
        OSError: the file at `path` is no font.
    """
    if path is not None:
        return _opened(path, size_px)
    wanted = _unusual(text)
    if not wanted:
        return _default(size_px)
    found = _font_with(wanted)
    if found is None or not found.has_all:
        _warn(wanted, "" if found is None else "all of ")
    return _default(size_px) if found is None else _opened(found.path, size_px, found.index)


def _unusual(text: str) -> str:
    """The characters that Pillow's own font does not have, each once and sorted."""
    return "".join(sorted(_missing(_default(16), text)))


def _missing(font: FreeTypeFont, text: str) -> set[str]:
    """The characters of a text that a font does not have; spaces and marks do not count."""
    none = bytes(font.getmask(_UNKNOWN))
    drawn = {char for char in text if ord(char) > 126 and unicodedata.category(char)[0] in "LNPS"}
    return {char for char in drawn if bytes(font.getmask(char)) == none}


@dataclass(frozen=True)
class _Found:
    """A font file, the index of the font in it, and True if it has all that was wanted."""

    path: str
    index: int
    has_all: bool


@lru_cache(maxsize=256)
def _font_with(wanted: str) -> _Found | None:
    """A font that has all characters, or else one that has the most; None if none has any."""
    best, fewest = None, len(wanted)
    for path, index in _candidates(wanted):
        try:
            lacking = len(_missing(_opened(path, 16, index), wanted))
        except (OSError, ValueError):  # a bitmap font, or none at all
            continue
        if lacking < fewest:
            best, fewest = _Found(path, index, has_all=not lacking), lacking
        if not fewest:
            break
    return best


def _candidates(wanted: str) -> Iterator[tuple[str, int]]:
    listed = list(_listed(wanted))
    yield from listed[:_MOST_TRIED]
    if not listed:
        yield from ((str(path), 0) for path in _files()[:_MOST_TRIED])


def _listed(wanted: str) -> Iterator[tuple[str, int]]:
    """The fonts with these characters that fontconfig knows, regular ones first."""
    program = shutil.which("fc-list")
    if program is None:
        return
    characters = " ".join(f"{ord(char):x}" for char in wanted[:64])
    command = [program, "-f", "%{style}\\t%{index}\\t%{file}\\n", f":charset={characters}"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return
    rows = [line.split("\t") for line in answer.stdout.splitlines() if line.count("\t") == 2]
    ranked = sorted((row for row in rows if Path(row[2]).suffix.lower() in _SUFFIXES), key=_rank)
    for _, index, path in ranked:
        yield path, int(index) & 0xFFFF if index.isdigit() else 0


def _rank(row: list[str]) -> tuple[bool, int, str]:
    name = Path(row[2]).name
    known = (at for at, start in enumerate(NAMES) if name.startswith(start))
    return "Regular" not in row[0] and "Book" not in row[0], next(known, len(NAMES)), name


@lru_cache(maxsize=1)
def _files() -> list[Path]:
    """The font files in known folders, the best known names first; none of others."""
    found = [
        (at, path)
        for folder in FOLDERS
        for path in sorted(Path(folder).expanduser().rglob("*"))
        for at, start in enumerate(NAMES)
        if path.name.startswith(start) and path.suffix.lower() in _SUFFIXES
    ]
    return [path for _, path in sorted(found)]


@lru_cache(maxsize=64)
def _opened(path: str, size_px: int, index: int = 0) -> FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.truetype(path, size_px, index)


@lru_cache(maxsize=64)
def _default(size_px: int) -> FreeTypeFont:
    from PIL import ImageFont

    font = ImageFont.load_default(size_px)
    if not isinstance(font, ImageFont.FreeTypeFont):  # Pillow was built without FreeType
        raise OSError("Pillow has no FreeType, and so no fonts")
    return font


def _warn(wanted: str, share: str) -> None:
    shown = escaped(wanted[:12])
    warnings.warn(
        f"no font of this machine ({sys.platform}) has {share}the characters {shown}; they are "
        f"drawn as boxes. Try: {HINT}",
        QwenVLKitWarning,
        stacklevel=3,
    )
