"""Exports of tiny random models, and the same models in transformers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from qwenvl_kit import VisionChat
from qwenvl_kit.testing import build_tiny_model
from tests.local.conftest import one_thread
from tests.openvino_export import export_model

__all__ = ["one_thread"]

FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")


@pytest.fixture(scope="session")
def checkpoint_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model of a family, built when it is first asked for."""
    root = tmp_path_factory.mktemp("checkpoints")

    def folder_of(family: str) -> Path:
        folder = root / family
        return folder if folder.exists() else build_tiny_model(folder, family)

    return folder_of


@pytest.fixture(scope="session")
def export_of(
    checkpoint_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """The folder of its export, likewise: once for all processes of a run, as it takes seconds."""
    pytest.importorskip("openvino", reason="openvino is not installed: the extra 'openvino'")
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exports"
    root.mkdir(exist_ok=True)

    def folder_of(family: str) -> Path:
        folder = root / family
        with FileLock(root / f"{family}.lock"):
            if not folder.exists():
                export_model(checkpoint_of(family), folder, family)
        return folder

    return folder_of


@pytest.fixture(scope="session")
def export(export_of: Callable[[str], Path]) -> Path:
    """The export of one family, where any will do."""
    return export_of("qwen2_vl")


@pytest.fixture(scope="session")
def chat(export: Path) -> Iterator[VisionChat]:
    """A chat with that export, in fp32."""
    with VisionChat.from_openvino(export, dtype="float32") as opened:
        yield opened


@pytest.fixture(scope="session")
def truth(checkpoint_of: Callable[[str], Path]) -> Iterator[VisionChat]:
    """The same weights in transformers, in fp32."""
    with VisionChat.from_pretrained(checkpoint_of("qwen2_vl"), dtype="float32") as opened:
        yield opened
