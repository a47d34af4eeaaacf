"""Colour profiles (ICC), by which pictures are converted to sRGB, as a viewer shows them.

A profile gives the meaning of a picture's numbers: phones write Display P3, and files for print
hold CMYK. Models were trained on pictures of the web, which are sRGB. A profile that is damaged,
too large or for another kind of pixels is ignored, as browsers do.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import PIL.Image

_MAX_BYTES = 4 * 2**20
"""Largest profile that is read; profiles of printers have up to 3 MB."""

_PROBE_STEP = 15
_SAME_WITHIN = 2
"""Largest difference, in steps of 255, between two makers' profiles of sRGB."""

_SPACES = {"RGB": "RGB ", "RGBA": "RGB ", "L": "GRAY", "CMYK": "CMYK"}
"""The colour space that a profile must name, by the mode of the pixels (ICC.1:2022, 7.2.6)."""


def to_srgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """Convert a picture to sRGB by its profile; return it unchanged if it has none that matters."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not 0 < len(profile) <= _MAX_BYTES:
        return image
    plain, alpha = _in_parts(image)
    transform = None if plain is None else _transform(profile, plain.mode)
    if plain is None or transform is None:
        return image
    converted: PIL.Image.Image = transform.apply(plain)
    if alpha is not None:
        converted.putalpha(alpha)
    converted.info = {name: value for name, value in image.info.items() if name not in _DONE_WITH}
    return converted


_DONE_WITH = ("icc_profile", "transparency")


def is_srgb(image: PIL.Image.Image) -> bool:
    """True if a picture is in sRGB, by its profile, or because it has none."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not 0 < len(profile) <= _MAX_BYTES:
        return True
    return image.mode not in _SPACES or _transform(profile, image.mode) is None


def _in_parts(image: PIL.Image.Image) -> tuple[PIL.Image.Image | None, PIL.Image.Image | None]:
    """A picture in a mode that profiles describe, and its alpha channel."""
    grey = image.mode in ("L", "LA", "La")
    if image.mode == "CMYK":
        return image, None
    if image.mode in ("LAB", "HSV", "1"):
        return None, None
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        clear = image.convert("LA" if grey else "RGBA")
        return clear.convert("L" if grey else "RGB"), clear.getchannel("A")
    return (image if image.mode in _SPACES else image.convert("RGB")), None


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> Any:
    """The transform of pixels in a mode to sRGB; None if none is needed, or none can be made."""
    from PIL import ImageCms

    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if opened.profile.xcolor_space != _SPACES[mode]:
            return None
        target = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(opened, target, mode, "RGB")
        return None if _changes_nothing(transform, mode) else transform
    except Exception:  # LittleCMS refuses damaged profiles in many ways
        return None


def _changes_nothing(transform: Any, mode: str) -> bool:
    import numpy
    import PIL.Image

    if mode == "CMYK":
        return False
    steps = numpy.arange(0, 256, _PROBE_STEP, dtype="uint8")
    colours = numpy.stack(numpy.meshgrid(steps, steps, steps), axis=-1).reshape(len(steps), -1, 3)
    probe = PIL.Image.fromarray(colours if mode == "RGB" else colours[:, :, 0].copy())
    shown = numpy.asarray(transform.apply(probe)).astype(int)
    return int(numpy.abs(shown - numpy.asarray(probe.convert("RGB"))).max()) <= _SAME_WITHIN
