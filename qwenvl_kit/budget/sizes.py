"""Resized sizes: the size at which the model sees a picture or a frame."""

from __future__ import annotations

import math

from qwenvl_kit.budget.limits import PixelLimits
from qwenvl_kit.errors import MediaSizeError
from qwenvl_kit.families import Family
from qwenvl_kit.geometry import Region, Size

MIN_SIDE_PX = 2
"""The least side of a video in pixels: one pixel shows nothing."""


def check_video_shape(size: Size, family: Family) -> None:
    """Raise an error if the family's processor cannot take a video of this size.

    Raises:
        MediaSizeError: it has no pixels, a side of one pixel, or is too long a strip.
    """
    short_px, long_px = sorted((size.height_px, size.width_px))
    if short_px < MIN_SIDE_PX:
        raise MediaSizeError(
            f"the video is {size}",
            expected=f"sides of at least {MIN_SIDE_PX} px",
            hint="check that this is the right file",
        )
    if long_px > short_px * family.max_aspect_ratio:
        raise MediaSizeError(
            f"the video is {size}, a strip of {long_px / short_px:.0f} to 1",
            expected=f"at most {family.max_aspect_ratio:.0f} to 1",
            hint="crop its frames first",
        )


def crop_size(size: Size, crop: Region | None) -> Size:
    """Return the size of a picture after it is cropped; None as the region crops nothing.

    Raises:
        MediaSizeError: the region reaches beyond the picture.
    """
    if crop is None:
        return size
    if crop.x2_px > size.width_px or crop.y2_px > size.height_px:
        raise MediaSizeError(
            f"{crop} reaches beyond the picture of {size}",
            expected="a region within the picture, in pixels of its upright original",
        )
    return crop.size


def pad_size(size: Size, family: Family) -> Size:
    """Return the size of a picture with the margins that it needs before it can be resized.

    `smart_resize` refuses a strip that is longer than 200 to 1. It would distort a picture with a
    side shorter than one visual token, because it would round up that side alone.
    """
    least = family.token_side_px
    ratio = family.max_aspect_ratio
    return Size(
        height_px=max(size.height_px, least, math.ceil(size.width_px / ratio)),
        width_px=max(size.width_px, least, math.ceil(size.height_px / ratio)),
    )


def fit_size(size: Size, limits: PixelLimits, token_side_px: int) -> Size:
    """Return the size within the limits that is nearest to the original's shape.

    Its sides are multiples of the token side. This is `smart_resize` of qwen-vl-utils and of the
    processors of transformers, with which the models were trained: round both sides; if the area
    is outside the limits, scale by the square root of the ratio and round towards the limits.
    """
    return _within_side(_fit(size, limits, token_side_px, 1, 1), size, limits, token_side_px)


def fit_video_size(
    size: Size, num_frames: int, limits: PixelLimits, token_side_px: int, frames_per_group: int
) -> Size:
    """Return the size of each frame if the limits are for the area of all frames together.

    This is `smart_resize` of Qwen3-VL's video processor. It rounds the number of frames to whole
    groups when it compares the area, and does not when it scales.

    Args:
        size: size of a frame.
        num_frames: number of frames; a single frame counts as a whole group.
        limits: limits of the area of all frames together.
        token_side_px: side of a visual token; the sides become multiples of it.
        frames_per_group: frames that share their patches.
    """
    num_frames = max(num_frames, frames_per_group)
    size = _at_least(size, token_side_px)
    compared = _to_multiple(num_frames, frames_per_group)
    return _fit(size, limits, token_side_px, compared, num_frames)


def _fit(
    size: Size, limits: PixelLimits, token_side_px: int, compared_frames: int, scaled_frames: int
) -> Size:
    height_px = _to_multiple(size.height_px, token_side_px)
    width_px = _to_multiple(size.width_px, token_side_px)
    area_pixels = compared_frames * height_px * width_px
    if area_pixels > limits.max_pixels:
        scale = math.sqrt(scaled_frames * size.area_pixels / limits.max_pixels)
        height_px = _floor_multiple(size.height_px / scale, token_side_px)
        width_px = _floor_multiple(size.width_px / scale, token_side_px)
    elif area_pixels < limits.min_pixels:
        scale = math.sqrt(limits.min_pixels / (scaled_frames * size.area_pixels))
        height_px = math.ceil(size.height_px * scale / token_side_px) * token_side_px
        width_px = math.ceil(size.width_px * scale / token_side_px) * token_side_px
    return Size(height_px=height_px, width_px=width_px)


def _within_side(fitted: Size, size: Size, limits: PixelLimits, token_side_px: int) -> Size:
    """The fitted size; if its longer side is above the limit, the largest size below it."""
    long_px = max(fitted.height_px, fitted.width_px)
    if limits.max_side_px is None or long_px <= max(limits.max_side_px, token_side_px):
        return fitted
    original_px = max(size.height_px, size.width_px)
    return Size(
        height_px=_floor_multiple(size.height_px * limits.max_side_px / original_px, token_side_px),
        width_px=_floor_multiple(size.width_px * limits.max_side_px / original_px, token_side_px),
    )


def _at_least(size: Size, side_px: int) -> Size:
    """The size, enlarged if needed so that no side is shorter than one visual token."""
    scale = max(side_px / size.height_px, side_px / size.width_px)
    if scale <= 1:
        return size
    return Size(height_px=int(size.height_px * scale), width_px=int(size.width_px * scale))


def shrink_size(size: Size, max_tokens: int, token_side_px: int) -> Size:
    """Return the largest size near the original's shape that takes at most `max_tokens`.

    `fit_size` may take more: for a long strip, or if a minimum area is rounded up.
    """
    scale = math.sqrt(size.area_pixels / max_tokens)
    num_rows = min(max(1, math.floor(size.height_px / scale)), max_tokens)
    num_columns = min(max(1, math.floor(size.width_px / scale)), max_tokens // num_rows)
    return Size(height_px=num_rows * token_side_px, width_px=num_columns * token_side_px)


def exact_size(size: Size, token_side_px: int) -> Size:
    """Return the exact size that a user asked for, rounded to multiples of the token side."""
    return Size(
        height_px=max(token_side_px, _to_multiple(size.height_px, token_side_px)),
        width_px=max(token_side_px, _to_multiple(size.width_px, token_side_px)),
    )


def _to_multiple(length_px: int, token_side_px: int) -> int:
    return round(length_px / token_side_px) * token_side_px


def _floor_multiple(length_px: float, token_side_px: int) -> int:
    return max(token_side_px, math.floor(length_px / token_side_px) * token_side_px)
