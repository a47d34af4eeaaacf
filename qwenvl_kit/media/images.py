"""One picture: its size from the header, its pixels upright and in RGB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qwenvl_kit.errors import MediaDecodeError, MediaSizeError
from qwenvl_kit.media.arrays import array_size, is_array
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.sources import open_image
from qwenvl_kit.plans import Size

if TYPE_CHECKING:
    import PIL.Image

_ORIENTATION_TAG = 0x0112
_SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that exchange height and width (EXIF 2.32, tag 274)."""


def measure_image(source: Any, policy: MediaPolicy) -> Size:
    """The size of a picture once it stands upright; an encoded picture is not decoded.

    Raises:
        MediaError: the source cannot be opened, or the policy refuses it.
    """
    if is_array(source):
        size = array_size(source)
        policy.check_size(size)
        return size
    return _checked_size(open_image(source, policy), policy)


def decode_image(source: Any, policy: MediaPolicy) -> PIL.Image.Image:
    """The picture in RGB, upright, its transparent parts on white.

    Raises:
        MediaError: the source cannot be opened or is damaged, or the policy refuses it.
    """
    image = open_image(source, policy)
    _checked_size(image, policy)
    return _to_rgb(_upright(_load(image)))


def resize_image(image: PIL.Image.Image, size: Size) -> PIL.Image.Image:
    """The picture at another size; always a new one.

    Bicubic, as every Qwen-VL processor declares (`resample: 3` in preprocessor_config.json).
    Pillow's arithmetic, within two steps of 255 of torchvision's, which a backend that has torch
    may use instead.
    """
    import PIL.Image

    return image.resize((size.width_px, size.height_px), PIL.Image.Resampling.BICUBIC)


def _checked_size(image: PIL.Image.Image, policy: MediaPolicy) -> Size:
    size = Size(height_px=image.height, width_px=image.width)
    policy.check_size(size)
    # Pillow gives a TIFF's size as if it stood upright, and turns it on its own when it decodes.
    if image.format != "TIFF" and _orientation(image) in _SIDEWAYS:
        return Size(height_px=size.width_px, width_px=size.height_px)
    return size


def _load(image: PIL.Image.Image) -> PIL.Image.Image:
    import PIL.Image

    try:
        image.load()
    except PIL.Image.DecompressionBombError as error:
        raise MediaSizeError(f"the picture is too large to decode ({error})") from error
    except Exception as error:  # decoders raise nearly anything on damaged data
        raise MediaDecodeError(
            f"the picture is damaged or cut short ({error})", hint="fetch or save it again"
        ) from error
    return image


def _orientation(image: PIL.Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # damaged EXIF is no reason to refuse a sound picture
        return 1


def _upright(image: PIL.Image.Image) -> PIL.Image.Image:
    from PIL import ImageOps

    if _orientation(image) == 1:
        return image
    turned = ImageOps.exif_transpose(image)
    return image if turned is None else turned


def _to_rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    import PIL.Image

    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_grey_to_rgb(image)
    if image.mode == "La":  # Pillow goes from premultiplied grey to RGBA in two steps only
        image = image.convert("LA")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = PIL.Image.new("RGBA", rgba.size, "white")
        return PIL.Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _deep_grey_to_rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """Grey of more than 8 bits, scaled: Pillow's own conversion would clip it to white."""
    is_16_bit = image.mode.startswith("I;")
    if is_16_bit:  # Pillow converts those of odd byte order to this one alone
        image = image.convert("I")
    low, high = _extrema(image)
    if is_16_bit:
        scale = 255.0 / 65535.0
    elif image.mode == "F" and low >= 0.0 and high <= 1.0:
        scale = 255.0
    elif high > 255:
        scale = 255.0 / (65535.0 if high <= 65535 else high)
    else:
        scale = 1.0
    grey = image.convert("F").point(lambda value: value * scale + 0.5)
    return grey.convert("L").convert("RGB")


def _extrema(image: PIL.Image.Image) -> tuple[float, float]:
    low, high = image.getextrema()  # a pair of numbers in every mode of one band
    return float(low), float(high)  # type: ignore[arg-type]
