"""Adapters whose tensors are named in another form than peft's are told which, and by what."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("peft")

import torch
from safetensors.torch import save_file

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.local.lora.adapters import check_adapter
from qwenvl_kit.errors import AdapterError

PREFIX = "base_model.model."
LAYER = f"{PREFIX}model.language_model.layers.0.self_attn.q_proj"
BASE = "Qwen/Qwen2-VL-2B-Instruct"


def adapter(folder: Path, name: Callable[[str], str] = str) -> Path:
    """An adapter of one layer, its tensors under other names."""
    folder.mkdir(exist_ok=True)
    settings = {"peft_type": "LORA", "r": 2, "target_modules": [LAYER.removeprefix(PREFIX)]}
    settings["base_model_name_or_path"] = BASE
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    parts = {
        f"{LAYER}.lora_A.weight": torch.ones(2, 64),
        f"{LAYER}.lora_B.weight": torch.ones(64, 2),
    }
    tensors = {name(part): tensor for part, tensor in parts.items()}
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


FORMS: dict[str, tuple[Callable[[str], str], str]] = {
    "a state_dict's": (
        lambda n: n.replace("_A.w", "_A.default.w").replace("_B.w", "_B.default.w"),
        r"lora_A\.default\.weight' has the adapter's own name after lora_A",
    ),
    "a name of one's own": (
        lambda n: n.replace("_A.w", "_A.mine.w").replace("_B.w", "_B.mine.w"),
        "has the adapter's own name",
    ),
    "without peft's wrapper": (
        lambda n: n.removeprefix("base_model.model."),
        r"does not begin with 'base_model\.model\.'",
    ),
    "a wrapper twice": (
        lambda n: f"base_model.model.{n}",
        r"begins with 'base_model\.model\.' twice",
    ),
    "under DDP": (lambda n: f"module.{n}", "does not begin"),
    "kohya's": (lambda n: "lora_unet_" + n.replace(".", "_"), "does not begin"),
}


@pytest.mark.parametrize(("form", "message"), FORMS.values(), ids=FORMS.keys())
def test_another_form_of_names_is_told_before_a_model_is_loaded(
    tmp_path: Path, form: Callable[[str], str], message: str
) -> None:
    folder = adapter(tmp_path / "adapter", form)
    with pytest.raises(AdapterError, match=message) as caught:
        check_adapter(folder)
    assert "save_pretrained" in caught.value.hint
    assert "lora_A.weight" in caught.value.expected


def test_the_form_of_peft_is_no_fault(tmp_path: Path) -> None:
    check_adapter(adapter(tmp_path / "adapter"))


def test_an_adapter_without_a_place_says_that_layers_differ_and_not_models(
    tiny_folder: Path, tmp_path: Path
) -> None:
    folder = adapter(tmp_path / "adapter", lambda n: n.replace("layers.0", "layers.99"))
    with pytest.raises(AdapterError, match=r"2 weights .* no place") as caught:
        VisionChat.from_pretrained(tiny_folder, device="cpu", adapter=folder)
    assert "layers named as here" in caught.value.hint


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["checkpoint-10/adapter_config.json", "trainer_state.json"], "Try: the folder .*-10'"),
        (["global_step5/x", "zero_to_fp32.py"], "DeepSpeed"),
        (["a-lora.gguf"], r"llama\.cpp"),
    ],
)
def test_a_folder_that_is_no_adapter_says_what_it_holds(
    tmp_path: Path, files: list[str], message: str
) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("{}")
    with pytest.raises(AdapterError, match=rf"no adapter_config\.json; it holds .*{message}"):
        check_adapter(tmp_path)


def test_the_line_that_an_adapter_given_as_a_model_names_is_right(
    tiny_folder: Path, tmp_path: Path
) -> None:
    """With the base model in place of the one that the adapter names it loads."""
    folder = adapter(tmp_path / "adapter")
    chat = VisionChat.from_pretrained(
        Path(shutil.copytree(tiny_folder, tmp_path / "base")), device="cpu", adapter=folder
    )
    assert chat.adapters.active == "adapter"
