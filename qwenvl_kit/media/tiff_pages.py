"""Pages of a TIFF, as scanners and fax machines write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qwenvl_kit.errors import MediaArrayError, MediaDecodeError, MediaSizeError, located
from qwenvl_kit.geometry import Size
from qwenvl_kit.media.images import decode_image
from qwenvl_kit.media.memory_bounds import Bound, unbounded
from qwenvl_kit.media.pillow_objects import load
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.tiff_tiles import check_tiles

if TYPE_CHECKING:
    import PIL.Image

_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of a TIFF, in both byte orders; the last two are BigTIFF."""

_SUBFILE_TYPE, _REDUCED_OR_MASK = 254, 0b101
"""TIFF 6.0, section 8: the tag of a subfile, and its bits for a smaller copy and for a mask."""

_FRAMES_PER_PAGE = 10
"""Most pictures in the file for each page that is looked for: pyramids hold many."""


def is_tiff(start: bytes) -> bool:
    """True if a file is a TIFF, by its first bytes."""
    return start.startswith(_STARTS)


class TiffPages:
    """An open TIFF, for one thread. Its pages have pixels already; the dpi does not matter.

    Smaller copies of a page, and masks, are no pages.

    Args:
        image: the picture that Pillow opened.
        policy: the media policy.
        most_pages: most pages to look for.
        bound: the memory bound of one page.

    Raises:
        MediaError: it is damaged, or the policy refuses it.
    """

    name = "TIFF"

    def __init__(
        self,
        image: PIL.Image.Image,
        policy: MediaPolicy,
        most_pages: int,
        bound: Bound = unbounded,
    ) -> None:
        self._policy = policy
        self._bound = bound
        self._image = image
        with bound(0):
            self._frames = self._found(most_pages)

    def __len__(self) -> int:
        return len(self._frames)

    def size(self, number: int, dpi: float) -> Size:
        """Return the size of an upright page; decodes nothing."""
        del dpi
        self._turn_to(self._frames[number - 1])
        return Size(height_px=self._image.height, width_px=self._image.width)

    def draw(self, number: int, dpi: float) -> PIL.Image.Image:
        """Decode a page: in RGB, upright, its transparent parts on white.

        Raises:
            MediaDecodeError: it is damaged.
        """
        size = self.size(number, dpi)
        self._policy.check_size(size)
        with located(f"pages[{number}]"), self._bound(size.area_pixels):
            return decode_image(self._page(number), self._policy)

    def _page(self, number: int) -> PIL.Image.Image:
        """The current picture of the file, as a picture of its own."""
        try:
            page: Any = load(self._image).copy()
        except (MediaArrayError, MediaSizeError):
            raise
        except Exception as error:  # decoders raise nearly anything on damaged data
            raise MediaDecodeError(
                f"page {number} of the TIFF is damaged or cut short ({error})",
                expected="a whole page",
                hint="DocumentPart(..., pages=[...]) without it",
            ) from error
        page.tag_v2 = self._image.tag_v2  # type: ignore[attr-defined]  # says what is white
        image: PIL.Image.Image = page
        return image

    def _found(self, most: int) -> list[int]:
        """The positions of the pages among the pictures in the file."""
        found: list[int] = []
        frame = 0
        while len(found) < most and self._turn_to(frame):
            if not self._kind() & _REDUCED_OR_MASK:
                found.append(frame)
            frame += 1
            if frame > _FRAMES_PER_PAGE * most:
                raise MediaSizeError(
                    f"the TIFF holds more than {frame} pictures",
                    expected=f"at most {most} pages",
                    hint="MediaPolicy(max_pages=...) if you trust it",
                )
        return found

    def _turn_to(self, frame: int) -> bool:
        """Go to a picture of the file; False if there is none."""
        try:
            self._image.seek(frame)
        except EOFError:
            return False
        except Exception as error:  # decoders raise nearly anything on damaged headers
            raise MediaDecodeError(
                f"picture {frame + 1} of the TIFF has a damaged header ({error})",
                hint="save it again, or page by page",
            ) from error
        check_tiles(self._image, self._policy)
        return True

    def _kind(self) -> int:
        kind = self._image.tag_v2.get(_SUBFILE_TYPE, 0)  # type: ignore[attr-defined]
        return kind if isinstance(kind, int) else 0
