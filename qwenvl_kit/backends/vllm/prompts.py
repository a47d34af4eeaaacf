"""The prompt of a request in the form that vLLM's engine takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy

from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.backends.video_timestamps import CLOCK_HERTZ, num_ticks, ticks
from qwenvl_kit.plans import VideoPlan


def prompt_of(request: BackendRequest, ids: list[int]) -> dict[str, Any]:
    """Make the prompt with its pictures and videos, which replace their placeholders in vLLM.

    Args:
        request: the request.
        ids: the token ids of the rendered prompt, one placeholder for each picture and video.
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
    """The video metadata of vLLM and transformers, for frames that were already chosen."""
    return {
        "fps": float(CLOCK_HERTZ),
        "total_num_frames": num_ticks(times),
        "duration": times[-1] - times[0],
        "frames_indices": ticks(times),
        "video_backend": "pyav",
        "do_sample_frames": False,
    }
