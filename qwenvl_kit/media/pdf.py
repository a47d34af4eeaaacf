"""Pages of a PDF, drawn by pypdfium2 (extra `pdf`) as a viewer shows them, with filled-in forms."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import TYPE_CHECKING, Any

from qwenvl_kit.errors import (
    DocumentPasswordError,
    MediaDecodeError,
    MissingPackageError,
    UnsupportedFeatureError,
)
from qwenvl_kit.geometry import Size
from qwenvl_kit.media.memory_bounds import Bound, unbounded
from qwenvl_kit.media.pdf_images import check_pictures
from qwenvl_kit.media.pdf_units import may_have_units, user_unit
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.signatures import HEAD_BYTES, described

if TYPE_CHECKING:
    import PIL.Image

_POINTS_PER_INCH = 72
NUM_FIRST_BYTES = 1024
"""The bytes in which viewers look for the name of a PDF: some writers put something before it."""
_READ_SHARE = 16
"""A document without its pictures may take the largest picture's memory divided by this."""
_PDFIUM = threading.Lock()
"""Lock of PDFium, which must not be called from two threads (its documentation, `fpdfview.h`)."""


def check_pdfium() -> Any:
    """Return the module pypdfium2.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        import pypdfium2
    except ImportError as error:
        raise MissingPackageError(
            "pypdfium2, which draws the pages of a PDF, is not installed",
            hint="pip install 'qwenvl-kit[pdf]'",
        ) from error
    return pypdfium2


class PdfPages:
    """An open PDF. Each call waits until no other thread is inside PDFium.

    Args:
        content: its bytes.
        password: its password; None for none.
        policy: the limit for the size of pictures in it.
        bound: the memory bound of reading it, and of drawing a page.

    Raises:
        DocumentPasswordError: it is locked, and the password is missing or wrong.
        MediaDecodeError: it is damaged.
        MissingPackageError: pypdfium2 is not installed.
    """

    name = "PDF"

    def __init__(
        self,
        content: bytes,
        password: str | None,
        policy: MediaPolicy,
        bound: Bound = unbounded,
    ) -> None:
        self._pdfium = check_pdfium()
        self._max_pixels = policy.max_pixels
        self._bound = bound
        self._units: dict[int, float] | None = {} if may_have_units(content) else None
        with _PDFIUM, self._reading():
            self._document = self._opened(content, password)
            try:
                self._begin_forms()
            except BaseException:
                self._document.close()
                raise

    def close(self) -> None:
        """Close the document."""
        with _PDFIUM:
            self._document.close()

    def __len__(self) -> int:
        with _PDFIUM, self._reading():
            return len(self._document)

    def size(self, number: int, dpi: float) -> Size:
        """Return the size of a page at a number of pixels per inch; draws nothing.

        Raises:
            MediaDecodeError: it is damaged.
        """
        with _PDFIUM, self._reading(), self._page_errors(number, "is damaged"):
            width, height = self._document.get_page_size(number - 1)
            scale = self._scale(number, dpi)
            # `render` rounds in the same way.
            return Size(*(math.ceil(side * scale) for side in (height, width)))

    def draw(self, number: int, dpi: float) -> PIL.Image.Image:
        """Draw a page in RGB, on white.

        Raises:
            MediaDecodeError: it is damaged.
            MediaSizeError: a picture in it has too many pixels.
        """
        with _PDFIUM, closing(self._page(number)) as page:
            scale = self._scale(number, dpi)
            num_pixels = math.prod(math.ceil(side * scale) for side in page.get_size())
            num_pixels += check_pictures(page, number, self._max_pixels)
            with (
                self._bound(num_pixels),
                self._page_errors(number, "cannot be drawn"),
                closing(page.render(scale=scale, rev_byteorder=True)) as bitmap,
            ):
                return bitmap.to_pil().convert("RGB")  # type: ignore[no-any-return]

    def _page(self, number: int) -> Any:
        with self._reading(), self._page_errors(number, "is damaged"):
            return self._document[number - 1]

    def _reading(self) -> AbstractContextManager[None]:
        """The memory bound of reading, before the size of a page is known."""
        return self._bound(self._max_pixels // _READ_SHARE)

    def _opened(self, content: bytes, password: str | None) -> Any:
        try:
            return self._pdfium.PdfDocument(content, password=password)
        except self._pdfium.PdfiumError as error:
            if "assword" in str(error):
                raise DocumentPasswordError(
                    "the PDF is locked" if password is None else "the password of the PDF is wrong",
                    hint="DocumentPart(..., password=...)",
                ) from error
            raise _damage(content, error) from error

    def _begin_forms(self) -> None:
        """Prepare the fields of forms to be drawn; PDFium demands this before a page is loaded.

        Fields that belong to no form are drawn as well. Forms in XFA are not run: such a document
        is drawn with the plain fields that most of them also have.
        """
        raw, document = self._pdfium.raw, self._document
        if {"V8", "XFA"} & set(self._pdfium.PDFIUM_INFO.flags):
            if document.get_formtype() == raw.FORMTYPE_NONE:
                return
            raise UnsupportedFeatureError(
                "the PDF has a form, and the installed PDFium runs scripts of forms",
                expected="a pypdfium2 without V8 and XFA",
                hint="pip install --force-reinstall pypdfium2",
            )
        document.get_formtype = lambda: raw.FORMTYPE_ACRO_FORM
        try:
            document.init_forms()
        except self._pdfium.PdfiumError as error:
            raise MediaDecodeError(
                f"the form of the PDF is damaged ({error})", hint="print it to another PDF"
            ) from error

    def _scale(self, number: int, dpi: float) -> float:
        if self._units is None:
            return dpi / _POINTS_PER_INCH
        if number not in self._units:
            self._units[number] = user_unit(self._document, number)
        return dpi / _POINTS_PER_INCH * self._units[number]

    @contextmanager
    def _page_errors(self, number: int, fault: str) -> Iterator[None]:
        try:
            yield
        except self._pdfium.PdfiumError as error:
            raise MediaDecodeError(
                f"page {number} of the PDF {fault} ({error})",
                expected="a whole page",
                hint="DocumentPart(..., pages=[...]) without it",
                where=f"pages[{number}]",
            ) from error


def _damage(content: bytes, error: Exception) -> MediaDecodeError:
    if b"%PDF-" in content[:NUM_FIRST_BYTES]:
        return MediaDecodeError(
            f"the PDF is damaged or cut short ({error})", hint="fetch or save it again"
        )
    return MediaDecodeError(
        f"it is no PDF or TIFF, or damaged at its start ({len(content)} bytes, "
        f"{described(content[:HEAD_BYTES])})",
        expected="a document",
        hint="ImagePart(...) for a picture",
    )
