"""Units of a PDF's pages, which PDFium does not report.

A page may state that its units are larger than 1/72 inch (`/UserUnit`, ISO 32000-1, table 30).
Plans and maps do so, as a side is at most 14,400 units long. PDFium has no function for it, but
copies the entry with a page: it is easily found in a document of one page that PDFium has written.
"""

from __future__ import annotations

import io
import math
import re
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Any

_ENTRY = b"/UserUnit"
_PACKED = b"/ObjStm"
"""The type of a stream of objects (ISO 32000-1, 7.5.7)."""

_MAX_PACKED_BYTES = 2**20
"""Most bytes of such a stream that are searched: far more than its pages take."""

_MAX_STREAMS = 1000
_MAX_DICTIONARY_BYTES = 4096

_MAX_UNIT = 75_000.0
"""The largest unit that PDF's authors mention (ISO 32000-1, table 30, in its first edition)."""


def may_have_units(content: bytes) -> bool:
    """True if a page of a document may have its own units; True if that cannot be seen."""
    if _ENTRY in content:
        return True
    starts = [*islice(_starts(content), _MAX_STREAMS + 1)]
    if not starts:
        return False
    if len(starts) > _MAX_STREAMS or b"/Encrypt" in content:
        return True
    return any(_may_hold_entry(content, start) for start in starts)


def user_unit(document: Any, number: int) -> float:
    """Return the unit of a page in 1/72 inch; 1.0 if it states none, or an invalid one.

    Args:
        document: a document of pypdfium2.
        number: the number of the page, from 1 on.

    Raises:
        PdfiumError: the page is damaged.
    """
    copied, written = type(document).new(), io.BytesIO()
    try:
        copied.import_pages(document, [number - 1])
        copied.save(written)
    finally:
        copied.close()
    return _unit_of(_Written(written.getvalue()))


def _starts(content: bytes) -> Iterator[int]:
    """Positions of the types of all object streams."""
    start = content.find(_PACKED)
    while start >= 0:
        yield start
        start = content.find(_PACKED, start + 1)


def _may_hold_entry(content: bytes, start: int) -> bool:
    """True if the object stream whose type stands at `start` holds units, or may hold some."""
    stream = content.find(b"stream", start, start + _MAX_DICTIONARY_BYTES)
    if stream < 0 or b"/Predictor" in content[max(0, start - 512) : stream]:
        return True
    packed = memoryview(content)[stream + len(b"stream") :][: _MAX_PACKED_BYTES + 2]
    unpack = zlib.decompressobj()
    try:
        objects = unpack.decompress(bytes(packed).lstrip(b"\r\n"), _MAX_PACKED_BYTES)
    except zlib.error:  # another filter, or none
        return True
    return _ENTRY in objects or not unpack.eof


def _unit_of(written: _Written) -> float:
    tree = written.object(written.reference(written.object(1), b"/Pages"))
    page = written.object(written.reference(tree, rb"/Kids\s*\["))
    if _ENTRY not in page:
        return 1.0
    elsewhere = written.reference(page, _ENTRY)
    number = written.object(elsewhere) if elsewhere else page.partition(_ENTRY)[2]
    found = re.match(rb"\s*([0-9]*\.?[0-9]+)", number)
    unit = float(found[1]) if found else 1.0
    return unit if math.isfinite(unit) and 0 < unit <= _MAX_UNIT else 1.0


class _Written:
    """A document that PDFium has written: separate objects, and a table of their positions."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        table = content[content.rindex(b"xref\r\n", 0, content.rindex(b"startxref")) :]
        self._starts = [int(entry) for entry in re.findall(rb"(\d{10}) \d{5} [nf]", table)]

    def object(self, number: int) -> bytes:
        """Return the text of an object, without a content stream after it."""
        if not 0 < number < len(self._starts):
            return b""
        start = self._starts[number]
        text = self._content[start : self._content.index(b"endobj", start)]
        return text.partition(b"obj")[2].partition(b"stream")[0]

    def reference(self, text: bytes, name: bytes) -> int:
        """Return the number of the object that an entry refers to; 0 for none."""
        found = re.search(name + rb"\s*(\d+) \d+ R", text)
        return int(found[1]) if found else 0
