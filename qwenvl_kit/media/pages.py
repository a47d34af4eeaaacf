"""Pages of a PDF as pictures, by pypdfium2 (extra `pdf`)."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from qwenvl_kit.errors import (
    DocumentPasswordError,
    InputError,
    MediaDecodeError,
    MediaSizeError,
    MediaSourceError,
    MissingPackageError,
)
from qwenvl_kit.geometry import Size
from qwenvl_kit.media.faults import reading
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.sources import is_encoded, opened_source

if TYPE_CHECKING:
    import PIL.Image

_POINTS_PER_INCH = 72
_PDFIUM = threading.Lock()
"""PDFium must not be called from two threads (its own documentation, `fpdfview.h`)."""

DEFAULT_DPI = 144
"""Print of 8 points is then 16 pixels high, which the models read."""


class Page(NamedTuple):
    """A page as a picture, and its number, from 1 on."""

    number: int
    image: PIL.Image.Image


def is_pdf(source: Any) -> bool:
    """Whether a source is a PDF, by its name or its first bytes."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source[:1024]).lstrip().startswith(b"%PDF-")
    return isinstance(source, (str, Path)) and str(source).lower().endswith(".pdf")


def read_pages(
    source: Any,
    policy: MediaPolicy,
    *,
    pages: Iterable[int] | None = None,
    dpi: float = DEFAULT_DPI,
    password: str | None = None,
) -> list[Page]:
    """Pages of a PDF as pictures in RGB.

    Args:
        source: a path, `file://` or data URL, or bytes.
        policy: what may be opened; `max_pages` and `max_pixels` are judged before any is drawn.
        pages: which, from 1 on; None for all.
        dpi: pixels an inch.
        password: what it was locked with.

    Raises:
        MediaError: it cannot be opened, is damaged, or the policy refuses it.
        DocumentPasswordError: it is locked, and the password is missing or wrong.
        MissingPackageError: pypdfium2 is not installed.
    """
    if not 1 <= dpi <= 1200:
        raise InputError(f"dpi={dpi!r} was given", expected="from 1 to 1200")
    numbers = None if pages is None else _numbers(pages, policy)
    _pdfium()  # here or in the process that draws: it is missing in both
    with reading():
        if policy.isolate_images and is_encoded(source):
            from qwenvl_kit.media.isolation.documents import read_pages_apart

            return list(read_pages_apart(source, policy, numbers, dpi, password))
        return list(draw_pages(source, policy, numbers, dpi, password))


def draw_pages(
    source: Any, policy: MediaPolicy, pages: Sequence[int] | None, dpi: float, password: str | None
) -> Iterator[Page]:
    """The pages one by one, in this process; as `read_pages`."""
    with _PDFIUM, _opened(source, policy, password) as document:
        for number in _wanted(pages, len(document), policy):
            with _page(document, number) as page:
                _check_size(page, number, dpi, policy)
                with closing(
                    page.render(scale=dpi / _POINTS_PER_INCH, rev_byteorder=True)
                ) as bitmap:
                    image = bitmap.to_pil().convert("RGB")
            yield Page(number, image)


def _pdfium() -> Any:
    try:
        import pypdfium2
    except ImportError as error:
        raise MissingPackageError(
            "pypdfium2, which draws the pages of a PDF, is not installed",
            hint="pip install 'qwenvl-kit[pdf]'",
        ) from error
    return pypdfium2


@contextmanager
def _page(document: Any, number: int) -> Iterator[Any]:
    pypdfium2 = _pdfium()
    try:
        page = document[number - 1]
    except pypdfium2.PdfiumError as error:
        raise MediaDecodeError(
            f"page {number} of the PDF is damaged ({error})",
            expected="a whole page",
            hint="pages=[...] without it",
            where=f"pages[{number}]",
        ) from error
    try:
        yield page
    except pypdfium2.PdfiumError as error:
        raise MediaDecodeError(
            f"page {number} of the PDF cannot be drawn ({error})",
            hint="pages=[...] without it",
            where=f"pages[{number}]",
        ) from error
    finally:
        page.close()


@contextmanager
def _opened(source: Any, policy: MediaPolicy, password: str | None) -> Iterator[Any]:
    pypdfium2 = _pdfium()
    with opened_source(source, policy) as opened:
        if not isinstance(opened, (Path, bytes)):
            raise MediaSourceError("a picture was given", expected="a PDF as a path or bytes")
        policy.check_num_bytes(opened.stat().st_size if isinstance(opened, Path) else len(opened))
        content = opened.read_bytes() if isinstance(opened, Path) else opened
    try:
        document = pypdfium2.PdfDocument(content, password=password)
    except pypdfium2.PdfiumError as error:
        if "assword" in str(error):
            raise DocumentPasswordError(
                "the PDF is locked" if password is None else "the PDF has another password",
                hint="password=...",
            ) from error
        raise MediaDecodeError(
            f"the PDF is damaged or cut short ({error})", hint="fetch or save it again"
        ) from error
    try:
        yield document
    finally:
        document.close()


def _numbers(pages: Iterable[int], policy: MediaPolicy) -> list[int]:
    """The pages that are wanted, without going through more of them than may be drawn."""
    numbers = list(islice(pages, policy.max_pages + 1))
    for number in numbers:
        if type(number) is not int or number < 1:
            raise _no_page(number, "a number from 1 on")
    return numbers


def _wanted(pages: Sequence[int] | None, num_pages: int, policy: MediaPolicy) -> Sequence[int]:
    wanted = range(1, num_pages + 1) if pages is None else pages
    for number in wanted[: policy.max_pages]:
        if number > num_pages:
            raise _no_page(number, f"from 1 to {num_pages}")
    if len(wanted) > policy.max_pages:
        count = num_pages if pages is None else f"more than {policy.max_pages}"
        raise MediaSizeError(
            f"{count} pages of the PDF are wanted",
            expected=f"at most {policy.max_pages}",
            hint="pages=range(1, 11), or MediaPolicy(max_pages=...)",
        )
    if not wanted:
        raise MediaSizeError("no pages were asked for, or the PDF has none", expected="one or more")
    return wanted


def _no_page(number: object, expected: str) -> MediaSizeError:
    return MediaSizeError(f"page {number!r} was asked for", expected=expected, where="pages")


def _check_size(page: Any, number: int, dpi: float, policy: MediaPolicy) -> None:
    width, height = (round(side * dpi / _POINTS_PER_INCH) for side in page.get_size())
    try:
        policy.check_size(Size(height_px=height, width_px=width))
    except MediaSizeError as error:
        error.where = f"pages[{number}]"
        error.hint = "a lower dpi, or MediaPolicy(max_pixels=...) if you trust it"
        raise
