"""The size at which a model sees a picture."""

from __future__ import annotations

import math

from qwenvl_kit.budget.limits import PixelLimits
from qwenvl_kit.errors import MediaSizeError
from qwenvl_kit.families import Family
from qwenvl_kit.geometry import Region, Size

MIN_SIDE_PX = 2
"""A video with a side of one pixel has nothing to see."""


def check_size(size: Size, family: Family) -> None:
    """Refuse a video that the family's processor cannot take.

    Raises:
        MediaSizeError: no pixels, a side of one pixel, or a strip that is too long.
    """
    short_px, long_px = sorted((size.height_px, size.width_px))
    if short_px < MIN_SIDE_PX:
        raise MediaSizeError(
            f"the video is {size}",
            expected=f"sides of at least {MIN_SIDE_PX} px",
            hint="check that the file holds the video that you mean",
        )
    if long_px > short_px * family.max_aspect_ratio:
        raise MediaSizeError(
            f"the video is {size}, a strip of {long_px / short_px:.0f} to 1",
            expected=f"at most {family.max_aspect_ratio:.0f} to 1",
            hint="crop its frames first",
        )


def crop_size(size: Size, crop: Region | None) -> Size:
    """The size of what is shown of a picture.

    Raises:
        MediaSizeError: the region reaches beyond the picture.
    """
    if crop is None:
        return size
    if crop.x2_px > size.width_px or crop.y2_px > size.height_px:
        raise MediaSizeError(
            f"{crop} was to be cut out of a picture of {size}",
            expected="a region within the picture, in pixels of its upright original",
        )
    return crop.size


def pad_size(size: Size, family: Family) -> Size:
    """The size with margins that a picture needs before the models' rule may resize it.

    The rule has no answer to a strip longer than 200 to 1, and would distort a picture of which
    a side is shorter than one visual token: rounding up that side, and not the other.
    """
    least = family.token_side_px
    ratio = family.max_aspect_ratio
    return Size(
        height_px=max(size.height_px, least, math.ceil(size.width_px / ratio)),
        width_px=max(size.width_px, least, math.ceil(size.height_px / ratio)),
    )


def fit_size(size: Size, limits: PixelLimits, token_side_px: int) -> Size:
    """The size nearest to the original's shape that keeps the limits.

    Its sides are multiples of the token side. This is the rule of `smart_resize`, in
    qwen-vl-utils and in the processors of transformers, with which the models were trained:
    round both sides; if the area leaves the limits, scale by the square root of the ratio and
    round towards the limits.
    """
    return _within_side(_fit(size, limits, token_side_px, 1, 1), size, limits, token_side_px)


def fit_video_size(
    size: Size, num_frames: int, limits: PixelLimits, token_side_px: int, frames_per_group: int
) -> Size:
    """The size of each frame where limits are meant for the area of all frames together.

    This is `smart_resize` of Qwen3-VL's video processor, which rounds the number of frames to
    whole groups where it compares, and does not where it scales.

    Args:
        size: of a frame.
        num_frames: how many there are; a single one counts as a group, which it becomes.
        limits: area of all frames together.
        token_side_px: the sides become multiples of it.
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
    """The fitted size, or where its longer side exceeds the limit the largest that does not."""
    long_px = max(fitted.height_px, fitted.width_px)
    if limits.max_side_px is None or long_px <= max(limits.max_side_px, token_side_px):
        return fitted
    original_px = max(size.height_px, size.width_px)
    return Size(
        height_px=_floor_multiple(size.height_px * limits.max_side_px / original_px, token_side_px),
        width_px=_floor_multiple(size.width_px * limits.max_side_px / original_px, token_side_px),
    )


def _at_least(size: Size, side_px: int) -> Size:
    """The size enlarged until no side is shorter than one token."""
    scale = max(side_px / size.height_px, side_px / size.width_px)
    if scale <= 1:
        return size
    return Size(height_px=int(size.height_px * scale), width_px=int(size.width_px * scale))


def shrink_size(size: Size, max_tokens: int, token_side_px: int) -> Size:
    """The largest size near the original's shape that surely takes at most `max_tokens`.

    `fit_size` may take more: for a long strip, or where a least area rounds up.
    """
    scale = math.sqrt(size.area_pixels / max_tokens)
    num_rows = min(max(1, math.floor(size.height_px / scale)), max_tokens)
    num_columns = min(max(1, math.floor(size.width_px / scale)), max_tokens // num_rows)
    return Size(height_px=num_rows * token_side_px, width_px=num_columns * token_side_px)


def exact_size(size: Size, token_side_px: int) -> Size:
    """The size that a user asked for, each side rounded to a multiple of the token side."""
    return Size(
        height_px=max(token_side_px, _to_multiple(size.height_px, token_side_px)),
        width_px=max(token_side_px, _to_multiple(size.width_px, token_side_px)),
    )


def count_tokens(size: Size, token_side_px: int) -> int:
    """Visual tokens of one picture, or of one group of frames, at its resized size."""
    return (size.height_px // token_side_px) * (size.width_px // token_side_px)


def _to_multiple(length_px: int, token_side_px: int) -> int:
    return round(length_px / token_side_px) * token_side_px


def _floor_multiple(length_px: float, token_side_px: int) -> int:
    return max(token_side_px, math.floor(length_px / token_side_px) * token_side_px)
