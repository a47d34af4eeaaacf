"""Methods of training: what learns, and that it learns the same however memory is saved."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
from safetensors.torch import load_file

from qwenvl_kit import Message, VisionChat
from qwenvl_kit.errors import QwenVLKitWarning
from qwenvl_kit.training import Example, LoRA
from qwenvl_kit.training.outcome.run import TrainingRun

Train = Callable[..., TrainingRun]


def losses_of(run: TrainingRun) -> list[float]:
    return [step.loss for step in run.losses]


@pytest.mark.long
def test_activations_that_are_computed_twice_give_the_same_losses(train: Train) -> None:
    options = {"epochs": 1, "tokens_per_batch": 200}
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        twice = train("twice", gradient_checkpointing=True, **options)
    assert losses_of(twice) == pytest.approx(losses_of(train("once", **options)), abs=1e-6)


@pytest.mark.long
def test_lengths_that_learn_apart_load_as_they_were_trained(train: Train) -> None:
    run = train(method=LoRA(rank=2, dora=True), epochs=1, validation=0.3)
    assert VisionChat.from_pretrained(adapter=run.adapter).adapters.active == "adapter"


def test_matrices_learn_beside_weights_of_four_bits(train: Train) -> None:
    pytest.importorskip("bitsandbytes")
    run = train(quantization="4bit", epochs=3, validation=0.3)
    assert losses_of(run)[-1] < losses_of(run)[0] - 0.5
    assert VisionChat.from_pretrained(adapter=run.adapter).adapters.active == "adapter"


@pytest.mark.long
def test_each_part_has_a_learning_rate_of_its_own(train: Train) -> None:
    method = LoRA(rank=2, parts=("language", "vision"))
    options = {"method": method, "epochs": 1, "tokens_per_batch": 1000}
    slow = train("slow", learning_rate={"language": 1e-3, "vision": 1e-9}, **options)
    same = train("same", learning_rate=1e-3, **options)
    assert losses_of(slow)[0] == losses_of(same)[0]
    adapters = [load_file(run.adapter / "adapter_model.safetensors") for run in (slow, same)]  # type: ignore[operator]
    changes = [
        max(float(t.abs().max()) for n, t in a.items() if "visual" in n and "lora_B" in n)
        for a in adapters
    ]
    assert changes[0] < 1e-6
    assert changes[1] > 1e-5


@pytest.mark.long
def test_packed_sequences_give_the_losses_of_padded_ones(train: Train) -> None:
    options = {"epochs": 1, "tokens_per_batch": 2000, "validation": 0.3}
    packed = train("packed", packing=True, **options)
    assert losses_of(packed) == pytest.approx(losses_of(train("padded", **options)), abs=1e-5)


@pytest.mark.long
def test_workers_prepare_the_same_batches(train: Train) -> None:
    options = {"epochs": 1, "tokens_per_batch": 100}
    assert losses_of(train("two", workers=2, **options)) == losses_of(train("none", **options))


@pytest.mark.long
@pytest.mark.parametrize("part", ["language", "projector", "vision"])
def test_every_part_learns_alone_while_activations_are_computed_twice(
    train: Train, part: str
) -> None:
    method = LoRA(rank=2, parts=(part,))  # type: ignore[arg-type]
    run = train(method=method, gradient_checkpointing=True, tokens_per_batch=2000, epochs=2)
    adapter = load_file(run.adapter / "adapter_model.safetensors")  # type: ignore[operator]
    assert all(bool(t.any()) for name, t in adapter.items() if "lora_B" in name)


@pytest.mark.long
def test_a_part_that_had_nothing_to_learn_from_is_told(train: Train) -> None:
    rows = [Example([Message.user("What is 2 and 2?"), Message.assistant("four")])]
    with pytest.warns(QwenVLKitWarning, match="'vision' has learned nothing"):
        train(examples=rows, method=LoRA(rank=2, parts=("language", "vision")), epochs=2)


def test_accumulated_batches_give_the_loss_of_one(train: Train) -> None:
    whole = train("whole", tokens_per_batch=10_000, epochs=1)
    parts = train("parts", tokens_per_batch=100, accumulation=8, epochs=1)
    assert len(whole.losses) == len(parts.losses) == 1
    assert losses_of(parts) == pytest.approx(losses_of(whole), abs=1e-5)
    assert parts.losses[0].grad_norm == pytest.approx(whole.losses[0].grad_norm, rel=1e-4)
