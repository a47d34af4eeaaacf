"""The memory of pictures and videos while their pixels become patches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qwenvl_kit.budget.shapes import ModelShape
from qwenvl_kit.families import Family
from qwenvl_kit.plans import ImagePlan, VideoPlan

FRAMES_AT_A_TIME = 16
"""Frames of a video that the local backend passes to the processor at once."""

_FP32_BYTES = 4


@dataclass(frozen=True)
class MediaLoad:
    """The pictures of a request, or its videos, as numbers of patches.

    Attributes:
        patches_of: patches of each picture or video.
        frames_of: frames of each video; 0 for a picture.
        lengths: numbers of patches that attend to each other: those of each picture, or of a group
            of frames of each video.
    """

    patches_of: tuple[int, ...] = ()
    frames_of: tuple[int, ...] = ()
    lengths: tuple[int, ...] = ()

    @property
    def patches(self) -> int:
        """The patches of all pictures or videos together."""
        return sum(self.patches_of)


def loads_of(media: Sequence[ImagePlan | VideoPlan], family: Family) -> tuple[MediaLoad, MediaLoad]:
    """Return the pictures of a plan and its videos, as numbers of patches."""
    area = family.merge_size**2
    images = tuple(plan.tokens * area for plan in media if isinstance(plan, ImagePlan))
    videos = [plan for plan in media if isinstance(plan, VideoPlan)]
    patches = tuple(plan.tokens * area for plan in videos)
    frames = tuple(len(plan.frame_indices) for plan in videos)
    groups = [math.ceil(count / family.temporal_patch_frames) for count in frames]
    lengths = tuple(count // num for count, num in zip(patches, groups))
    return MediaLoad(images, (0,) * len(images), images), MediaLoad(patches, frames, lengths)


def decoded_bytes(shape: ModelShape, load: MediaLoad, family: Family) -> int:
    """Return the bytes of the decoded pictures and frames that a request holds.

    Pillow keeps RGB in 4 bytes per pixel. Frames of videos take 3 bytes per pixel, which is one
    byte for each value of their patches.
    """
    picture = 4 * family.patch_side_px**2
    return sum(
        (shape.vision.patch_values if frames else picture) * patches
        for patches, frames in zip(load.patches_of, load.frames_of)
    )


def processor_bytes(shape: ModelShape, load: MediaLoad, family: Family) -> int:
    """Return the peak bytes of the processor while it turns pixels into patches.

    See image_processing_qwen2_vl.py and video_processing_qwen2_vl.py of transformers.
    """
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
    """The copies of a video in the processor: bytes per value of a patch, times the patches.

    The processor holds the frames as uint8 (1), as fp32 (4), as patches (4) and as joined patches
    (4). If a video is processed in parts, the joined video (4) exists from the second part on,
    together with the first part and the previous one.
    """
    group = patches / math.ceil(num_frames / family.temporal_patch_frames)
    part = group * FRAMES_AT_A_TIME / family.temporal_patch_frames
    if num_frames <= FRAMES_AT_A_TIME:
        return 13 * patches
    second = min(part, patches - part)
    third = max(0.0, min(part, patches - 2 * part))
    return int(4 * patches + max(4 * part + 13 * second, 8 * part + 13 * third))
