"""The position encoder: M-RoPE positions of a prompt's tokens, in text, time, height and width.

It needs the configuration of a model and no weights, so that training and evaluation can use it
without a backend.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from qwenvl_kit.budget.frames import frame_rate
from qwenvl_kit.families import Family
from qwenvl_kit.plans import ImagePlan, VideoPlan
from qwenvl_kit.processing.prompt_encoder import Prompt


class PositionEncoder:
    """Computes positions from a prompt and the plans of its media; it needs no pixels.

    It uses no state of the model either: a model of transformers keeps the offsets of its last
    call (`rope_deltas`), which are wrong for any other prompt.

    Args:
        model: the model of transformers, whose `get_rope_index` does the arithmetic. It may lie
            on the "meta" device, without weights.
        family: the checkpoint's family.
    """

    def __init__(self, model: Any, family: Family) -> None:
        self._model = model
        self._family = family

    def encode_positions(
        self, prompt: Prompt, media: Sequence[ImagePlan | VideoPlan]
    ) -> torch.Tensor:
        """Return the position of each token of a prompt.

        Args:
            prompt: the encoded prompt.
            media: the plans of its pictures and videos, in their order in the prompt.

        Returns:
            int64 (4, prompt length): the index in the text, then the M-RoPE positions in time,
            height and width. This is the form of `position_ids`, without its batch axis.
        """
        text = torch.arange(len(prompt.ids))
        if not media:
            return text.expand(4, -1)
        ids = torch.tensor([prompt.ids])
        config = self._model.config
        kinds = torch.zeros_like(ids)
        kinds[ids == config.image_token_id] = 1
        kinds[ids == config.video_token_id] = 2
        visual, _ = self._model.model.get_rope_index(
            ids, mm_token_type_ids=kinds, attention_mask=torch.ones_like(ids), **self._grids(media)
        )
        return torch.cat([text[None], visual[:, 0]])

    def _grids(self, media: Sequence[ImagePlan | VideoPlan]) -> dict[str, torch.Tensor]:
        images = [self.grid(plan) for plan in media if isinstance(plan, ImagePlan)]
        videos = [plan for plan in media if isinstance(plan, VideoPlan)]
        grids: dict[str, torch.Tensor] = {}
        if images:
            grids["image_grid_thw"] = torch.tensor(images)
        if videos:
            grids["video_grid_thw"] = torch.tensor([self.grid(video) for video in videos])
            if self._family.positions_in_seconds:
                grids["second_per_grid_ts"] = torch.tensor([*map(self.seconds_per_group, videos)])
        return grids

    def grid(self, plan: ImagePlan | VideoPlan) -> tuple[int, int, int]:
        """The number of patches of a picture or video in time, height and width."""
        side = self._family.patch_side_px
        num_frames = 1 if isinstance(plan, ImagePlan) else len(plan.frame_indices)
        return (
            math.ceil(num_frames / self._family.temporal_patch_frames) if num_frames > 1 else 1,
            plan.resized.height_px // side,
            plan.resized.width_px // side,
        )

    def seconds_per_group(self, video: VideoPlan) -> float:
        """The duration of one group of frames, which share their patches, in seconds."""
        return self._family.temporal_patch_frames / frame_rate(video.timestamps_seconds)
