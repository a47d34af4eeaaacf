"""Adapters of a model that vLLM runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from qwenvl_kit import PixelBudget, VisionChat
from qwenvl_kit.embedded import MODEL_FOLDER
from qwenvl_kit.errors import AdapterError, UnsafeWeightsError, UnsupportedFeatureError
from qwenvl_kit.training import export_merged
from tests.adapters import record_of

from .pretending import Core, opened, pretended

TRAINED = PixelBudget(4, 16)
LARGE = PIL.Image.new("RGB", (600, 600), "red")


def adapter(folder: Path, **settings: Any) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"r": 8, **settings}))
    (folder / "adapter_model.safetensors").write_bytes(b"")
    record_of(Path(MODEL_FOLDER), TRAINED).write(folder)
    return folder


@pytest.mark.parametrize(("rank", "reserved"), [(8, 16), (16, 16), (17, 32), (200, 256)])
def test_vllm_is_started_with_enough_rank(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rank: int, reserved: int
) -> None:
    folder = adapter(tmp_path / "receipts", r=4, rank_pattern={"q_proj": rank})
    core = Core()
    with pretended(monkeypatch, core) as arguments:
        with VisionChat.from_vllm(MODEL_FOLDER, adapter=folder, calibrator=None) as chat:
            assert chat.adapters.active == "receipts"
            assert chat.plan("?", LARGE).visual_tokens <= 16
            assert "receipts" in chat.report()["budget"]
    assert arguments["enable_lora"] is True
    assert arguments["max_lora_rank"] == reserved
    assert [lora.name for lora in core.loras] == ["receipts"]


def test_an_argument_of_the_user_comes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = adapter(tmp_path / "receipts")
    with pretended(monkeypatch, Core()) as arguments:
        VisionChat.from_vllm(MODEL_FOLDER, adapter=folder, max_lora_rank=64).close()
    assert arguments["max_lora_rank"] == 64


@pytest.mark.parametrize(
    "settings", [{"r": 100_000}, {"r": "8"}, {"rank_pattern": [1]}, {"rank_pattern": {"a": "b"}}]
)
def test_a_rank_that_vllm_cannot_load_is_told_before_it_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: dict[str, Any]
) -> None:
    folder = adapter(tmp_path / "receipts", **settings)
    with pretended(monkeypatch, Core()) as arguments:
        with pytest.raises(AdapterError, match="rank"):
            VisionChat.from_vllm(MODEL_FOLDER, adapter=folder)
    assert arguments == {}


def test_a_record_that_does_not_fit_is_told_before_vllm_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = adapter(tmp_path / "receipts")
    with pretended(monkeypatch, Core()) as arguments:
        with pytest.raises(AdapterError, match="max_tokens=16"):
            VisionChat.from_vllm(MODEL_FOLDER, adapter=folder, budget="quick")
        record_of(Path(MODEL_FOLDER), TRAINED, template="0" * 64).write(folder)
        with pytest.raises(AdapterError, match="chat template"):
            VisionChat.from_vllm(MODEL_FOLDER, adapter=folder)
    assert arguments == {}


def test_a_later_adapter_is_compared_likewise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = adapter(tmp_path / "receipts")
    with opened(monkeypatch, Core(), enable_lora=True, budget=TRAINED) as chat:
        assert chat.adapters.load(folder) == "receipts"
        record_of(Path(MODEL_FOLDER), TRAINED, family="qwen3_vl").write(folder)
        with pytest.raises(AdapterError, match="family"):
            chat.adapters.load(folder, "again")
        record_of(Path(MODEL_FOLDER), PixelBudget(4, 8)).write(folder)
        with pytest.raises(AdapterError, match="max_tokens=8"):
            chat.adapters.load(folder, "again")
        shutil.rmtree(folder)
        with pytest.raises(AdapterError):
            chat.adapters.load(folder, "again")
        assert chat.adapters.names == ("receipts",)


def test_an_engine_whose_adapter_fails_is_closed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, core = adapter(tmp_path / "receipts"), Core()

    def fail(_: object) -> None:
        raise ValueError("rank")

    monkeypatch.setattr(core, "add_lora", fail)
    with pretended(monkeypatch, core):
        with pytest.raises(AdapterError, match="cannot load"):
            VisionChat.from_vllm(MODEL_FOLDER, adapter=folder)
    assert core.is_shut_down


def test_pickled_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = adapter(tmp_path / "receipts")
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pretended(monkeypatch, Core()):
        with pytest.raises(UnsafeWeightsError):
            VisionChat.from_vllm(MODEL_FOLDER, adapter=folder)


def test_vllm_exports_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = adapter(tmp_path / "receipts")
    with opened(monkeypatch, Core(), adapter=folder) as chat:
        with pytest.raises(UnsupportedFeatureError, match="from_pretrained"):
            export_merged(chat, tmp_path / "whole")
    assert not (tmp_path / "whole").exists()
