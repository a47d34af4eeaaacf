"""The position encoder: M-RoPE positions of a prompt's tokens, in text, time, height and width.

It needs the configuration of a model and no weights, so that training and evaluation can use it
without a backend.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from qwenvl_kit.budget.frames import frame_rate
from qwenvl_kit.families import Family
from qwenvl_kit.plans import ImagePlan, VideoPlan
from qwenvl_kit.processing.prompt_encoder import Prompt

_NUM_RECENT = 8
"""The number of prompts whose positions are kept, up to the last picture of each."""


@dataclass(frozen=True, eq=False)
class _Beginning:
    """The beginning of a prompt, up to the end of its last picture or video.

    Attributes:
        ids: its tokens.
        media: the plans of its pictures and videos, one at least.
        positions: its positions, (4, tokens).
        following: the position in time, height and width of the text after it. For a video that is
            not always one more than the largest before it.
    """

    ids: list[int]
    media: tuple[ImagePlan | VideoPlan, ...]
    positions: torch.Tensor
    following: int

    @property
    def cut(self) -> int:
        """The number of its tokens."""
        return len(self.ids)


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
        self._recent: deque[_Beginning] = deque(maxlen=_NUM_RECENT)

    def encode_positions(
        self, prompt: Prompt, media: Sequence[ImagePlan | VideoPlan]
    ) -> torch.Tensor:
        """Return the position of each token of a prompt.

        The beginning of a recent prompt, up to its last picture, is not computed again: positions
        depend on nothing that follows. So each turn of a conversation costs its own pictures.

        Args:
            prompt: the encoded prompt.
            media: the plans of its pictures and videos, in their order in the prompt.

        Returns:
            int64 (4, prompt length): the index in the text, then the M-RoPE positions in time,
            height and width. This is the form of `position_ids`, without its batch axis.
        """
        known = self._known(prompt, media)
        if known is None:
            positions = self.compute(prompt.ids, media)
        else:
            cut, num_media = known.cut, len(known.media)
            rest = self.compute(prompt.ids[cut:], media[num_media:])
            rest[0] += cut
            rest[1:] += known.following
            positions = torch.cat([known.positions, rest], dim=1)
        if media and (cut := prompt.spans[-1].end) < len(prompt.ids):
            self._recent.append(
                _Beginning(
                    prompt.ids[:cut],
                    tuple(media),
                    positions[:, :cut],
                    following=int(positions[1, cut]),
                )
            )
        return positions

    def _known(self, prompt: Prompt, media: Sequence[ImagePlan | VideoPlan]) -> _Beginning | None:
        """The longest recent prompt, up to its last picture, with which a prompt begins."""
        found: _Beginning | None = None
        for known in tuple(self._recent):
            num_media, cut = len(known.media), known.cut
            if (
                num_media <= len(media)
                and (found is None or cut > found.cut)
                and prompt.spans[num_media - 1].end == cut
                and prompt.ids[:cut] == known.ids
                and tuple(media[:num_media]) == known.media
            ):
                found = known
        return found

    def compute(
        self, token_ids: Sequence[int], media: Sequence[ImagePlan | VideoPlan]
    ) -> torch.Tensor:
        """Return the positions of tokens at the beginning of a sequence; nothing is remembered.

        Args:
            token_ids: the tokens.
            media: the plans of the pictures and videos among them, in their order.

        Returns:
            int64 (4, tokens), as from `encode_positions`.
        """
        text = torch.arange(len(token_ids))
        if not media:
            return text.repeat(4, 1)
        ids = torch.tensor([token_ids])
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
