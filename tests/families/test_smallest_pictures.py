"""Pictures of the smallest sizes pass through the vision encoder of each family."""

from __future__ import annotations

import io

import PIL.Image
import pytest

from qwenvl_kit import Sampling, VisionChat

SIZES = ((1, 1), (1, 2), (2, 1), (1, 199))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_picture_of_a_few_pixels_is_answered(chat: VisionChat, size: tuple[int, int]) -> None:
    file = io.BytesIO()
    PIL.Image.new("RGB", size, "red").save(file, "PNG")
    reply = chat.ask("What is it?", file.getvalue(), sampling=Sampling(max_new_tokens=2))
    assert reply.usage.completion_tokens == 2
    assert reply.plan.visual_tokens > 0
