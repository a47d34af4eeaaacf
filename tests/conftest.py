"""Fixtures that several rooms of the tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.lengths import mark_repetitions

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("QWENVL_KIT_REQUIRE_GPU") != "1":
        return
    import torch

    if not torch.cuda.is_available():
        pytest.exit("QWENVL_KIT_REQUIRE_GPU=1 promises a GPU, and there is none", returncode=3)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name long values by their argument: what is drawn at collection may differ by process."""
    return argname if isinstance(val, str | bytes) and len(val) > 60 else None


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_repetitions(items)
    if unsteady := [item.nodeid for item in items if " at 0x" in item.nodeid]:
        raise pytest.UsageError(f"named by where things lie in memory: {unsteady[0]}")
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device, and there is none"))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the Qwen2-VL architecture with random weights."""
    from qwenvl_kit.testing import build_tiny_model

    return build_tiny_model(tmp_path_factory.mktemp("tiny") / "qwen2_vl")
