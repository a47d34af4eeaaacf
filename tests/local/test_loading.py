"""What cannot be loaded says why."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from qwenvl_kit import VisionChat
from qwenvl_kit.errors import (
    BudgetError,
    CheckpointError,
    MissingPackageError,
    ModelLoadError,
    ModelNotFoundError,
    UnknownFamilyError,
)


@pytest.fixture
def copy(tiny_folder: Path, tmp_path: Path) -> Path:
    """A checkpoint to damage."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        VisionChat.from_pretrained(tmp_path / "nowhere")


def test_a_hub_id_without_a_network_says_what_to_check() -> None:
    with pytest.raises(ModelNotFoundError, match="network"):
        VisionChat.from_pretrained("nobody/nothing")


def test_a_folder_without_config_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json"):
        VisionChat.from_pretrained(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_damaged_config_is_no_checkpoint(copy: Path, text: str) -> None:
    (copy / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        VisionChat.from_pretrained(copy)


def test_an_unknown_family_is_refused_with_those_that_are_known(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "model_type": "llava"}))
    with pytest.raises(UnknownFamilyError, match=r"llava.*qwen2_vl"):
        VisionChat.from_pretrained(copy)


def test_missing_weights_are_named(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelLoadError, match="safetensors"):
        VisionChat.from_pretrained(copy)


def test_a_missing_tokenizer_is_named(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="token"):
        VisionChat.from_pretrained(copy)


@pytest.mark.parametrize("options", [{"dtype": "int8"}, {"dtype": "nonsense"}, {"device": "moon"}])
def test_an_unknown_dtype_or_device_is_refused(copy: Path, options: dict[str, str]) -> None:
    with pytest.raises(ModelLoadError, match=next(iter(options))):
        VisionChat.from_pretrained(copy, **options)  # type: ignore[arg-type]


def test_a_misspelt_budget_fails_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match="native"):
        VisionChat.from_pretrained(tmp_path / "nowhere", budget="cheap")  # type: ignore[arg-type]


def test_the_report_says_what_is_loaded(tiny_folder: Path) -> None:
    report = VisionChat.from_pretrained(tiny_folder, dtype="float32").report()
    assert report["family"] == "qwen2_vl"
    assert report["dtype"] == "float32"
    assert report["model"] == str(tiny_folder)


def test_a_closed_chat_says_so(tiny_folder: Path) -> None:
    with VisionChat.from_pretrained(tiny_folder) as chat:
        pass
    with pytest.raises(ModelLoadError, match="closed"):
        chat.ask("hello")


def test_missing_flash_attention_says_what_to_do(tiny_folder: Path) -> None:
    with pytest.raises(MissingPackageError, match="attention='sdpa'"):
        VisionChat.from_pretrained(tiny_folder, attention="flash_attention_2")
