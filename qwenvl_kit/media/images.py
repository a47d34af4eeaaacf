"""One picture: its size from the header, its pixels upright and in RGB."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from qwenvl_kit.errors import MediaDecodeError, MediaSizeError
from qwenvl_kit.geometry import Size
from qwenvl_kit.media.arrays import array_size, is_array
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.sources import is_encoded, open_header, open_image
from qwenvl_kit.plans import ImagePlan

if TYPE_CHECKING:
    import PIL.Image

Resize: TypeAlias = "Callable[[PIL.Image.Image, Size], PIL.Image.Image]"
"""Brings a decoded picture to a size; a backend's own, so that pixels are its processor's."""

_ORIENTATION_TAG = 0x0112
_SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that exchange height and width (EXIF 2.32, tag 274)."""


@dataclass(frozen=True)
class ImageHeader:
    """What a picture's header says.

    Attributes:
        size: its size once it stands upright.
        orientation: the EXIF orientation by which it is turned, 1 to 8 (EXIF 2.32, tag 274).
        is_plain: whether it is RGB or grey, of 8 bits and opaque, which every program shows alike.
    """

    size: Size
    orientation: int
    is_plain: bool = False


def read_header(source: Any, policy: MediaPolicy) -> ImageHeader:
    """Size and orientation of a picture; an encoded picture is not decoded.

    Raises:
        MediaError: the source cannot be opened, or the policy refuses it.
    """
    if is_array(source):
        size = array_size(source)
        policy.check_size(size)
        return ImageHeader(size, 1)
    if policy.isolate_images and is_encoded(source):
        from qwenvl_kit.media.isolation.pictures import read_header_apart

        return read_header_apart(source, policy)
    with open_header(source, policy) as image:
        return _checked_header(image, policy)


def measure_image(source: Any, policy: MediaPolicy) -> Size:
    """The size of a picture once it stands upright; see `read_header`."""
    return read_header(source, policy).size


def decode_image(source: Any, policy: MediaPolicy) -> PIL.Image.Image:
    """The picture in RGB, upright, its transparent parts on white.

    Raises:
        MediaError: the source cannot be opened or is damaged, or the policy refuses it.
    """
    if policy.isolate_images and is_encoded(source):
        from qwenvl_kit.media.isolation.pictures import decode_image_apart

        return decode_image_apart(source, policy)
    image = open_image(source, policy)
    _checked_header(image, policy)
    return _to_rgb(_upright(_load(image)))


def resize_image(image: PIL.Image.Image, size: Size) -> PIL.Image.Image:
    """The picture at another size; always a new one.

    Bicubic, as every Qwen-VL processor declares (`resample: 3` in preprocessor_config.json).
    Pillow's arithmetic, within two steps of 255 of torchvision's, which a backend that has torch
    may use instead.
    """
    import PIL.Image

    return image.resize((size.width_px, size.height_px), PIL.Image.Resampling.BICUBIC)


def show_image(image: PIL.Image.Image, plan: ImagePlan, resize: Resize) -> PIL.Image.Image:
    """What a model sees of an upright picture: cut, padded and resized as planned."""
    import PIL.Image

    if plan.crop is not None:
        crop = plan.crop
        image = image.crop((crop.x1_px, crop.y1_px, crop.x2_px, crop.y2_px))
    if plan.padded is not None:
        padded = PIL.Image.new("RGB", (plan.padded.width_px, plan.padded.height_px), "white")
        padded.paste(image, (0, 0))
        image = padded
    return resize(image, plan.resized)


def _checked_header(image: PIL.Image.Image, policy: MediaPolicy) -> ImageHeader:
    size = Size(height_px=image.height, width_px=image.width)
    policy.check_size(size)
    # Pillow gives a TIFF's size as if it stood upright, and turns it on its own when it decodes.
    orientation = 1 if image.format == "TIFF" else _orientation(image)
    if orientation in _SIDEWAYS:
        size = Size(height_px=size.width_px, width_px=size.height_px)
    return ImageHeader(size, orientation, _is_plain(image))


def _is_plain(image: PIL.Image.Image) -> bool:
    return image.mode in ("RGB", "L") and not image.has_transparency_data


def _load(image: PIL.Image.Image) -> PIL.Image.Image:
    import PIL.Image

    try:
        image.load()
    except PIL.Image.DecompressionBombError as error:
        raise MediaSizeError(f"the picture is too large to decode ({error})") from error
    except MemoryError as error:
        raise MediaSizeError("there is too little memory to decode the picture") from error
    except Exception as error:  # decoders raise nearly anything on damaged data
        raise MediaDecodeError(
            f"the picture is damaged or cut short ({error})", hint="fetch or save it again"
        ) from error
    return image


def _orientation(image: PIL.Image.Image) -> int:
    try:
        orientation = int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # damaged EXIF is no reason to refuse a sound picture
        return 1
    return orientation if 1 <= orientation <= 8 else 1


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
