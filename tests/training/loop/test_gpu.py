"""Training on a GPU, in bf16 and beside weights of four bits; skipped where there is none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from qwenvl_kit import VisionChat
from qwenvl_kit.training import FullTraining, LoRA
from qwenvl_kit.training.outcome.run import TrainingRun

pytestmark = pytest.mark.gpu

OPTIONS = [
    {"method": LoRA(rank=4)},
    {"method": LoRA(rank=4), "quantization": "4bit"},
    {"method": LoRA(rank=4, parts=("language", "projector", "vision"))},
    {"method": FullTraining(), "learning_rate": 1e-3},
]


@pytest.mark.parametrize("options", OPTIONS, ids=["lora", "qlora", "all parts", "full"])
def test_a_loss_falls_on_a_gpu_and_what_was_learned_loads(
    train: Callable[..., TrainingRun], options: dict[str, object]
) -> None:
    run = train(epochs=4, validation=0.3, **options)
    assert run.losses[-1].loss < run.losses[0].loss - 0.5
    if run.adapter is not None:
        chat = VisionChat.from_pretrained(adapter=run.adapter)
    else:
        chat = VisionChat.from_pretrained(run.model_folder)
    assert torch.device(chat.report()["device"]).type == "cuda"
