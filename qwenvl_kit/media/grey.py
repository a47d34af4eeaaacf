"""Grey of more than 8 bits, converted to 8 bits; Pillow's own conversion would clip it to white.

One rule holds for every source: white is the largest value that its type can hold. That is 65535
for integers (mode I;16, and mode I, which Pillow uses for arithmetic), and 1.0 for floats (mode F).
Nothing is guessed from the values. Values out of range cannot be scaled without knowing what they
measure. Integers that fill less than an eighth of their range, such as the 12 bits of a scanner or
a depth of 8 metres in a file of 16 bits, would be nearly black. Both are refused, with the code
that scales them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qwenvl_kit.errors import MediaArrayError
from qwenvl_kit.media.scaling import PILLOW, ArrayLibrary, scaling_code

if TYPE_CHECKING:
    import PIL.Image

_TOP = 65535
_LEAST_SHARE = 8
"""A picture whose brightest value is below white divided by this shows nothing."""

_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0
"""Tags of TIFF 6.0, and the value of the second one that stands for white at 0."""

_SAMPLE_FORMAT, _UNSIGNED, _SIGNED = 339, 1, 2
"""Tag of TIFF 6.0, section 19, and two of its values."""

_STEP = 1.001 / 255
"""One step of 8 bits, plus the rounding error."""


def is_deep_grey(image: PIL.Image.Image) -> bool:
    """True if a picture is grey of more than 8 bits."""
    return image.mode.startswith("I") or image.mode == "F"


def to_8_bits(image: PIL.Image.Image) -> PIL.Image.Image:
    """Return a deep grey picture in mode L.

    Raises:
        MediaArrayError: values out of range, not finite, or all in the lowest part of the range.
    """
    import PIL.Image

    values, library = _values_of(image)
    grey = (
        of_floats(values, library)
        if image.mode == "F"
        else _of_integers(values, _top_of(image), library)
    )
    if _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow inverts that for 8 bits only
        grey = 255 - grey
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    scaled = PIL.Image.fromarray(grey)
    scaled.info = {name: value for name, value in image.info.items() if name != "transparency"}
    return scaled


def check_sign(image: PIL.Image.Image) -> None:
    """Refuse a TIFF of signed 8-bit values, which Pillow reads as unsigned.

    Raises:
        MediaArrayError: the picture is such a TIFF.
    """
    if image.mode != "L" or _tag(image, _SAMPLE_FORMAT) != _SIGNED:
        return
    import numpy

    values = numpy.asarray(image)
    if _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow has inverted it
        values, name = (255 - values).view("int8"), "(255 - numpy.asarray(image)).view('int8')"
    else:
        values, name = values.view("int8"), "numpy.asarray(image).view('int8')"
    raise _beyond(
        values, "values from 0 (black) to 255, without a sign", PILLOW._replace(name=name)
    )


def _values_of(image: PIL.Image.Image) -> tuple[Any, ArrayLibrary]:
    """The values of a picture, and the code that gives them; unsigned 32 bits are read as such."""
    import numpy

    values = numpy.asarray(image)
    is_unsigned = _tag(image, _SAMPLE_FORMAT) in (None, _UNSIGNED)
    if image.mode == "I" and is_unsigned and _tag(image, _BITS_PER_SAMPLE) == 32:
        return values.view("uint32"), PILLOW._replace(name=f"{PILLOW.name}.view('uint32')")
    return values, PILLOW


def _of_integers(values: Any, top: int, library: ArrayLibrary) -> Any:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > top:
        raise _beyond(values, f"whole numbers from 0 to {top}", library)
    if 0 < high <= top // _LEAST_SHARE:
        raise MediaArrayError(
            f"the brightest grey value is {high} of {top}: it would look black",
            expected=f"white near {top} in grey of more than 8 bits",
            hint=scaling_code(values, library),
        )
    wide = values.astype("uint32")
    return ((wide * 255 + top // 2) // top).astype("uint8")


def of_floats(values: Any, library: ArrayLibrary = PILLOW) -> Any:
    """Return floats from 0 to 1, of a picture or an array, as uint8.

    Raises:
        MediaArrayError: values out of range, not finite, or all within the first step of 255, as
            those of a picture that was divided by 255 twice.
    """
    import numpy

    low, high = float(values.min()), float(values.max())
    if not (low >= 0.0 and high <= 1.0):  # false for NaN too
        raise _beyond(values, "finite values in [0, 1], 0 black and 1 white", library)
    if 0 < high <= _STEP and bool(((values > 0) & (values < _STEP * 0.99)).any()):
        raise MediaArrayError(
            f"the brightest float is {high}: it would look black",
            expected="floats from 0 (black) to 1 (white)",
            hint=f"{library.name} / {high}, if they were divided by 255 twice",
        )
    return numpy.rint(values * 255.0).astype("uint8")


def _beyond(values: Any, expected: str, library: ArrayLibrary) -> MediaArrayError:
    return MediaArrayError(
        f"grey values from {values.min()} to {values.max()} were given",
        expected=expected,
        hint=scaling_code(values, library),
    )


def _top_of(image: PIL.Image.Image) -> int:
    """The value of white; a TIFF may say that it has 12 bits, which Pillow does not scale to 16."""
    bits = _tag(image, _BITS_PER_SAMPLE)
    has_fewer = bits is not None and 8 < bits < 16 and image.mode.startswith("I;")
    return (1 << bits) - 1 if bits is not None and has_fewer else _TOP


def _tag(image: PIL.Image.Image, number: int) -> int | None:
    tags = getattr(image, "tag_v2", None)
    value = None if tags is None else tags.get(number)
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, int) else None
