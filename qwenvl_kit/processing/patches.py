"""The patch encoder: decoded pictures and videos as the pixel values that a model takes.

It needs the checkpoint's processor and no weights, so that training and evaluation can use it
without a backend.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from qwenvl_kit.budget.memory import FRAMES_AT_A_TIME
from qwenvl_kit.families import Family
from qwenvl_kit.media.loader import DecodedMedia


class PatchEncoder:
    """Turns pixels into patches, by the arithmetic of the checkpoint's own processor.

    A patch is one row: the values of `temporal_patch_frames` frames within a square of
    `patch_side_px` pixels, rescaled and normalised.

    Args:
        processor: the checkpoint's processor, as `AutoProcessor` loads it.
        family: the checkpoint's family.
    """

    def __init__(self, processor: Any, family: Family) -> None:
        self._processor = processor
        self._family = family

    def encode_images(self, images: Sequence[DecodedMedia]) -> dict[str, torch.Tensor]:
        """Encode pictures that already have their planned size.

        Args:
            images: RGB pictures of Pillow.

        Returns:
            `pixel_values`, fp32 (patches of all pictures, values of a patch), and
            `image_grid_thw`, int64 (pictures, 3): the patches of each in time, height and width.
            Nothing if there are no pictures.
        """
        if not images:
            return {}
        features = self._processor.image_processor(
            images=list(images), do_resize=False, return_tensors="pt"
        )
        return {name: features[name] for name in ("pixel_values", "image_grid_thw")}

    def encode_videos(self, videos: Sequence[Any]) -> dict[str, torch.Tensor]:
        """Encode videos whose frames are chosen and already have their planned size.

        Args:
            videos: uint8 (frames, height, width, 3) each.

        Returns:
            `pixel_values_videos`, fp32 (patches of all videos, values of a patch), and
            `video_grid_thw`, int64 (videos, 3): the patches of each in time, height and width.
            Nothing if there are no videos.
        """
        if not videos:
            return {}
        encoded = [self._encode_video(frames) for frames in videos]
        pixels = [pixels for pixels, _ in encoded]
        return {
            "pixel_values_videos": pixels[0] if len(pixels) == 1 else torch.cat(pixels),
            "video_grid_thw": torch.cat([grid for _, grid in encoded]),
        }

    def _encode_video(self, frames: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """The patches, (patches, values), and the grid, (1, 3), of one video.

        The processor is given a few frames at a time: it makes several copies of them in fp32,
        and each copy is four times as large as the frames.
        """
        first, grid = self._encode_frames(frames[:FRAMES_AT_A_TIME])
        if len(frames) <= FRAMES_AT_A_TIME:
            return first, grid
        num_groups = math.ceil(len(frames) / self._family.temporal_patch_frames)
        rows_per_group = len(first) // int(grid[0, 0])
        pixels = first.new_empty((num_groups * rows_per_group, *first.shape[1:]))
        pixels[: len(first)] = first
        row = len(first)
        for start in range(FRAMES_AT_A_TIME, len(frames), FRAMES_AT_A_TIME):
            part, _ = self._encode_frames(frames[start : start + FRAMES_AT_A_TIME])
            pixels[row : row + len(part)] = part
            row += len(part)
        grid[0, 0] = num_groups
        return pixels, grid

    def _encode_frames(self, frames: Any) -> tuple[torch.Tensor, torch.Tensor]:
        # Frames are chosen and resized already. The cap is turned off by name because the
        # processor warns if it is left out.
        features = self._processor.video_processor(
            videos=[frames],
            do_resize=False,
            do_sample_frames=False,
            cap_pixels_per_frame=False,
            return_tensors="pt",
        )
        return features["pixel_values_videos"], features["video_grid_thw"]
