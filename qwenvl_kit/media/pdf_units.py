"""How large the units of a PDF's pages are, which PDFium does not tell.

A page may say that its units are larger than 1/72 inch (`/UserUnit`, ISO 32000-1, table 30): plans
and maps do, as a side holds at most 14,400 of them. PDFium has no function for it, but copies the
entry with a page: in a document of one page, written by itself, it is easily found.
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
"""What of such a stream is looked at: far more than the pages of one."""

_MAX_STREAMS = 1000
_MAX_DICTIONARY_BYTES = 4096

_MAX_UNIT = 75_000.0
"""The largest that PDF's authors know of (ISO 32000-1, table 30, in its first edition)."""


def may_have_units(content: bytes) -> bool:
    """Whether any page of a document may have units of its own; True where that cannot be seen."""
    if _ENTRY in content:
        return True
    starts = [*islice(_starts(content), _MAX_STREAMS + 1)]
    if not starts:
        return False
    if len(starts) > _MAX_STREAMS or b"/Encrypt" in content:
        return True
    return any(_may_hold_entry(content, start) for start in starts)


def user_unit(document: Any, number: int) -> float:
    """How many 1/72 inches a unit of a page is; 1.0 where it says nothing, or nothing sensible.

    Args:
        document: of pypdfium2.
        number: of the page, from 1 on.

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
    """Where streams of objects say that they are some."""
    start = content.find(_PACKED)
    while start >= 0:
        yield start
        start = content.find(_PACKED, start + 1)


def _may_hold_entry(content: bytes, start: int) -> bool:
    """Whether a stream of objects, whose type stands at `start`, holds units, or might."""
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
    """A document as PDFium writes it: every object by itself, and a table of where they are."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        table = content[content.rindex(b"xref\r\n", 0, content.rindex(b"startxref")) :]
        self._starts = [int(entry) for entry in re.findall(rb"(\d{10}) \d{5} [nf]", table)]

    def object(self, number: int) -> bytes:
        """What an object says, before the content that may follow."""
        if not 0 < number < len(self._starts):
            return b""
        start = self._starts[number]
        text = self._content[start : self._content.index(b"endobj", start)]
        return text.partition(b"obj")[2].partition(b"stream")[0]

    def reference(self, text: bytes, name: bytes) -> int:
        """The object that an entry refers to; 0 for none."""
        found = re.search(name + rb"\s*(\d+) \d+ R", text)
        return int(found[1]) if found else 0
