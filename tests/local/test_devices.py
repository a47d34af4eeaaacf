"""What is read of the devices of a machine."""

from __future__ import annotations

import pytest
import torch

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.local import devices
from qwenvl_kit.errors import PlacementError
from qwenvl_kit.testing import build_tiny_model


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two pretended GPUs; the names of those that were asked for their memory."""
    asked: list[str] = []

    def free_bytes(device: torch.device) -> int:
        asked.append(str(device))
        if device.index == 1:
            raise RuntimeError("CUDA error: device is busy\nmore")
        return 10**9

    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(devices, "read_free_bytes", free_bytes)
    return asked


def test_a_busy_gpu_is_passed_over(two_gpus: list[str]) -> None:
    hardware = devices.read_hardware()
    assert [device.name for device in hardware.accelerators] == ["cuda:0"]
    assert hardware.unusable_gpu == ""


def test_only_the_gpu_that_was_named_is_asked(two_gpus: list[str]) -> None:
    hardware = devices.read_hardware(torch.device("cuda:1"))
    assert two_gpus == ["cuda:1"]
    assert hardware.unusable_gpu == "cuda:1 does not answer (CUDA error: device is busy)"


def test_no_gpu_is_asked_for_the_processor(
    two_gpus: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = build_tiny_model(tmp_path_factory.mktemp("tiny"))
    VisionChat.from_pretrained(folder, device="cpu", attention="sdpa", dtype="float32").close()
    assert two_gpus == []


def test_gpus_that_all_fail_do_not_mean_the_processor(
    two_gpus: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from qwenvl_kit.backends.local.loading.device_map import SMALL_BYTES, Need, choose_placement

    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 0)
    monkeypatch.setattr(devices, "_unusable_gpu", lambda: "cuda:0 does not answer")
    with pytest.raises(PlacementError, match="does not answer"):
        choose_placement("auto", Need(SMALL_BYTES + 1), devices.read_hardware())
