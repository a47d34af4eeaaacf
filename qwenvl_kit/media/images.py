"""One picture: its size from the header, and its pixels upright and in RGB."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from qwenvl_kit.errors import MediaDecodeError
from qwenvl_kit.geometry import Size
from qwenvl_kit.media.arrays import array_size, is_array
from qwenvl_kit.media.grey import check_sign, is_deep_grey, to_8_bits
from qwenvl_kit.media.isolation.choice import is_image_isolated
from qwenvl_kit.media.isolation.images import decode_image_isolated, read_header_isolated
from qwenvl_kit.media.pillow_objects import (
    content_of,
    exif_orientation,
    load,
    orientation_of,
    pixels_of,
    reopened,
)
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.profiles import is_srgb, to_srgb
from qwenvl_kit.media.sources import open_header, open_image, opened_source
from qwenvl_kit.media.types import ImageHeader, Opened, Resize
from qwenvl_kit.plans import ImagePlan

if TYPE_CHECKING:
    import PIL.Image

_SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that exchange height and width (EXIF 2.32, tag 274)."""

_ORIENTED_BY = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")
"""Entries in which Pillow finds an orientation; a picture that was turned must lose them."""


def read_header(source: Any, policy: MediaPolicy) -> ImageHeader:
    """Return the size and orientation of a picture; an encoded picture is not decoded.

    Raises:
        MediaError: the source cannot be opened, or the policy refuses it.
    """
    import PIL.Image

    if is_array(source):
        size = array_size(source)
        policy.check_size(size)
        return ImageHeader(size, 1)
    if isinstance(source, PIL.Image.Image):
        return _callers_header(source, policy)
    with opened_source(source, policy) as opened:
        if is_image_isolated(opened, policy):
            return read_header_isolated(opened, policy)
        with open_header(opened, policy) as image:
            return _checked_header(image, policy)


def _callers_header(image: PIL.Image.Image, policy: MediaPolicy) -> ImageHeader:
    return _header(image, orientation_of(image), policy)


def _checked_header(image: PIL.Image.Image, policy: MediaPolicy) -> ImageHeader:
    """The header of a picture that the kit itself has opened."""
    # Pillow gives a TIFF's size as if it stood upright, and turns it on its own when it decodes.
    orientation = 1 if image.format == "TIFF" else exif_orientation(image)
    return _header(image, orientation, policy)


def measure_image(source: Any, policy: MediaPolicy) -> Size:
    """Return the size of the upright picture; see `read_header`."""
    return read_header(source, policy).size


def decode_image(source: Any, policy: MediaPolicy) -> PIL.Image.Image:
    """Decode a picture: in sRGB, upright, its transparent parts on white.

    Do not write to the result: it may be the caller's own object.

    Raises:
        MediaError: the source cannot be opened or is damaged, or the policy refuses it.
        MediaArrayError: deep grey in values that have no meaning as grey; see `media.grey`.
    """
    import PIL.Image

    if isinstance(source, PIL.Image.Image):
        return _decode_callers(source, policy)
    with opened_source(source, policy) as opened:
        return _decode_opened(opened, policy)


def _decode_opened(opened: Opened, policy: MediaPolicy) -> PIL.Image.Image:
    if is_image_isolated(opened, policy) or _would_be_filled_up(opened):
        return decode_image_isolated(opened, policy)
    image = open_image(opened, policy)
    header = _checked_header(image, policy)
    image = load(image)
    if _would_be_filled_up(opened):  # the setting has changed during the decoding
        return decode_image_isolated(opened, policy)
    return _checked_by_header(_to_rgb(_turned(image, header.orientation)), header)


def _checked_by_header(image: PIL.Image.Image, header: ImageHeader) -> PIL.Image.Image:
    """The picture; raise MediaDecodeError if its size is not the header's."""
    if (image.height, image.width) == (header.size.height_px, header.size.width_px):
        return image
    raise MediaDecodeError(
        f"the picture is {image.width} x {image.height} px, and its header says {header.size}",
        expected="a picture as large as its header says",
        hint="save it again",
    )


def _decode_callers(image: PIL.Image.Image, policy: MediaPolicy) -> PIL.Image.Image:
    orientation = _callers_header(image, policy).orientation
    if fills_up_truncated_images() and reopened(image) is not None:
        content = content_of(image)
        if content is not None and image.format in policy.image_formats:
            return decode_image(content, policy)
    return _to_rgb(_turned(pixels_of(image), orientation))


def fills_up_truncated_images() -> bool:
    """True if Pillow is set to fill up truncated pictures, a setting for the whole process.

    Pillow reads that setting while it decodes, in any thread. To change it for a moment would
    change it for other threads; the decoding process has its own.
    """
    from PIL import ImageFile

    return bool(ImageFile.LOAD_TRUNCATED_IMAGES)


def _would_be_filled_up(opened: object) -> TypeGuard[Path | bytes]:
    """True if this process would fill up a truncated file or truncated bytes."""
    return isinstance(opened, (Path, bytes)) and fills_up_truncated_images()


def resize_image(image: PIL.Image.Image, size: Size) -> PIL.Image.Image:
    """Resize a picture; the result is always a new object.

    Bicubic, as every Qwen-VL processor declares (`resample: 3` in preprocessor_config.json).
    Pillow's arithmetic is within two steps of 255 of torchvision's, which a backend that has torch
    may use instead.
    """
    import PIL.Image

    return image.resize((size.width_px, size.height_px), PIL.Image.Resampling.BICUBIC)


def show_image(image: PIL.Image.Image, plan: ImagePlan, resize: Resize) -> PIL.Image.Image:
    """Crop, pad and resize an upright picture as planned: the picture that the model sees."""
    import PIL.Image

    if plan.crop is not None:
        crop = plan.crop
        image = image.crop((crop.x1_px, crop.y1_px, crop.x2_px, crop.y2_px))
    if plan.padded is not None:
        padded = PIL.Image.new("RGB", (plan.padded.width_px, plan.padded.height_px), "white")
        padded.paste(image, (0, 0))
        image = padded
    return resize(image, plan.resized)


def _header(image: PIL.Image.Image, orientation: int, policy: MediaPolicy) -> ImageHeader:
    size = Size(height_px=image.height, width_px=image.width)
    policy.check_size(size)
    if orientation in _SIDEWAYS:
        size = Size(height_px=size.width_px, width_px=size.height_px)
    return ImageHeader(size, orientation, _is_plain(image), image.format or "")


def _is_plain(image: PIL.Image.Image) -> bool:
    is_opaque = image.mode in ("RGB", "L") and not image.has_transparency_data
    return is_opaque and is_srgb(image)


def _turned(image: PIL.Image.Image, orientation: int) -> PIL.Image.Image:
    from PIL.Image import Transpose

    if orientation == 1:
        return image
    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    turned = image.transpose(turns[orientation])
    for name in _ORIENTED_BY:
        turned.info.pop(name, None)
    return turned


def _to_rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    import PIL.Image

    check_sign(image)
    if is_deep_grey(image):
        image = to_8_bits(image)
    image = to_srgb(image)
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "La":  # Pillow goes from premultiplied grey to RGBA in two steps only
        image = image.convert("LA")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = PIL.Image.new("RGBA", rgba.size, "white")
        return PIL.Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")
