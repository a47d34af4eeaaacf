"""The tags and texts of HTML, in one pass, with their positions.

Parsers of HTML do not tell where in the text an element stands, which the scores of its tokens
need; and Python's own takes time that grows with the square of a text that is made to do harm
(CVE-2025-6069). Each step here goes on from where the last one ended.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import unescape
from types import MappingProxyType
from typing import Literal

HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
LISTS = frozenset({"ul", "ol", "dl"})

_CONTAINERS = "html body div section article main nav aside center form details summary fieldset"
_BLOCKS = "p blockquote address table pre figure header footer hr img"
_INLINES = (
    "a abbr b bdi bdo big br button cite code col colgroup data dd del dfn dt em figcaption font i "
    "input ins kbd label legend li link mark math meta option output picture q rp rt ruby s samp "
    "select small source span strike strong sub sup svg tbody td textarea tfoot th thead time tr "
    "tt u var caption noscript"
)
_VOIDS = "area base br col embed hr img input link meta source wbr"

CONTAINERS = frozenset(_CONTAINERS.split())
"""Elements that are no block by themselves."""

BLOCKS = HEADINGS | LISTS | CONTAINERS | frozenset(_BLOCKS.split())
"""Elements that end the text before them."""

_SKIPPED = frozenset({"style", "script", "head", "title"})
"""Elements whose content is no text of the page."""

VOID = frozenset(_VOIDS.split())
"""Elements without an end (HTML standard, "Void elements")."""

_KNOWN = BLOCKS | frozenset(_INLINES.split()) | _SKIPPED | VOID

_TAG = re.compile(
    r"""<(/?)([A-Za-z][A-Za-z0-9]*)\b
        ([^<>"']*(?:(?:"[^"<]*"|'[^'<]*')[^<>"']*)*)>""",
    re.VERBOSE,
)
_TAG_WITH_STRAY_QUOTE = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)\b([^<>]*)>")
_ATTRIBUTE = re.compile(r"""([A-Za-z_:][\w:.-]{0,60})\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_STRAY_ATTRIBUTE = re.compile(r"""([A-Za-z_:][\w:.-]{0,60})\s*=\s*["']?([^"'=<>]{1,200})""")

PieceKind = Literal["text", "open", "close"]


@dataclass(frozen=True)
class Piece:
    """A tag, or the text between two tags.

    Attributes:
        kind: "text", "open" or "close".
        start, stop: its position.
        name: the name of a tag in small letters.
        text: the text, with entities replaced.
        attributes: the attributes of a tag; the names are in small letters.
        attribute_places: the position of the value of each attribute.
    """

    kind: PieceKind
    start: int
    stop: int
    name: str = ""
    text: str = ""
    attributes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    attribute_places: Mapping[str, tuple[int, int]] = field(
        default_factory=lambda: MappingProxyType({})
    )


def scan_markup(text: str, start: int, stop: int) -> Iterator[Piece]:
    """Yield the tags and texts between two positions; comments and styles are left out.

    A tag that HTML does not know is text, as in `List<String>`.
    """
    scanner = _Scanner(text, stop)
    at = before = start
    while (at := text.find("<", at, stop)) >= 0:
        found = scanner.tag_at(at)
        if found is None:
            at += 1
            continue
        if before < at:
            yield Piece("text", before, at, text=unescape(text[before:at]))
        piece, at = found
        before = at
        if piece is not None:
            yield piece
    if before < stop:
        yield Piece("text", before, stop, text=unescape(text[before:stop]))


class _Scanner:
    """Finds what begins with a `<`; remembers what does not come any more."""

    def __init__(self, text: str, stop: int) -> None:
        self._text, self._stop = text, stop
        self._missing: set[str] = set()

    def tag_at(self, at: int) -> tuple[Piece | None, int] | None:
        """The tag at a position, None for one that is skipped, and where it ends; else None."""
        if self._text.startswith("<!--", at):
            end = self._after("-->", at + 4)
            return (None, end) if end else None
        if self._text.startswith(("<!", "<?"), at):
            end = self._text.find(">", at, min(self._stop, at + 200))
            return (None, end + 1) if end >= 0 else None
        found = _TAG.match(self._text, at, self._stop) or _TAG_WITH_STRAY_QUOTE.match(
            self._text, at, self._stop
        )
        name = found[2].lower() if found else ""
        if found is None or name not in _KNOWN:
            return None
        if name in _SKIPPED:
            end = 0 if found[1] else self._after(f"</{name}>", found.end())
            return None, end or found.end()
        return self._piece(found, name), found.end()

    def _after(self, mark: str, at: int) -> int:
        """The position after the next of these marks; 0 if there is none."""
        if mark in self._missing:
            return 0
        end = self._text.find(mark, at, self._stop)
        if end < 0:
            self._missing.add(mark)
            return 0
        return end + len(mark)

    @staticmethod
    def _piece(found: re.Match[str], name: str) -> Piece:
        if found[1]:
            return Piece("close", found.start(), found.end(), name)
        values: dict[str, str] = {}
        places: dict[str, tuple[int, int]] = {}
        offset = found.start(3)
        is_sound = found[3].count('"') % 2 == 0
        pattern = _ATTRIBUTE if is_sound else _STRAY_ATTRIBUTE
        for each in pattern.finditer(found[3]):
            group = next(at for at in range(2, (each.lastindex or 2) + 1) if each[at] is not None)
            key = each[1].lower()
            if key not in values:
                values[key] = unescape(each[group])
                places[key] = (offset + each.start(group), offset + each.end(group))
        return Piece("open", found.start(), found.end(), name, "", values, places)
