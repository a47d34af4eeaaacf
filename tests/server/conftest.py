from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from qwenvl_kit import VisionChat

from .speaking import Speaker, serving

Connect = Callable[..., VisionChat]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Chats with servers of this process; all of them end with the test."""
    monkeypatch.setattr("qwenvl_kit.backends.server.client._FIRST_PAUSE_SECONDS", 0.01)
    with ExitStack() as stack:

        def connected(speaker: Speaker, **options: Any) -> VisionChat:
            address = stack.enter_context(serving(speaker))
            return stack.enter_context(VisionChat.connect(address, **options))

        yield connected
