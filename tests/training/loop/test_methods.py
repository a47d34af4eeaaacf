"""Methods of training: what learns, and that it learns the same however memory is saved."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest

from qwenvl_kit import VisionChat
from qwenvl_kit.training import LoRA
from qwenvl_kit.training.outcome.run import TrainingRun

Train = Callable[..., TrainingRun]


def losses_of(run: TrainingRun) -> list[float]:
    return [step.loss for step in run.losses]


def test_activations_that_are_computed_twice_give_the_same_losses(train: Train) -> None:
    options = {"epochs": 1, "tokens_per_batch": 200}
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        twice = train("twice", gradient_checkpointing=True, **options)
    assert losses_of(twice) == pytest.approx(losses_of(train("once", **options)), abs=1e-6)


def test_lengths_that_learn_apart_load_as_they_were_trained(train: Train) -> None:
    run = train(method=LoRA(rank=2, dora=True), epochs=1, validation=0.3)
    assert VisionChat.from_pretrained(adapter=run.adapter).adapters.active == "adapter"


def test_matrices_learn_beside_weights_of_four_bits(train: Train) -> None:
    pytest.importorskip("bitsandbytes")
    run = train(quantization="4bit", epochs=3, validation=0.3)
    assert losses_of(run)[-1] < losses_of(run)[0] - 0.5
    assert VisionChat.from_pretrained(adapter=run.adapter).adapters.active == "adapter"


def test_each_part_has_a_learning_rate_of_its_own(train: Train) -> None:
    method = LoRA(rank=2, parts=("language", "vision"))
    options = {"method": method, "epochs": 1, "tokens_per_batch": 1000}
    slow = train("slow", learning_rate={"language": 1e-3, "vision": 1e-9}, **options)
    same = train("same", learning_rate=1e-3, **options)
    assert losses_of(slow)[0] == losses_of(same)[0]
    from safetensors.torch import load_file

    adapters = [load_file(run.adapter / "adapter_model.safetensors") for run in (slow, same)]  # type: ignore[operator]
    changes = [
        max(float(t.abs().max()) for n, t in a.items() if "visual" in n and "lora_B" in n)
        for a in adapters
    ]
    assert changes[0] < 1e-6
    assert changes[1] > 1e-5


def test_packed_sequences_give_the_losses_of_padded_ones(train: Train) -> None:
    options = {"epochs": 1, "tokens_per_batch": 2000, "validation": 0.3}
    packed = train("packed", packing=True, **options)
    assert losses_of(packed) == pytest.approx(losses_of(train("padded", **options)), abs=1e-5)


def test_workers_prepare_the_same_batches(train: Train) -> None:
    options = {"epochs": 1, "tokens_per_batch": 100}
    assert losses_of(train("two", workers=2, **options)) == losses_of(train("none", **options))
