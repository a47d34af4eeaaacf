"""A tiny random model in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from qwenvl_kit import Message, VisionChat
from qwenvl_kit.backends.local import LocalBackend, load_backend
from tests.by_hand import CONVERSATIONS


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny matrices are slower on several threads than on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def backend(tiny_folder: Path) -> LocalBackend:
    return load_backend(tiny_folder)


@pytest.fixture(scope="session")
def chat(backend: LocalBackend) -> VisionChat:
    return VisionChat(backend)


@pytest.fixture(params=CONVERSATIONS.values(), ids=CONVERSATIONS.keys())
def conversation(request: pytest.FixtureRequest) -> list[Message]:
    """Each form of conversation in turn."""
    return list(request.param)
