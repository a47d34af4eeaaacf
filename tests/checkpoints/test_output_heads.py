"""An output layer of its own is counted, whatever config.json says of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from qwenvl_kit import VisionChat, inspect
from qwenvl_kit.checkpoints.output_heads import with_own_head
from qwenvl_kit.checkpoints.settings import read_settings
from qwenvl_kit.checkpoints.weights import read_tensors

WEIGHTS = "model.safetensors"


@pytest.fixture
def copy(tiny_folder: Path, tmp_path: Path) -> Path:
    """A checkpoint whose config.json ties the output layer."""
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "copy"))
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"]
    return folder


def add_head(folder: Path, change: float) -> torch.Tensor:
    """A head like the embeddings but for the last value."""
    weights = load_file(folder / WEIGHTS)
    (table,) = [name for name in weights if name.endswith("embed_tokens.weight")]
    head = weights[table].clone()
    head[-1, -1] += change
    save_file(weights | {"lm_head.weight": head}, folder / WEIGHTS, metadata={"format": "pt"})
    return head


def split(folder: Path) -> None:
    """The same weights in two files."""
    weights = load_file(folder / WEIGHTS)
    parts = {"model-1.safetensors": {"lm_head.weight": weights.pop("lm_head.weight")}}
    parts["model-2.safetensors"] = weights
    for name, part in parts.items():
        save_file(part, folder / name, metadata={"format": "pt"})
    (folder / WEIGHTS).unlink()
    weight_map = {tensor: name for name, part in parts.items() for tensor in part}
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("are_shards", [False, True], ids=["one file", "shards"])
@pytest.mark.parametrize("change", [0.0, 1.0], ids=["a copy", "its own"])
def test_the_predicted_bytes_are_those_of_the_model_that_is_loaded(
    copy: Path, change: float, are_shards: bool
) -> None:
    """transformers compares the two and keeps both where they differ by a value."""
    head = add_head(copy, change)
    if are_shards:
        split(copy)
    found = inspect(copy)
    chat = VisionChat.from_pretrained(copy, device="cpu", dtype="float32")
    model = chat._backend.model  # type: ignore[attr-defined]
    assert found.weight_bytes["float32"] == sum(p.nbytes for p in model.parameters())
    assert found.num_parameters == sum(p.numel() for p in model.parameters())
    assert torch.equal(model.lm_head.weight, head)
    notes = chat.report().get("notes", "")
    assert ("the weights hold a different" in notes) == bool(change)
    assert "; ".join(found.notes) == notes


def test_a_head_of_another_shape_is_its_own(copy: Path) -> None:
    weights = load_file(copy / WEIGHTS) | {"lm_head.weight": torch.ones(3, 64)}
    save_file(weights, copy / WEIGHTS, metadata={"format": "pt"})
    assert with_own_head(copy, read_tensors(copy), read_settings(copy)).has_own_head


def test_without_a_head_in_the_files_nothing_is_compared(copy: Path) -> None:
    assert not with_own_head(copy, read_tensors(copy), read_settings(copy)).has_own_head


def test_a_tie_that_transformers_gives_up_is_not_warned_of(
    copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It stands in the report, once and for all."""
    add_head(copy, 1.0)
    VisionChat.from_pretrained(copy, device="cpu")
    assert "tied weights mapping" not in caplog.text
