"""Pages of a document as pictures: of a PDF, by pypdfium2 (extra `pdf`), or of a TIFF."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard, Union

from qwenvl_kit.errors import MediaSizeError, MediaSourceError, located
from qwenvl_kit.geometry import Size
from qwenvl_kit.media.arrays import is_array
from qwenvl_kit.media.error_mapping import mapped_errors
from qwenvl_kit.media.isolation.choice import is_document_isolated
from qwenvl_kit.media.isolation.documents import measure_pages_isolated, read_pages_isolated
from qwenvl_kit.media.local_files import read_file, read_start
from qwenvl_kit.media.memory_bounds import Bound, unbounded
from qwenvl_kit.media.pdf import NUM_FIRST_BYTES, PdfPages, check_pdfium
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.sources import (
    is_web_url,
    open_header,
    open_image,
    opened_source,
)
from qwenvl_kit.media.tiff_pages import TiffPages, is_tiff
from qwenvl_kit.media.types import Page, PageSize
from qwenvl_kit.messages.document_parts import check_dpi
from qwenvl_kit.messages.video_timing import is_count

DEFAULT_DPI = 144
"""Default resolution: print of 8 points is then 16 pixels high, which the models can read."""

_Document: TypeAlias = Union[PdfPages, TiffPages]


def is_pdf(source: Any) -> bool:
    """True if a source is a PDF, by its name or its first bytes."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source[:NUM_FIRST_BYTES]).lstrip().startswith(b"%PDF-")
    return isinstance(source, (str, Path)) and str(source).lower().endswith(".pdf")


def first_bytes(source: Any, policy: MediaPolicy) -> bytes:
    """Return the first bytes of a document or picture; empty for pixels, and for a web URL.

    Raises:
        MediaError: it cannot be opened, or the policy refuses it.
    """
    import PIL.Image

    if isinstance(source, PIL.Image.Image) or is_array(source) or is_web_url(source):
        return b""
    with opened_source(_shortened(source), policy) as opened:
        if isinstance(opened, Path):
            return read_start(opened, NUM_FIRST_BYTES, policy)
    return opened[:NUM_FIRST_BYTES] if isinstance(opened, bytes) else b""


