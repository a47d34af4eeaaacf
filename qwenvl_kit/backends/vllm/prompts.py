"""A request as vLLM's engine takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy

from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.backends.video_timestamps import CLOCK_HERTZ, num_ticks, ticks
from qwenvl_kit.plans import VideoPlan


def prompt_of(request: BackendRequest, ids: list[int]) -> dict[str, Any]:
    """The prompt with its pictures and videos, which vLLM sets in for their placeholders.

    Args:
        request: what is asked.
        ids: the rendered prompt, one placeholder for each picture and video.
    """
    images: list[Any] = []
    videos: list[Any] = []
    for pixels, plan in zip(request.media, request.plan.media.values(), strict=True):
        if isinstance(plan, VideoPlan):
            videos.append((numpy.asarray(pixels), _metadata(plan.timestamps_seconds)))
        else:
            images.append(pixels)
    media = {name: items for name, items in (("image", images), ("video", videos)) if items}
    prompt: dict[str, Any] = {"prompt_token_ids": ids}
    return {**prompt, "multi_modal_data": media} if media else prompt


def _metadata(times: Sequence[float]) -> dict[str, Any]:
    """What vLLM and transformers want to know of frames that are chosen already."""
    return {
        "fps": float(CLOCK_HERTZ),
        "total_num_frames": num_ticks(times),
        "duration": times[-1] - times[0],
        "frames_indices": ticks(times),
        "video_backend": "pyav",
        "do_sample_frames": False,
    }
