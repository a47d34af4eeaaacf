"""A chat's model with its adapter merged in answers alike wherever it is loaded, by family."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForImageTextToText, AutoProcessor

from qwenvl_kit import ImagePart, Message, Sampling, VisionChat
from qwenvl_kit.backends.local import load_backend
from qwenvl_kit.training import export_merged
from tests.adapters import EXPERTS, random_adapter
from tests.by_hand import picture

pytest.importorskip("peft", reason="adapters need peft")

QUESTION = Message.user(ImagePart(picture(120, 90)), "What is it?")
SAMPLING = Sampling(max_new_tokens=8, num_alternatives=2)

METHODS: dict[str, dict[str, Any]] = {
    "lora": {},
    "dora": {"use_dora": True},
    "experts": {"target_parameters": EXPERTS},
    "whole module": {"modules_to_save": ["lm_head"], "target_modules": r".*\.q_proj"},
}


def names_in(folder: Path) -> set[str]:
    found: set[str] = set()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            found |= set(file.keys())
    return found


def answer(chat: VisionChat) -> tuple[list[int], list[float]]:
    """The tokens of an answer with their log-probabilities; nothing is taken from the cache."""
    chat.clear_cache()
    scores = chat.ask([QUESTION], sampling=SAMPLING).scores
    assert scores is not None
    return [score.token_id for score in scores], [score.logprob for score in scores]


@pytest.mark.long
@pytest.mark.parametrize("method", METHODS)
def test_an_exported_model_answers_as_the_chat_with_its_adapter(
    family: str, folder: Path, method: str, tmp_path: Path
) -> None:
    settings = METHODS[method]
    if method == "experts" and "moe" not in family:
        pytest.skip(f"{family} is no mixture of experts, or none of peft's")
    adapter = random_adapter(folder, tmp_path / "adapter", **settings)
    chat = VisionChat.from_pretrained(folder, adapter=adapter, dtype="float32")
    before = answer(chat)
    exported = export_merged(chat, tmp_path / "whole")
    assert answer(chat) == before  # bit for bit

    ids, logprobs = answer(VisionChat.from_pretrained(exported, dtype="float32"))
    assert ids == before[0]
    assert logprobs == pytest.approx(before[1], abs=1e-3)
    assert names_in(exported) - {"lm_head.weight"} == names_in(folder) - {"lm_head.weight"}


def test_an_exported_model_is_what_transformers_merges(
    family: str, folder: Path, tmp_path: Path
) -> None:
    import peft

    adapter = random_adapter(folder, tmp_path / "adapter")
    by_hand = peft.PeftModel.from_pretrained(
        AutoModelForImageTextToText.from_pretrained(folder), adapter
    ).merge_and_unload()
    chat = VisionChat(load_backend(folder, adapter=adapter, dtype="float32"))
    exported = export_merged(chat, tmp_path / "whole")
    loaded, told = AutoModelForImageTextToText.from_pretrained(exported, output_loading_info=True)
    assert not any(told.values()), told
    expected = by_hand.state_dict()
    for name, tensor in loaded.state_dict().items():
        assert torch.allclose(tensor, expected[name], atol=1e-6), name
    processor = AutoProcessor.from_pretrained(exported)
    assert processor.chat_template == AutoProcessor.from_pretrained(folder).chat_template


def test_its_settings_say_what_is_true_of_the_written_weights(
    family: str, folder: Path, tmp_path: Path
) -> None:
    adapter = random_adapter(folder, tmp_path / "adapter")
    chat = VisionChat(load_backend(folder, adapter=adapter, dtype="bfloat16"))
    exported = export_merged(chat, tmp_path / "whole")
    published = json.loads((folder / "config.json").read_text())
    config = json.loads((exported / "config.json").read_text())
    assert config.get("dtype", config.get("torch_dtype")) == "bfloat16"
    assert config["architectures"] == published["architectures"]
    assert config["text_config"].keys() == published["text_config"].keys()
    with safe_open(exported / "model.safetensors", "pt") as file:
        names = [*file.keys()]
        assert {file.get_tensor(name).dtype for name in names} == {torch.bfloat16}
