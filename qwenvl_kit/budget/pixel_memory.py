"""The memory that pictures and videos take while their pixels become patches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qwenvl_kit.budget.shapes import ModelShape
from qwenvl_kit.families import Family
from qwenvl_kit.plans import ImagePlan, VideoPlan

FRAMES_AT_A_TIME = 16
"""How many frames of a video the local backend hands to the processor at once."""

_FP32_BYTES = 4


@dataclass(frozen=True)
class MediaLoad:
    """The pictures of a request, or its videos, in patches.

    Attributes:
        patches_of: the patches of each.
        frames_of: the frames of each video; 0 for a picture.
        lengths: how many patches attend to each other: those of a picture, or of a group of
            frames.
    """

    patches_of: tuple[int, ...] = ()
    frames_of: tuple[int, ...] = ()
    lengths: tuple[int, ...] = ()

    @property
    def patches(self) -> int:
        """Of all of them."""
        return sum(self.patches_of)


def loads_of(media: Sequence[ImagePlan | VideoPlan], family: Family) -> tuple[MediaLoad, MediaLoad]:
    """The pictures of a plan in patches, and its videos."""
    area = family.merge_size**2
    images = tuple(plan.tokens * area for plan in media if isinstance(plan, ImagePlan))
    videos = [plan for plan in media if isinstance(plan, VideoPlan)]
    patches = tuple(plan.tokens * area for plan in videos)
    frames = tuple(len(plan.frame_indices) for plan in videos)
    groups = [math.ceil(count / family.temporal_patch_frames) for count in frames]
    lengths = tuple(count // num for count, num in zip(patches, groups))
    return MediaLoad(images, (0,) * len(images), images), MediaLoad(patches, frames, lengths)


def decoded_bytes(shape: ModelShape, load: MediaLoad, family: Family) -> int:
    """The decoded media that a request carries.

    Pillow keeps RGB in 4 bytes a pixel. Frames of videos have 3, together as many as their
    patches have values.
    """
    picture = 4 * family.patch_side_px**2
    return sum(
        (shape.vision.patch_values if frames else picture) * patches
        for patches, frames in zip(load.patches_of, load.frames_of)
    )


def processor_bytes(shape: ModelShape, load: MediaLoad, family: Family) -> int:
    """While pixels become patches (image_processing_qwen2_vl.py, video_processing_qwen2_vl.py)."""
    values = shape.vision.patch_values
    frames = family.temporal_patch_frames
    if not any(load.frames_of):
        # uint8 of all, patches in fp32 of all, the last one in fp32; a picture fills all frames
        # of its patches with the same values. Several are joined by a copy.
        copies = 2 if len(load.patches_of) > 1 else 1
        pictures = (values // frames + copies * _FP32_BYTES * values) * load.patches
        return pictures + _FP32_BYTES * values // frames * sum(load.patches_of[-1:])
    peak = before = 0
    for patches, num_frames in zip(load.patches_of, load.frames_of):
        peak = max(peak, before + values * _video_copies(patches, num_frames, family))
        before += _FP32_BYTES * values * patches
    if len(load.patches_of) > 1:  # joined by a copy
        peak = max(peak, before + _FP32_BYTES * values * load.patches)
    return peak


def _video_copies(patches: int, num_frames: int, family: Family) -> int:
    """Bytes for each value of a patch, times the patches that they are held of.

    The processor holds the frames as uint8 (1), as fp32 (4), as patches (4) and as the list of
    patches joined (4). Where a video comes in parts, the whole (4) is there from the second part
    on, with the first part and the one before.
    """
    group = patches / math.ceil(num_frames / family.temporal_patch_frames)
    part = group * FRAMES_AT_A_TIME / family.temporal_patch_frames
    if num_frames <= FRAMES_AT_A_TIME:
        return 13 * patches
    second = min(part, patches - part)
    third = max(0.0, min(part, patches - 2 * part))
    return int(4 * patches + max(4 * part + 13 * second, 8 * part + 13 * third))
