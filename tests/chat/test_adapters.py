"""`chat.adapters`, as users reach it."""

from __future__ import annotations

import pytest

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import UnsupportedFeatureError


def test_a_backend_without_adapters_says_so() -> None:
    with pytest.raises(UnsupportedFeatureError, match="from_pretrained"):
        VisionChat(ScriptedBackend(["yes"])).adapters  # noqa: B018
