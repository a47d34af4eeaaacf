"""The lens that took a picture, as its EXIF tells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qwenvl_kit.geometry import Size
from qwenvl_kit.media.arrays import is_array
from qwenvl_kit.media.isolation.choice import is_image_isolated
from qwenvl_kit.media.pillow_objects import asked_of_exif
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.sources import open_header, opened_source

if TYPE_CHECKING:
    import PIL.Image

_EXIF_FOLDER = 0x8769
_EQUIVALENT_TAG = 0xA405
"""FocalLengthIn35mmFilm (EXIF 2.32, tag 41989): whole millimetres, 0 if it is not known."""

_WIDTH_TAG, _HEIGHT_TAG = 0xA002, 0xA003
"""PixelXDimension and PixelYDimension (EXIF 2.32, tags 40962 and 40963), as the camera stored the
picture."""

_LONGEST_MM = 10_000.0


@dataclass(frozen=True)
class Lens:
    """The lens of a camera, and the picture that it took.

    Attributes:
        equivalent_mm: the focal length on a camera of 35 mm film with the same diagonal angle.
        taken: the size of the picture as the camera stored it, not turned; None if it is not known.
    """

    equivalent_mm: float
    taken: Size | None


def read_lens(source: Any, policy: MediaPolicy) -> Lens | None:
    """Return the lens in a picture's EXIF; None if it tells none. No pixels are decoded.

    EXIF is read in this process alone, so that nothing is known of pictures that are opened in
    another one, such as HEIC.

    Raises:
        MediaError: the source cannot be opened, or the policy refuses it.
    """
    import PIL.Image

    if is_array(source):
        return None
    if isinstance(source, PIL.Image.Image):
        return asked_of_exif(source, _lens_of)
    with opened_source(source, policy) as opened:
        if is_image_isolated(opened, policy):
            return None
        with open_header(opened, policy) as image:
            return _lens_of(image)


def _lens_of(image: PIL.Image.Image) -> Lens | None:
    try:
        found = image.getexif().get_ifd(_EXIF_FOLDER)
        equivalent = float(found.get(_EQUIVALENT_TAG, 0))
        width, height = (int(found.get(tag, 0)) for tag in (_WIDTH_TAG, _HEIGHT_TAG))
    except Exception:  # damaged EXIF is no reason to refuse a sound picture
        return None
    if not 0 < equivalent < _LONGEST_MM or not math.isfinite(equivalent):
        return None
    is_known = width > 0 and height > 0
    return Lens(equivalent, Size(height_px=height, width_px=width) if is_known else None)
