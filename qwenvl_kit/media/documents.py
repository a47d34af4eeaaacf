"""Documents in messages: the pages that they have, and the pages drawn at their planned sizes."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from qwenvl_kit.errors import MediaError, MediaSourceError, MediaTimeoutError
from qwenvl_kit.geometry import Size
from qwenvl_kit.media.error_mapping import mapped_errors
from qwenvl_kit.media.images import read_header, show_image
from qwenvl_kit.media.items import MediaItem
from qwenvl_kit.media.pages import (
    DEFAULT_DPI,
    check_pages,
    first_bytes,
    measure_pages,
    pages_of,
)
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.tiff_pages import is_tiff
from qwenvl_kit.media.types import DrawnImage, ImageHeader, Link, Page, Resize
from qwenvl_kit.messages.document_parts import DocumentPart
from qwenvl_kit.messages.message import ImagePart, Part, TextPart
from qwenvl_kit.plans import ImagePlan

if TYPE_CHECKING:
    import PIL.Image


_Shown: TypeAlias = Union[DocumentPart, ImagePart]


class Document:
    """A document whose pages are drawn when their pixels are needed, once for all requests.

    A drawn page is kept at its planned size, which is as small as its budget says, for as long as
    a request or conversation holds the document. For any thread.

    Args:
        source: the path, URL or bytes of the document.
        dpi: pixels per inch.
        password: its password; None for none.
    """

    def __init__(self, source: Any, dpi: float, password: str | None) -> None:
        self.source = source
        self.dpi = dpi
        self._password = password
        self._lock, self._known_lock = threading.Lock(), threading.Lock()
        self._late: MediaTimeoutError | None = None
        self._shown: dict[tuple[int, ImagePlan], PIL.Image.Image] = {}
        self._known: object = None

    def anew(self) -> Document:
        """Return the same document without the pages that were drawn."""
        return Document(self.source, self.dpi, self._password)

    @property
    def is_locked(self) -> bool:
        """True if a password was given."""
        return self._password is not None

    def pages(self, policy: MediaPolicy, numbers: Sequence[int] | None) -> list[DocumentPage]:
        """Return the wanted pages, with their sizes; errors as of `read_pages`."""
        sizes = measure_pages(self.source, policy, numbers, self.dpi, self._password)
        return [DocumentPage(self, number, size) for number, size in sizes]

    def draw(self, number: int, policy: MediaPolicy) -> PIL.Image.Image:
        """Draw a page at its full size."""
        ((_, image),) = pages_of(self.source, policy, [number], self.dpi, self._password)
        return image

    def show(
        self, wanted: Sequence[tuple[int, ImagePlan]], policy: MediaPolicy, resize: Resize
    ) -> list[PIL.Image.Image]:
        """Draw pages, each at its planned size; only one at a time is held at its full size.

        Args:
            wanted: the number and plan of each page.
            policy: the media policy.
            resize: resizes a page to its planned size.

        Raises:
            MediaTimeoutError: drawing took too long, in this thread or in the one it waited for.
        """
        keys = [(number, replace(plan, where="")) for number, plan in wanted]
        with self._turn(policy):
            missing = dict.fromkeys(key for key in keys if key not in self._shown)
            numbers = [*dict.fromkeys(number for number, _ in missing)]
            for number, image in self._drawn(numbers, policy):
                for key in missing:
                    if key[0] == number:
                        self._shown[key] = show_image(image, key[1], resize)
            return [self._shown[key] for key in keys]

    @contextmanager
    def _turn(self, policy: MediaPolicy) -> Iterator[None]:
        """Hold the lock for drawing.

        If the thread that holds the lock times out, waiting threads time out too.
        """
        late = self._late
        if not self._lock.acquire(timeout=min(policy.timeout_seconds, threading.TIMEOUT_MAX)):
            raise MediaTimeoutError(
                f"other requests have drawn pages of the document for {policy.timeout_seconds:g} s",
                hint="MediaPolicy(timeout_seconds=...) for a document that needs longer",
            )
        try:
            if self._late is not None and self._late is not late:
                raise _again(self._late)
            yield
        except MediaTimeoutError as error:
            self._late = _again(error)
            raise
        finally:
            self._lock.release()

    def _drawn(self, numbers: Sequence[int], policy: MediaPolicy) -> Iterable[Page]:
        if not numbers:
            return ()
        return pages_of(self.source, policy, numbers, self.dpi, self._password)

    def cached_key(self, identify: Any) -> object:
        """Return `identify(source)`, which is called once."""
        with self._known_lock:
            if self._known is None:
                self._known = identify(self.source)
            return self._known


def _again(error: MediaTimeoutError) -> MediaTimeoutError:
    """The same error as a new object, since each request adds its own place."""
    return MediaTimeoutError(error.problem, expected=error.expected, hint=error.hint)


@dataclass(frozen=True)
class DocumentPage(DrawnImage):
    """A page of a document; the source of a part.

    Attributes:
        document: the document that it belongs to.
        number: its number, from 1 on.
        size: its size as a picture.
    """

    document: Document
    number: int
    size: Size

    @property
    def header(self) -> ImageHeader:
        """The header that its picture will have."""
        return ImageHeader(self.size, 1)

    def draw(self, policy: MediaPolicy) -> PIL.Image.Image:
        """Draw the page at its full size."""
        return self.document.draw(self.number, policy)


def document_pages(part: _Shown, policy: MediaPolicy) -> tuple[ImagePart, ...] | None:
    """Return the pages of a part as pictures with its settings; None if it is no document.

    A `DocumentPart` is a document, and so is an `ImagePart` that holds a PDF, or a TIFF of several
    pages.

    Raises:
        MediaError: the document cannot be used.
        MissingPackageError: it is a PDF, and pypdfium2 is not installed.
    """
    if isinstance(part, ImagePart):
        kind = _kind(part.source, policy)
        if kind is None:
            return None
        pages = Document(part.source, DEFAULT_DPI, None).pages(policy, None)
        if kind == "TIFF" and len(pages) == 1:
            return None
        return tuple(replace(part, source=page) for page in pages)  # type: ignore[arg-type]
    dpi = DEFAULT_DPI if part.dpi is None else part.dpi
    numbers = check_pages(part.pages, dpi, policy)
    pages = Document(part.source, dpi, part.password).pages(policy, numbers)
    return tuple(ImagePart(page, budget=part.budget) for page in pages)  # type: ignore[arg-type]


def page_parts(
    part: Part, pages: Sequence[ImagePart], before: Part | None
) -> Iterator[TextPart | ImagePart]:
    """Yield the pages of a document, each after its name if there are several.

    Args:
        part: the document.
        pages: its pages.
        before: the part before the document; after text, the first name begins on a new line.
    """
    form = part.page_name if isinstance(part, DocumentPart) else "Page {}:"
    follows_text = isinstance(before, TextPart) and not before.text.endswith("\n")
    for page in pages:
        if len(pages) > 1:
            name = form.replace("{}", str(page.source.number))  # type: ignore[union-attr]
            yield TextPart(f"\n{name}" if follows_text else name)
        yield page
        follows_text = False


def has_pages(source: object, policy: MediaPolicy) -> bool:
    """True if a source is a PDF or TIFF, by its first bytes."""
    return _kind(source, policy) is not None


def check_no_document(source: object, policy: MediaPolicy) -> None:
    """Refuse a PDF as a video: FFmpeg would show the first picture that it finds inside.

    Raises:
        MediaSourceError: the source is a PDF.
    """
    if first_bytes(source, policy).lstrip().startswith(b"%PDF-"):
        raise MediaSourceError(
            "a PDF was given as a video",
            expected="a video file",
            hint="DocumentPart(...) for a document",
        )


def decode_pages(
    items: Sequence[MediaItem], policy: MediaPolicy, resize: Resize
) -> dict[int, PIL.Image.Image]:
    """Draw the pages among planned items that have no content yet; each document is opened once.

    Returns:
        The pictures, by the positions of their items.

    Raises:
        MediaError: a page cannot be drawn; the error has its place.
    """
    wanted: dict[Document, list[int]] = {}
    for at, item in enumerate(items):
        if isinstance(item.source, DocumentPage) and item.content is None:
            wanted.setdefault(item.source.document, []).append(at)
    decoded: dict[int, PIL.Image.Image] = {}
    for document, positions in wanted.items():
        with mapped_errors(items[positions[0]].where.partition(".pages[")[0]):
            pages = [
                (items[at].source.number, plan)
                for at in positions
                if isinstance(plan := items[at].plan, ImagePlan)
            ]
            shown = document.show(pages, policy, resize)
        decoded |= dict(zip(positions, shown))
    return decoded


def _kind(source: object, policy: MediaPolicy) -> str | None:
    """The kind of a source that may have pages, "PDF" or "TIFF", by its first bytes; else None."""
    if isinstance(source, (DocumentPage, Link)):
        return None
    start = first_bytes(source, policy)
    if is_tiff(start):
        return "TIFF"
    if b"%PDF-" not in start:
        return None
    is_plain = start.lstrip().startswith(b"%PDF-")
    return "PDF" if is_plain or not _is_picture(source, policy) else None


def _is_picture(source: object, policy: MediaPolicy) -> bool:
    """True if a source that mentions a PDF is a picture: its metadata may name its origin."""
    try:
        read_header(source, policy)
    except MediaError:
        return False
    return True
