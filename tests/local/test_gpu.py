"""What holds on a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from qwenvl_kit import Message, Sampling, VisionChat
from qwenvl_kit.backends.local import load_backend
from qwenvl_kit.backends.local.loading.device_map import WORKING_BYTES
from qwenvl_kit.errors import PlacementError
from tests.by_hand import picture

pytestmark = pytest.mark.gpu


def test_a_gpu_gives_the_tokens_of_a_cpu(
    chat: VisionChat, tiny_folder: Path, conversation: list[Message]
) -> None:
    on_gpu = VisionChat.from_pretrained(tiny_folder, device="cuda", dtype="float32")
    sampling = Sampling(max_new_tokens=8)
    assert (
        on_gpu.ask(conversation, sampling=sampling).text
        == chat.ask(conversation, sampling=sampling).text
    )


def test_a_gpu_is_chosen_with_bf16_where_it_has_it(tiny_folder: Path) -> None:
    report = VisionChat.from_pretrained(tiny_folder).report()
    assert report["device"].startswith("cuda")
    assert report["dtype"] == "bfloat16"


def test_the_report_says_why_a_gpu_and_which_attention(tiny_folder: Path) -> None:
    report = VisionChat.from_pretrained(tiny_folder).report()
    assert "fit" in report["device_reason"]
    assert report["attention"] in ("sdpa", "flash_attention_2")
    assert report["attention_reason"]


@pytest.mark.parametrize("quantization", ["4bit", "8bit"])
def test_quantised_weights_answer_on_a_gpu(tiny_folder: Path, quantization: str) -> None:
    pytest.importorskip("bitsandbytes")
    chat = VisionChat.from_pretrained(tiny_folder, quantization=quantization)  # type: ignore[arg-type]
    assert chat.report()["device"].startswith("cuda")
    reply = chat.ask("What is this?", picture(120, 90), sampling=Sampling(max_new_tokens=4))
    assert reply.usage.completion_tokens >= 1


def test_weights_that_no_gpu_holds_are_refused_with_figures(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qwenvl_kit.backends.local.devices.read_free_bytes", lambda _: 10**6)
    with pytest.raises(PlacementError, match=r"1\.1 MB.*free on cuda:0"):
        VisionChat.from_pretrained(tiny_folder, dtype="float32")


def test_a_model_is_spread_over_several_gpus_when_one_is_too_small(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two CUDA devices")
    room = WORKING_BYTES + 800_000
    monkeypatch.setattr("qwenvl_kit.backends.local.devices.read_free_bytes", lambda _: room)
    backend = load_backend(tiny_folder, dtype="float32")
    homes = {parameter.device for parameter in backend.model.parameters()}
    assert len(homes) > 1
    assert all(home.type == "cuda" for home in homes)
    assert VisionChat(backend).ask("Hello", sampling=Sampling(max_new_tokens=2)).text