def _shortened(source: Any) -> Any:
    """The beginning of bytes, or of a data URL in base64; any other source as it is."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source[:NUM_FIRST_BYTES])
    start = source.find(";base64,", 0, 200) if isinstance(source, str) else -1
    if start < 0 or source[:5].lower() != "data:":
        return source
    end = start + len(";base64,") + 2 * NUM_FIRST_BYTES  # a multiple of 4, the unit of base64
    is_plain = re.fullmatch("[A-Za-z0-9+/]+", source[start + len(";base64,") : end]) is not None
    return source[:end] if is_plain else source


def check_pages(pages: Iterable[int] | None, dpi: float, policy: MediaPolicy) -> list[int] | None:
    """Return the wanted pages as numbers; at most one more is read than may be drawn.

    Raises:
        MediaSizeError: too many pages, or something that is no page number.
        InputError: the dpi is out of range.
    """
    check_dpi(dpi)
    if pages is None:
        return None
    numbers = list(islice(pages, policy.max_pages + 1))
    for number in numbers:
        if not is_count(number):
            raise _no_page(number, "a number from 1 on")
    if len(numbers) > policy.max_pages:
        raise _too_many(f"more than {policy.max_pages}", policy)
    return [*map(int, numbers)]


def read_pages(
    source: Any,
    policy: MediaPolicy,
    *,
    pages: Iterable[int] | None = None,
    dpi: float = DEFAULT_DPI,
    password: str | None = None,
) -> list[Page]:
    """Read pages of a PDF or TIFF as pictures in RGB.

    Args:
        source: a path, `file://` or data URL, or bytes.
        policy: the media policy; `max_pages` and `max_pixels` are checked before any is drawn.
        pages: page numbers, from 1 on; None for all.
        dpi: pixels per inch of a PDF.
        password: the password of the PDF.

    Raises:
        MediaError: it cannot be opened, is damaged, or the policy refuses it.
        DocumentPasswordError: it is locked, and the password is missing or wrong.
        MissingPackageError: pypdfium2 is not installed.
    """
    numbers = check_pages(pages, dpi, policy)
    with mapped_errors():
        return list(pages_of(source, policy, numbers, dpi, password))


def measure_pages(
    source: Any, policy: MediaPolicy, pages: Sequence[int] | None, dpi: float, password: str | None
) -> list[PageSize]:
    """Return the number and size of each wanted page, and draw none; errors as of `read_pages`."""
    with opened_source(source, policy) as opened:
        if _is_isolated(opened, policy):
            return measure_pages_isolated(opened, policy, pages, dpi, password)
        return list(size_pages(opened, policy, pages, dpi, password))


def pages_of(
    source: Any, policy: MediaPolicy, pages: Sequence[int] | None, dpi: float, password: str | None
) -> Iterator[Page]:
    """Draw pages one by one, here or in the decoding process; errors as of `read_pages`."""
    with opened_source(source, policy) as opened:
        if _is_isolated(opened, policy):
            yield from read_pages_isolated(opened, policy, pages, dpi, password)
        else:
            yield from draw_pages(opened, policy, pages, dpi, password)


def size_pages(
    source: Any,
    policy: MediaPolicy,
    pages: Sequence[int] | None,
    dpi: float,
    password: str | None,
    *,
    bound: Bound = unbounded,
) -> Iterator[PageSize]:
    """Measure pages one by one, in this process; errors as of `read_pages`."""
    with _opened(source, policy, pages, password, bound, draws=False) as document:
        for number in _wanted(pages, document, policy):
            yield PageSize(number, _checked_size(document, number, dpi, policy))


def draw_pages(
    source: Any,
    policy: MediaPolicy,
    pages: Sequence[int] | None,
    dpi: float,
    password: str | None,
    *,
    bound: Bound = unbounded,
) -> Iterator[Page]:
    """Draw pages one by one, in this process; errors as of `read_pages`."""
    with _opened(source, policy, pages, password, bound, draws=True) as document:
        for number in _wanted(pages, document, policy):
            _checked_size(document, number, dpi, policy)
            yield Page(number, document.draw(number, dpi))


def _is_isolated(opened: object, policy: MediaPolicy) -> TypeGuard[Path | bytes]:
    """True if the decoding process reads a document.

    A missing package is reported here, since that process reports errors of media only.
    """
    if not is_document_isolated(opened, policy):
        return False
    if not is_tiff(first_bytes(opened, policy)):
        check_pdfium()
    return True


@contextmanager
def _opened(
    source: Any,
    policy: MediaPolicy,
    pages: Sequence[int] | None,
    password: str | None,
    bound: Bound,
    *,
    draws: bool,
) -> Iterator[_Document]:
    """Open a document; of a TIFF that is only measured, no more than the headers is read."""
    with opened_source(source, policy) as opened:
        if is_tiff(first_bytes(opened, policy)):
            opening = open_header(opened, policy)
            with closing(open_image(opened, policy)) if draws else opening as image:
                yield TiffPages(image, policy, max(pages or (policy.max_pages + 1,)), bound)
            return
        if not isinstance(opened, (Path, bytes)):
            raise MediaSourceError(
                "a picture was given",
                expected="a PDF or TIFF as a path, URL or bytes",
                hint="ImagePart(...) for a picture",
            )
        content = read_file(opened, policy) if isinstance(opened, Path) else opened
        policy.check_num_bytes(len(content))
    with closing(PdfPages(content, password, policy, bound)) as document:
        yield document


def _wanted(pages: Sequence[int] | None, document: _Document, policy: MediaPolicy) -> Sequence[int]:
    num_pages = len(document)
    wanted = range(1, num_pages + 1) if pages is None else pages
    for number in wanted[: policy.max_pages]:
        if number > num_pages:
            raise _no_page(number, f"from 1 to {num_pages}")
    if len(wanted) > policy.max_pages:
        is_counted = pages is None and isinstance(document, PdfPages)
        raise _too_many(str(num_pages) if is_counted else f"more than {policy.max_pages}", policy)
    if not wanted:
        raise MediaSizeError("no pages were asked for, or the PDF has none", expected="one or more")
    return wanted


def _too_many(count: str, policy: MediaPolicy) -> MediaSizeError:
    return MediaSizeError(
        f"{count} pages of the document are wanted",
        expected=f"at most {policy.max_pages}",
        hint="DocumentPart(..., pages=range(1, 11)), or MediaPolicy(max_pages=...)",
    )


def _no_page(number: object, expected: str) -> MediaSizeError:
    return MediaSizeError(f"page {number!r} was asked for", expected=expected, where="pages")


def _checked_size(document: _Document, number: int, dpi: float, policy: MediaPolicy) -> Size:
    size = document.size(number, dpi)
    try:
        with located(f"pages[{number}]"):
            policy.check_size(size)
    except MediaSizeError as error:
        error.hint = "a lower dpi, or MediaPolicy(max_pixels=...) if you trust it"
        raise
    return size
