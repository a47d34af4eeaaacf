"""Colour of 16 bits, and grey with alpha of 16 bits, which Pillow reduces to 8 bits by itself.

Pillow keeps the upper byte of each value when it reads the pixels. A picture that fills less than
an eighth of its range, such as 12 bits of a camera in a file of 16, would become nearly black, or
black if all values are below 256. Such a picture is refused, as is grey of 16 bits (`media.grey`).
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from qwenvl_kit.errors import MediaArrayError

if TYPE_CHECKING:
    import PIL.Image

_BITS_PER_SAMPLE = 258
"""Tag of TIFF 6.0."""

_DARK = 255 // 8
_GREY = "LA;16B"
_OTHER_BYTE = {
    _GREY: "RGBA",  # both bytes of grey and alpha, side by side
    **{f"{mode};16B": f"{mode};16L" for mode in ("RGB", "RGBA", "RGBX", "RGBa", "CMYK")},
    **{f"{mode};16L": f"{mode};16B" for mode in ("RGB", "RGBA", "RGBX", "RGBa", "CMYK")},
    **{f"{mode};16N": f"{mode};16B" for mode in ("RGB", "RGBA", "RGBX", "RGBa", "CMYK")},
}
"""Raw modes of Pillow that read the lower byte of each value, by the raw mode that reads the upper
byte; N is the byte order of most machines."""


def is_deep_colour(image: PIL.Image.Image) -> bool:
    """True if a picture's file has 16 bits per channel, of which Pillow keeps 8.

    Call this before the pixels are read; only a TIFF, which keeps its tags, can be asked later.
    """
    if image.mode not in ("RGB", "RGBA", "RGBX", "RGBa", "CMYK", "LA", "La"):
        return False
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, ())
    if isinstance(bits, tuple) and bits and bits[0] == 16:
        return True
    return any(_is_of_16(tile) for tile in getattr(image, "tile", ()))


def check_depth(image: PIL.Image.Image, content: bytes | None = None) -> None:
    """Refuse colour of 16 bits that uses only the lowest part of its range.

    Args:
        image: the picture, with its pixels read.
        content: its encoded bytes, to search for values below 256; None if they are not at hand.

    Raises:
        MediaArrayError: it would be nearly black.
    """
    brightest = _brightest(image)
    if brightest > _DARK or (brightest == 0 and not _has_lower_bytes(image, content)):
        return
    raise MediaArrayError(
        f"the brightest value of the 16-bit colours is {brightest} of 255: it would look black",
        expected="white near 65535 in a picture of 16 bits per channel",
        hint="with OpenCV: values = cv2.imread(path, cv2.IMREAD_UNCHANGED)[..., 2::-1], "
        "then values / values.max()",
    )


def _is_of_16(tile: Any) -> bool:
    options = tile[3]
    if tile[0] in ("ppm", "ppm_plain"):
        return isinstance(options, tuple) and isinstance(options[-1], int) and options[-1] == 65535
    return ";16" in str(_raw_mode(options))


def _raw_mode(options: Any) -> Any:
    return options[0] if isinstance(options, tuple) and options else options


def _brightest(image: PIL.Image.Image) -> int:
    """The largest value in any channel but alpha."""
    colours = "CMYK" if image.mode == "CMYK" else "RGBL"
    bands = [number for number, name in enumerate(image.getbands()) if name in colours]
    return max(int(image.getchannel(number).getextrema()[1]) for number in bands)  # type: ignore[arg-type]


def _has_lower_bytes(image: PIL.Image.Image, content: bytes | None) -> bool:
    """True if a picture that Pillow reads as black has lower bytes from 1 to 255."""
    if content is None:
        return False
    kind: Any = type(image)
    try:
        again = kind(io.BytesIO(content))
        again.seek(image.tell())
        is_grey = any(_raw_mode(tile[3]) == _GREY for tile in again.tile)
        again.tile = [_lower(tile) for tile in again.tile]
        again.load()
        # Then red is the upper byte of grey, and green its lower byte; blue and alpha are alpha's.
        return int(again.getchannel("G").getextrema()[1]) > 0 if is_grey else _brightest(again) > 0
    except Exception:  # a packing that has no such raw mode
        return False


def _lower(tile: Any) -> Any:
    raw = _raw_mode(tile[3])
    other = _OTHER_BYTE[raw]
    options = other if raw is tile[3] else (other, *tile[3][1:])
    return tile._replace(args=options) if hasattr(tile, "_replace") else (*tile[:3], options)
