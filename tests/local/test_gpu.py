"""What holds on a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwenvl_kit import Message, Sampling, VisionChat

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
