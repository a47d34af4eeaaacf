"""Pictures in a page of a PDF: the number of pixels that PDFium will decode for them."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

from qwenvl_kit.errors import MediaSizeError

_MAX_DEPTH = 16
"""Depth of forms within forms, in which pictures are looked for."""

_CACHE_SHARE = 16
"""PDFium keeps the pictures of a page at 4 bytes per pixel; decoding one may take 64."""


def check_pictures(page: Any, number: int, max_pixels: int) -> int:
    """Return the pixels that count for memory in addition to those of the page itself.

    PDFium leaves a picture out silently if memory is too small. The pictures are therefore checked
    before any is decoded, by the sizes that the document states.

    Args:
        page: a page of pypdfium2.
        number: its number, from 1 on.
        max_pixels: most pixels of one picture.

    Raises:
        MediaSizeError: a picture has more.
    """
    largest = total = 0
    for width, height in _sizes(page.raw, _MAX_DEPTH, is_form=False):
        if width * height > max_pixels:
            raise MediaSizeError(
                f"a picture in page {number} is {width} x {height} px",
                expected=f"at most {max_pixels} pixels",
                hint="MediaPolicy(max_pixels=...) if you trust it",
                where=f"pages[{number}]",
            )
        largest = max(largest, width * height)
        total += width * height
    return largest + total // _CACHE_SHARE


def _sizes(holder: Any, depth: int, *, is_form: bool) -> Iterator[tuple[int, int]]:
    """Width and height of each picture in a page, or in a form within the page."""
    from pypdfium2 import raw

    count, get = (
        (raw.FPDFFormObj_CountObjects, raw.FPDFFormObj_GetObject)
        if is_form
        else (raw.FPDFPage_CountObjects, raw.FPDFPage_GetObject)
    )
    width, height = ctypes.c_uint(), ctypes.c_uint()
    for at in range(count(holder)):
        drawn = get(holder, at)
        kind = raw.FPDFPageObj_GetType(drawn)
        if kind == raw.FPDF_PAGEOBJ_FORM and depth:
            yield from _sizes(drawn, depth - 1, is_form=True)
        elif kind == raw.FPDF_PAGEOBJ_IMAGE and raw.FPDFImageObj_GetImagePixelSize(
            drawn, width, height
        ):
            yield width.value, height.value
