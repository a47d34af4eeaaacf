"""Arguments of `fine_tune` that are out of range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from qwenvl_kit.errors import TrainingDataError, TrainingError
from qwenvl_kit.training import FullTraining, LoRA
from qwenvl_kit.training.outcome.run import TrainingRun

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"learning_rate": 0}, "learning_rate of 'language'=0"),
    ({"learning_rate": True}, "learning_rate of 'language'=True"),
    ({"learning_rate": float("nan")}, "learning_rate of 'language'=nan"),
    ({"learning_rate": {"vision": 1e-4}}, "one for each part that learns: 'language'"),
    ({"epochs": -1}, "epochs=-1"),
    ({"epochs": float("inf")}, "epochs=inf"),
    ({"tokens_per_batch": 0}, "tokens_per_batch=0"),
    ({"tokens_per_batch": 10.5}, r"tokens_per_batch=10\.5"),
    ({"accumulation": 0}, "accumulation=0"),
    ({"warmup": 100}, "warmup=100 .*at most 1"),
    ({"schedule": "cosin"}, "'cosin'.*one of linear, cosine, constant"),
    ({"max_grad_norm": 0}, "max_grad_norm=0"),
    ({"validation": 1.0}, r"validation=1\.0"),
    ({"validation": 0}, "validation=0"),
    ({"seed": -1}, "seed=-1"),
    ({"early_stopping": 0}, "early_stopping=0"),
    ({"keep_features": -1}, "keep_features=-1"),
    ({"gradient_checkpointing": "yes"}, "True, False or 'auto'"),
    ({"quantization": "8bit"}, "'4bit' or None"),
    ({"method": "lora"}, r"LoRA\(...\) or FullTraining\(...\)"),
    ({"trainer_options": {"learning_rate": 1}}, "follows from the arguments of fine_tune"),
    ({"trainer_options": {"deepsped": "x"}}, "'deepsped', which transformers does not know"),
    ({"trainer_options": {"optim": "adamw_magic"}}, "refuses the settings .*adamw_magic"),
    ({"report_to": "paperboard"}, "refuses the settings .*paperboard"),
    ({"output": ""}, "output=''"),
    ({"device": "cuda:1"}, "CUDA_VISIBLE_DEVICES=1"),
    ({"dtype": "float16"}, "small gradients become 0"),
    ({"method": FullTraining(), "quantization": "4bit"}, "quantised weights cannot learn"),
    ({"method": LoRA(experts=True)}, "no fused experts"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=[str(w[0])[:60] for w in WRONG])
def test_an_argument_out_of_range_says_what_is_expected(
    train: Callable[..., TrainingRun], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        train(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank=0"),
        ({"rank": 8.0}, r"rank=8\.0"),
        ({"alpha": -1}, "alpha=-1"),
        ({"dropout": 1.0}, r"dropout=1\.0"),
        ({"parts": ()}, r"parts=\(\)"),
        ({"parts": "langauge"}, "some of 'language', 'projector', 'vision'"),
        ({"dora": "yes"}, "dora='yes'"),
    ],
)
def test_a_method_out_of_range_says_what_is_expected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        LoRA(**options)


def test_parts_are_in_one_order_and_each_once() -> None:
    assert LoRA(parts="vision").parts == ("vision",)  # type: ignore[arg-type]
    assert FullTraining(parts=("vision", "language", "vision")).parts == ("language", "vision")


def test_lengths_are_checked_as_in_the_check(train: Callable[..., TrainingRun]) -> None:
    with pytest.raises(TrainingDataError, match="too_long='cut'"):
        train(too_long="cut")


def test_examples_that_are_all_too_long_are_told(train: Callable[..., TrainingRun]) -> None:
    with pytest.raises(TrainingDataError, match="all 8 examples are too long"):
        train(max_tokens=5, too_long="skip")
