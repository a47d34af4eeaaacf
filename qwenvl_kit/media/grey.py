"""Grey of more than 8 bits as grey of 8, where Pillow's own conversion clips it to white.

One rule, whatever a picture comes from: white is the top of what its values can say. That is 65535
of whole numbers (mode I;16, and I, which Pillow gives them for arithmetic), and 1.0 of floats
(mode F). Nothing is guessed from the values. What lies outside cannot be scaled without knowing
what it measures; whole numbers that fill less than an eighth of their range, as the 12 bits of a
scanner or a depth of 8 metres in a file of 16, would be all but black. Both are refused, with the
code that scales them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qwenvl_kit.errors import MediaArrayError
from qwenvl_kit.media.scaling import PILLOW, cure_of

if TYPE_CHECKING:
    import PIL.Image

_TOP = 65535
_LEAST_SHARE = 8
"""A picture whose brightest value is below that part of white shows nothing."""

_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0
"""Tags of TIFF 6.0, and the value that says that it counts from white down."""


def is_deep_grey(image: PIL.Image.Image) -> bool:
    """Whether a picture is grey of more than 8 bits."""
    return image.mode.startswith("I") or image.mode == "F"


def to_8_bits(image: PIL.Image.Image) -> PIL.Image.Image:
    """A deep grey picture in mode L.

    Raises:
        MediaArrayError: values beyond its range, not finite, or all in the lowest part of it.
    """
    import numpy
    import PIL.Image

    values = numpy.asarray(image)
    grey = _of_floats(values) if image.mode == "F" else _of_integers(values, _top_of(image))
    if _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow turns that over for 8 bits alone
        grey = 255 - grey
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    scaled = PIL.Image.fromarray(grey)
    scaled.info = {name: value for name, value in image.info.items() if name != "transparency"}
    return scaled


def _of_integers(values: Any, top: int) -> Any:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > top:
        raise _beyond(values, f"whole numbers from 0 to {top}")
    if 0 < high <= top // _LEAST_SHARE:
        raise MediaArrayError(
            f"grey of which {high} is the brightest of {top} would be all but black",
            expected=f"white near {top}, in a picture of whole numbers above 8 bits",
            hint=cure_of(values, PILLOW),
        )
    wide = values.astype("uint32")
    return ((wide * 255 + top // 2) // top).astype("uint8")


def _of_floats(values: Any) -> Any:
    import numpy

    if not (float(values.min()) >= 0.0 and float(values.max()) <= 1.0):  # false for NaN too
        raise _beyond(values, "finite floats from 0 (black) to 1 (white)")
    return numpy.rint(values * 255.0).astype("uint8")


def _beyond(values: Any, expected: str) -> MediaArrayError:
    return MediaArrayError(
        f"grey values from {values.min()} to {values.max()} were given",
        expected=expected,
        hint=cure_of(values, PILLOW),
    )


def _top_of(image: PIL.Image.Image) -> int:
    """White; a TIFF of 12 bits says so, of which Pillow makes 16 without scaling them."""
    bits = _tag(image, _BITS_PER_SAMPLE)
    has_fewer = bits is not None and 8 < bits < 16 and image.mode.startswith("I;")
    return (1 << bits) - 1 if bits is not None and has_fewer else _TOP


def _tag(image: PIL.Image.Image, number: int) -> int | None:
    tags = getattr(image, "tag_v2", None)
    value = None if tags is None else tags.get(number)
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, int) else None
