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
    """The media of a request in patches.

    Attributes:
        images: the patches of each picture.
        videos: the patches and frames of each video.
    """

    images: tuple[int, ...]
    videos: tuple[tuple[int, int], ...]

    @property
    def image_patches(self) -> int:
        """Of all pictures."""
        return sum(self.images)

    @property
    def video_patches(self) -> int:
        """Of all videos."""
        return sum(patches for patches, _ in self.videos)

    @property
    def patches(self) -> int:
        """Of all media."""
        return self.image_patches + self.video_patches


def load_of(media: Sequence[ImagePlan | VideoPlan], family: Family) -> MediaLoad:
    """The media of a plan in patches."""
    area = family.merge_size**2
    return MediaLoad(
        tuple(plan.tokens * area for plan in media if isinstance(plan, ImagePlan)),
        tuple(
            (plan.tokens * area, len(plan.frame_indices))
            for plan in media
            if isinstance(plan, VideoPlan)
        ),
    )


def decoded_bytes(shape: ModelShape, load: MediaLoad, family: Family) -> int:
    """The decoded media that a request carries.

    Pillow keeps RGB in 4 bytes a pixel. Frames of videos have 3, together as many as their
    patches have values.
    """
    picture = 4 * family.patch_side_px**2
    return picture * load.image_patches + shape.vision.patch_values * load.video_patches


def processor_bytes(shape: ModelShape, load: MediaLoad, family: Family) -> int:
    """While pixels become patches (image_processing_qwen2_vl.py, video_processing_qwen2_vl.py)."""
    values = shape.vision.patch_values
    frames = family.temporal_patch_frames
    pictures = 0
    if load.images:
        # uint8 of all, patches in fp32 of all, the last one in fp32; a picture fills all frames
        # of its patches with the same values. Several are joined by a copy.
        copies = 2 if len(load.images) > 1 else 1
        pictures = (values // frames + copies * _FP32_BYTES * values) * load.image_patches
        pictures += _FP32_BYTES * values // frames * load.images[-1]
    before = _FP32_BYTES * values * load.image_patches
    peak = pictures
    for patches, num_frames in load.videos:
        peak = max(peak, before + values * _video_copies(patches, num_frames, family))
        before += _FP32_BYTES * values * patches
    if len(load.videos) > 1:  # joined by a copy
        peak = max(peak, before + _FP32_BYTES * values * load.video_patches)
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
