"""The peak of an explanation lies on the shape that the question names."""

from __future__ import annotations

import pytest

from examples.embedded_model.pointing_game import measure
from qwenvl_kit import VisionChat


@pytest.mark.parametrize("method", ["attention", "gradient"])
def test_explanations_point_at_the_shape_that_is_named(chat: VisionChat, method: str) -> None:
    scores = measure(chat, "promise", 20, [method])[method, "all"]  # type: ignore[list-item]
    assert len(scores) > 50
    assert sum(each.near for each in scores) / len(scores) >= 0.85
    assert sum(each.chance_near for each in scores) / len(scores) < 0.2
