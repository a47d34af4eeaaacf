"""bf16 costs no conversions that fp32 does without, but for the activations of the new tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import DynamicCache

from qwenvl_kit import ImagePart, Message, Sampling, VisionChat
from qwenvl_kit.backends.local import LocalBackend, load_backend
from qwenvl_kit.backends.local.engine import model_runner
from tests.by_hand import picture

QUESTIONS = ("what is it", "and the colour", "how many shapes are there in it", "why")


class Conversions(TorchDispatchMode):
    """Notes the shape of each tensor that an operator of torch returns in another float dtype."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes = list[torch.Size]()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        floats = [each for each in args if _is_float(each)]
        if floats and _is_float(result) and any(each.dtype != result.dtype for each in floats):
            self.shapes.append(result.shape)
        return result


def _is_float(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()


@contextmanager
def conversions_of_passes() -> Iterator[list[tuple[bool, list[torch.Size]]]]:
    """For each pass of a model: if it shared a prefix, and what it converted."""
    passes: list[tuple[bool, list[torch.Size]]] = []
    run = model_runner.ModelRunner._run

    def counted(self: Any, cache: Any, **inputs: Any) -> torch.Tensor:
        with Conversions() as conversions:
            logits = run(self, cache, **inputs)
        shares = len(model_runner.read_shared_prefix(cache)) > 0
        passes.append((shares and inputs["input_ids"].shape[1] == 1, conversions.shapes))
        return logits

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_runner.ModelRunner, "_run", counted)
        yield passes


def steps_with_a_shared_picture(backend: LocalBackend) -> list[list[torch.Size]]:
    """The conversions of each step of a batch whose rows share a picture of some 200 tokens."""
    with pytest.MonkeyPatch.context() as patch, conversions_of_passes() as passes:
        patch.setattr(model_runner, "_MIN_SAVED", 200)
        VisionChat(backend).ask_many(
            [Message.user(ImagePart(picture(512, 448, 5)), question) for question in QUESTIONS],
            sampling=Sampling(max_new_tokens=4),
            on_error="raise",
        )
    return [shapes for is_step, shapes in passes if is_step]


def conversions_of_transformers(backend: LocalBackend) -> int:
    """The number of conversions in a step of as many rows by transformers alone."""
    cache = {
        model_runner.ModelRunner(backend.model, 0)._cache_keyword: DynamicCache(
            config=backend.model.config
        )
    }
    ids = torch.ones((len(QUESTIONS), 5), dtype=torch.long)
    with torch.inference_mode():
        backend.model(input_ids=ids, **cache)
        with Conversions() as conversions:
            backend.model(input_ids=ids[:, :1], **cache)
    return len(conversions.shapes)


def test_a_step_of_a_batch_converts_what_transformers_does_and_the_two_parts_of_attention(
    tiny_folder: Path,
) -> None:
    backend = load_backend(tiny_folder, dtype="bfloat16", device="cpu")
    text = backend.model.config.get_text_config()
    usual = conversions_of_transformers(backend)
    assert usual > 0
    steps = steps_with_a_shared_picture(backend)
    assert len(steps) == 3
    for shapes in steps:
        # Each layer: both results of attention to fp32, and the merged one back; and the logits.
        assert len(shapes) <= usual + 3 * text.num_hidden_layers + 1
        # No weights, keys, scores or masks.
        largest = len(QUESTIONS) * max(text.hidden_size, text.intermediate_size, text.vocab_size)
        assert max(map(torch.Size.numel, shapes)) <= largest
        assert not [shape for shape in shapes if max(shape[1:-1], default=0) > 32]


def test_a_step_in_fp32_converts_nothing(tiny_folder: Path) -> None:
    steps = steps_with_a_shared_picture(load_backend(tiny_folder, device="cpu"))
    assert len(steps) == 3
    assert [shape for shapes in steps for shape in shapes] == []
