"""Fine-tuning of every family: what it learned is what is served."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from qwenvl_kit import ImagePart, Message, VideoPart, VisionChat
from qwenvl_kit.backends.local.loading.network import load_network
from qwenvl_kit.checkpoints.settings import read_settings
from qwenvl_kit.checkpoints.sources import find_checkpoint
from qwenvl_kit.errors import TrainingError
from qwenvl_kit.training import Example, LoRA, fine_tune
from tests.by_hand import picture
from tests.training.served import encoder_of, served

FILM = VideoPart([picture(60, 60, at) for at in range(4)], fps=2)
EXAMPLES = [
    Example([Message.user(ImagePart(picture(120, 90)), FILM, "What?"), Message.assistant("A cat")]),
    Example([Message.user("What is 2 and 2?"), Message.assistant("four, as ever it was")]),
    Example(
        [
            Message.user(ImagePart(picture(90, 60, 1)), ImagePart(picture(40, 120, 2)), "Both?"),
            Message.assistant("yes"),
            Message.user("And now?"),
            Message.assistant("no longer"),
        ]
    ),
]
HELD = [
    Example([Message.user(ImagePart(picture(70, 50, 3)), FILM, "Who?"), Message.assistant("two b")])
]


def served_loss(folder: Path, adapter: Path | None) -> float:
    """The mean loss of the answer that is held back, by a chat's own model and prompt."""
    chat = VisionChat.from_pretrained(folder, adapter=adapter, dtype="float32")
    encoder = encoder_of(folder)
    (sequence,) = encoder.encode(HELD[0])
    prompt = served(chat, list(HELD[0].messages[:-1])).prompt.ids
    assert list(sequence.ids[: len(prompt)]) == prompt
    inputs = encoder.inputs(sequence)
    answer = inputs.pop("labels")[len(prompt) :]
    inputs["input_ids"], inputs["position_ids"] = (
        inputs["input_ids"][None],
        inputs["position_ids"][:, None],
    )
    model = chat._pipeline.backend.model  # type: ignore[attr-defined]
    with torch.no_grad():
        logits = model(**inputs, use_cache=False).logits[0, len(prompt) - 1 : -1]
    return torch.nn.functional.cross_entropy(logits, answer).item()


@pytest.mark.parametrize("keeps", [True, False])
def test_the_loss_of_the_validation_is_the_one_that_is_served(
    folder: Path, tmp_path: Path, keeps: bool
) -> None:
    run = fine_tune(
        folder, EXAMPLES, tmp_path / "out", validation=HELD, method=LoRA(rank=2, alpha=8),
        learning_rate=0.02, epochs=2, keep_features=keeps, progress=False, dtype="float32",
    )  # fmt: skip
    assert run.losses.best is not None
    loss = served_loss(folder, run.adapter)
    assert run.losses.best.loss == pytest.approx(loss, abs=1e-5)
    assert served_loss(folder, None) != pytest.approx(loss, abs=1e-3)


def test_packing_is_exact_or_refused(folder: Path, family: str, tmp_path: Path) -> None:
    def first_loss(name: str, packing: bool) -> float:
        run = fine_tune(
            folder, EXAMPLES, tmp_path / name, packing=packing, method=LoRA(rank=2),
            epochs=1, progress=False, dtype="float32",
        )  # fmt: skip
        return run.losses[0].loss

    if family in ("qwen3_5", "qwen3_5_moe", "qwen4_exp"):
        with pytest.raises(TrainingError, match="recurrent layers"):
            first_loss("packed", True)
    else:
        assert first_loss("packed", True) == pytest.approx(first_loss("padded", False), abs=1e-5)


def test_experts_learn_where_they_are_asked_for(folder: Path, tmp_path: Path) -> None:
    options = {"method": LoRA(rank=2, experts=True), "epochs": 2, "learning_rate": 0.02}
    checkpoint = find_checkpoint(folder)
    model = load_network(
        checkpoint, read_settings(folder), dtype="float32", device="cpu", quantization=None,
        attention="auto", offline=True,
    ).model  # fmt: skip
    has_experts = any(".experts." in name for name, _ in model.named_parameters())
    if not has_experts:
        with pytest.raises(TrainingError, match="no fused experts"):
            fine_tune(folder, EXAMPLES, tmp_path / "out", progress=False, **options)  # type: ignore[arg-type]
        return
    run = fine_tune(folder, EXAMPLES, tmp_path / "out", validation=HELD, progress=False, **options)  # type: ignore[arg-type]
    assert run.adapter is not None
    names = (run.adapter / "adapter_model.safetensors").read_bytes()[:200_000]
    assert b".experts." in names
    loss = served_loss(folder, run.adapter)
    assert run.losses.best.loss == pytest.approx(loss, abs=1e-5)  # type: ignore[union-attr]
