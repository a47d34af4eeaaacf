"""A model that is written beforehand, and a picture, for each command."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import PIL.Image
import pytest

from qwenvl_kit import VisionChat
from tests.command_line import stand_in


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chat that is loaded in no time, however it is named."""
    stand_in.LOADED.clear()
    stand_in.CHATS.clear()
    monkeypatch.setattr(VisionChat, "from_pretrained", stand_in.load)
    monkeypatch.setattr(VisionChat, "connect", stand_in.load)
    for name in ("QWENVL_MODEL", "QWENVL_API_KEY", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with three pictures."""
    monkeypatch.chdir(tmp_path)
    for name in ("red", "green", "blue"):
        PIL.Image.new("RGB", (56, 56), name).save(tmp_path / f"{name}.png")
    return tmp_path


@pytest.fixture
def given_input(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Gives the standard input its bytes."""

    def give(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), "utf-8"))

    return give
