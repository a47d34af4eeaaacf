"""Tiles of a TIFF: a decoder allocates a whole tile, even for a small picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwenvl_kit.errors import MediaSizeError
from qwenvl_kit.media.policy import MediaPolicy

if TYPE_CHECKING:
    import PIL.Image

_TILE_WIDTH, _TILE_LENGTH = 322, 323
"""TIFF 6.0, section 15. Strips need no limit of their own: none is longer than the picture."""


def check_tiles(image: PIL.Image.Image, policy: MediaPolicy) -> None:
    """Check the tiles of a TIFF's current picture; any other picture has none.

    Raises:
        MediaSizeError: a tile has more pixels than a picture may have.
    """
    tags = getattr(image, "tag_v2", None)
    if image.format != "TIFF" or tags is None:
        return
    width, length = tags.get(_TILE_WIDTH, 0), tags.get(_TILE_LENGTH, 0)
    if not (isinstance(width, int) and isinstance(length, int)):
        return  # Pillow reads no such picture
    if width * length > policy.max_pixels:
        raise MediaSizeError(
            f"the tiles of the TIFF are {width} x {length} px",
            expected=f"at most {policy.max_pixels} pixels",
            hint="save it again without tiles, or MediaPolicy(max_pixels=...) if you trust it",
        )
