"""A checkpoint whose settings or weights are incomplete is refused, or answers as transformers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from qwenvl_kit import ImagePart, Message, Sampling, VisionChat
from qwenvl_kit.backends.local import load_backend
from qwenvl_kit.checkpoints.inspection import inspect
from qwenvl_kit.errors import CheckpointError, GenerationError, WeightsError
from qwenvl_kit.testing import build_tiny_model
from tests.by_hand import by_hand, generate_by_hand, ids_of, picture

WEIGHTS = "model.safetensors"
PLAIN = Sampling(max_new_tokens=4)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("whole") / "qwen3_vl", "qwen3_vl")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A checkpoint to damage."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def config_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "config.json").read_text()))


def save_config(folder: Path, config: dict[str, Any]) -> None:
    (folder / "config.json").write_text(json.dumps(config))


def change_vision(folder: Path, **changes: Any) -> None:
    config = config_of(folder)
    config["vision_config"] |= changes
    save_config(folder, config)


def keep_weights(folder: Path, *left_out: str) -> None:
    weights = load_file(folder / WEIGHTS)
    kept = {n: w for n, w in weights.items() if not any(part in n for part in left_out)}
    assert len(kept) < len(weights)
    save_file(kept, folder / WEIGHTS, metadata={"format": "pt"})


@pytest.mark.parametrize("name", ["image_token_id", "video_token_id"])
def test_a_placeholder_that_config_leaves_out_is_judged_as_transformers_fills_it_in(
    folder: Path, name: str
) -> None:
    config = config_of(folder)
    del config[name]
    save_config(folder, config)
    with pytest.raises(CheckpointError, match=f"does not say {name}.*takes 15165") as caught:
        VisionChat.from_pretrained(folder)
    assert name in str(caught.value.expected)


@pytest.mark.parametrize("name", ["vision_start_token_id", "vision_end_token_id"])
def test_an_id_that_the_model_never_reads_may_be_left_out(folder: Path, name: str) -> None:
    expected = VisionChat.from_pretrained(folder).ask("What?", picture(70, 70), sampling=PLAIN)
    config = config_of(folder)
    del config[name]
    save_config(folder, config)
    found = VisionChat.from_pretrained(folder).ask("What?", picture(70, 70), sampling=PLAIN)
    assert found.text == expected.text


@pytest.mark.parametrize("indexes", [[99], [-1], [0, 0], [0, 3.5], [["0"]]], ids=str)
def test_features_of_a_block_that_is_not_there_are_refused(folder: Path, indexes: Any) -> None:
    change_vision(folder, deepstack_visual_indexes=indexes)
    with pytest.raises(CheckpointError, match=r"deepstack_visual_indexes=.* \d blocks"):
        VisionChat.from_pretrained(folder)


def test_mergers_of_features_that_config_leaves_out_are_not_dropped_in_silence(
    folder: Path,
) -> None:
    change_vision(folder, deepstack_visual_indexes=[0])
    with pytest.raises(WeightsError, match=r"does not describe.*deepstack_merger_list\.1"):
        VisionChat.from_pretrained(folder)


def test_a_model_without_features_of_early_blocks_answers_as_transformers(folder: Path) -> None:
    change_vision(folder, deepstack_visual_indexes=[])
    keep_weights(folder, "deepstack_merger_list")
    backend = load_backend(folder, dtype="float32", device="cpu")
    messages = [Message.user(ImagePart(picture(160, 100)), "Describe the picture.")]
    reply = VisionChat(backend).ask(messages, sampling=PLAIN)
    _, expected = generate_by_hand(backend, by_hand(backend, [messages]), max_new_tokens=4)
    assert ids_of(reply) == expected[0].tolist()


@pytest.mark.parametrize("where", ["embed_tokens", "layers.2.mlp.down_proj", "merger.norm"])
def test_a_weight_that_is_no_number_is_suspected_in_fp32(folder: Path, where: str) -> None:
    weights = load_file(folder / WEIGHTS)
    name = next(name for name in weights if where in name and "deepstack" not in name)
    weights[name].view(-1)[:] = torch.nan
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    chat = VisionChat.from_pretrained(folder, dtype="float32", device="cpu")
    with pytest.raises(GenerationError, match=r"not numbers \(it computes in float32\)") as caught:
        chat.ask("What?", picture(70, 70), sampling=PLAIN)
    assert "weights" in str(caught.value.hint)
    assert "fp16" not in str(caught.value)


@pytest.mark.parametrize("layer", ["language_model.layers.3.", "visual.blocks.1."])
def test_a_layer_that_is_missing_is_named_at_loading_and_by_inspect(
    folder: Path, layer: str
) -> None:
    keep_weights(folder, layer)
    with pytest.raises(WeightsError, match=rf"lack 1 of the \d layers.*{layer}"):
        VisionChat.from_pretrained(folder)
    (sentence,) = inspect(folder).missing
    assert layer in sentence


@pytest.mark.parametrize(
    ("part", "name", "layer"),
    [
        ("text_config", "num_hidden_layers", "language_model.layers.3."),
        ("vision_config", "depth", "visual.blocks.2."),
    ],
)
def test_a_layer_too_many_is_named_at_loading_and_by_inspect(
    folder: Path, part: str, name: str, layer: str
) -> None:
    config = config_of(folder)
    config[part][name] = int(layer.split(".")[-2])
    save_config(folder, config)
    with pytest.raises(WeightsError, match=rf"layers that config\.json does not .*{layer}"):
        VisionChat.from_pretrained(folder)
    (sentence,) = inspect(folder).missing
    assert layer in sentence
