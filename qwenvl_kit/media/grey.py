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
from qwenvl_kit.media.scaling import PILLOW, Dialect, cure_of

if TYPE_CHECKING:
    import PIL.Image

_TOP = 65535
_LEAST_SHARE = 8
"""A picture whose brightest value is below that part of white shows nothing."""

_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0
"""Tags of TIFF 6.0, and the value that says that it counts from white down."""

_SAMPLE_FORMAT, _UNSIGNED, _SIGNED = 339, 1, 2
"""Tag of TIFF 6.0, section 19, and two of its values."""

_STEP = 1.001 / 255
"""One step of 8 bits, and what rounding adds to it."""


def is_deep_grey(image: PIL.Image.Image) -> bool:
    """Whether a picture is grey of more than 8 bits."""
    return image.mode.startswith("I") or image.mode == "F"


def to_8_bits(image: PIL.Image.Image) -> PIL.Image.Image:
    """A deep grey picture in mode L.

    Raises:
        MediaArrayError: values beyond its range, not finite, or all in the lowest part of it.
    """
    import PIL.Image

    values, dialect = _values_of(image)
    grey = (
        of_floats(values, dialect)
        if image.mode == "F"
        else _of_integers(values, _top_of(image), dialect)
    )
    if _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow turns that over for 8 bits alone
        grey = 255 - grey
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    scaled = PIL.Image.fromarray(grey)
    scaled.info = {name: value for name, value in image.info.items() if name != "transparency"}
    return scaled


def check_sign(image: PIL.Image.Image) -> None:
    """Refuse a TIFF of 8 bits with a sign, which Pillow reads as if it had none.

    Raises:
        MediaArrayError: it is one.
    """
    if image.mode != "L" or _tag(image, _SAMPLE_FORMAT) != _SIGNED:
        return
    import numpy

    values = numpy.asarray(image)
    if _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow has turned it over
        values, name = (255 - values).view("int8"), "(255 - numpy.asarray(image)).view('int8')"
    else:
        values, name = values.view("int8"), "numpy.asarray(image).view('int8')"
    raise _beyond(
        values, "values from 0 (black) to 255, without a sign", PILLOW._replace(name=name)
    )


def _values_of(image: PIL.Image.Image) -> tuple[Any, Dialect]:
    """The values of a picture, and how to write them: 32 bits without a sign are read as such."""
    import numpy

    values = numpy.asarray(image)
    is_unsigned = _tag(image, _SAMPLE_FORMAT) in (None, _UNSIGNED)
    if image.mode == "I" and is_unsigned and _tag(image, _BITS_PER_SAMPLE) == 32:
        return values.view("uint32"), PILLOW._replace(name=f"{PILLOW.name}.view('uint32')")
    return values, PILLOW


def _of_integers(values: Any, top: int, dialect: Dialect) -> Any:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > top:
        raise _beyond(values, f"whole numbers from 0 to {top}", dialect)
    if 0 < high <= top // _LEAST_SHARE:
        raise MediaArrayError(
            f"grey of which {high} is the brightest of {top} would be all but black",
            expected=f"white near {top}, in a picture of whole numbers above 8 bits",
            hint=cure_of(values, dialect),
        )
    wide = values.astype("uint32")
    return ((wide * 255 + top // 2) // top).astype("uint8")


def of_floats(values: Any, dialect: Dialect = PILLOW) -> Any:
    """Floats from 0 to 1 as uint8, of a picture or an array.

    Raises:
        MediaArrayError: values beyond that, not finite, or all within the first step of 255, as
            those that were divided by 255 twice.
    """
    import numpy

    low, high = float(values.min()), float(values.max())
    if not (low >= 0.0 and high <= 1.0):  # false for NaN too
        raise _beyond(values, "finite values in [0, 1], 0 black and 1 white", dialect)
    if 0 < high <= _STEP and bool(((values > 0) & (values < _STEP * 0.99)).any()):
        raise MediaArrayError(
            f"floats of which {high} is the brightest would be all but black",
            expected="floats from 0 (black) to 1 (white)",
            hint=f"{dialect.name} / {high}, if they were divided by 255 once too often",
        )
    return numpy.rint(values * 255.0).astype("uint8")


def _beyond(values: Any, expected: str, dialect: Dialect) -> MediaArrayError:
    return MediaArrayError(
        f"grey values from {values.min()} to {values.max()} were given",
        expected=expected,
        hint=cure_of(values, dialect),
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
