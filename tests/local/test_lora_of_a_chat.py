"""An adapter as a user of `VisionChat` loads, switches and merges it."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwenvl_kit import Message, Sampling, VisionChat
from qwenvl_kit.backends.local import load_backend
from qwenvl_kit.errors import AdapterError, ModelLoadError
from tests.by_hand import CONVERSATIONS

peft = pytest.importorskip("peft", reason="adapters need peft")

GREEDY = Sampling(max_new_tokens=10)
MESSAGES: list[Message] = CONVERSATIONS["one image"]


@pytest.fixture(scope="module")
def adapter(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random adapter of a tiny model."""
    import torch

    model = load_backend(tiny_folder).model
    config = peft.LoraConfig(r=4, target_modules=r".*language_model.*\.(q_proj|v_proj|up_proj)")
    wrapped = peft.get_peft_model(model, config)
    torch.manual_seed(0)
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    folder = tmp_path_factory.mktemp("adapters") / "receipts"
    wrapped.save_pretrained(folder)
    return folder


def ask(chat: VisionChat) -> str:
    return chat.ask(MESSAGES, sampling=GREEDY).text


def test_an_adapter_given_at_loading_answers(tiny_folder: Path, adapter: Path) -> None:
    plain = VisionChat.from_pretrained(tiny_folder)
    chat = VisionChat.from_pretrained(tiny_folder, adapter=adapter)
    assert chat.adapters.active == "receipts"
    assert chat.report()["adapter"] == "receipts"
    assert ask(chat) != ask(plain)


def test_a_detached_adapter_leaves_the_base_model(tiny_folder: Path, adapter: Path) -> None:
    chat = VisionChat.from_pretrained(tiny_folder)
    before = ask(chat)
    chat.adapters.load(adapter)
    with_adapter = ask(chat)
    chat.adapters.use(None)
    assert ask(chat) == before != with_adapter
    chat.adapters.use("receipts")
    assert ask(chat) == with_adapter


def test_a_merged_adapter_answers_as_before_and_is_gone(tiny_folder: Path, adapter: Path) -> None:
    chat = VisionChat.from_pretrained(tiny_folder, adapter=adapter)
    before = ask(chat)
    chat.adapters.merge()
    assert ask(chat) == before
    assert chat.adapters.names == ()
    assert chat.report()["adapter"] == "none"


def test_a_chat_with_an_adapter_passes_its_own_test(tiny_folder: Path, adapter: Path) -> None:
    assert VisionChat.from_pretrained(tiny_folder, adapter=adapter).self_test().is_healthy


def test_a_merge_that_breaks_off_leaves_no_model_that_answers_wrongly(
    tiny_folder: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = VisionChat.from_pretrained(tiny_folder, adapter=adapter)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no more")

    monkeypatch.setattr("peft.tuners.lora.layer.Linear.merge", fail)
    with pytest.raises(AdapterError):
        chat.adapters.merge()
    with pytest.raises(ModelLoadError, match="load it again"):
        ask(chat)
