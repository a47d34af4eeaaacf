"""The formulas by which the page tells what to expect."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.benchmarks import limits


def test_a_step_reads_the_weights_once_and_the_keys_of_each_row() -> None:
    assert limits.bytes_per_step(1000, rows=1, context_tokens=10, token_bytes=4) == 1040
    assert limits.bytes_per_step(1000, rows=8, context_tokens=10, token_bytes=4) == 1320


def test_halving_the_bytes_doubles_the_tokens_a_second() -> None:
    assert limits.most_tokens_per_second(100e9, 10e9) == 10
    assert limits.most_tokens_per_second(100e9, 5e9) == 20
    assert limits.most_tokens_per_second(100e9, 10e9, rows=4) == 40


def test_a_step_at_the_limit_uses_all_of_the_bandwidth() -> None:
    seconds = 1 / limits.most_tokens_per_second(50e9, 2e9)
    assert limits.share_of_bandwidth(2e9, seconds, 50e9) == pytest.approx(1)
    assert limits.share_of_bandwidth(2e9, 2 * seconds, 50e9) == pytest.approx(0.5)


def test_bandwidth_is_that_of_the_standards() -> None:
    laptop, card = limits.MACHINES[0], limits.MACHINES[1]
    assert laptop.bandwidth == pytest.approx(89.6e9)  # JEDEC: two channels of PC5-44800
    assert card.bandwidth == pytest.approx(1008e9)


@pytest.mark.parametrize("tokens", [1, 7])
def test_the_operations_of_reading_are_those_of_the_products(tokens: int) -> None:
    """One layer of a square matrix, and attention, counted one by one."""
    width, counted = 3, 0
    for token in range(1, tokens + 1):
        counted += 2 * width * width  # a product of the layer
        counted += 2 * 2 * width * token  # scores of what came before and itself, and sums
    told = limits.reading_flops(width * width, tokens, 1, width)
    # half of all pairs leaves out half of the diagonal
    assert told == counted - 2 * width * tokens


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen3_5"])
def test_the_weights_of_a_step_are_those_of_the_language_model(family: str, tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText

    from qwenvl_kit.testing import build_tiny_model

    folder = build_tiny_model(tmp_path / "model", family)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    vision = sum(weight.numel() for weight in model.model.visual.parameters())
    whole = sum(weight.numel() for weight in model.parameters())  # a tied layer once
    buffers = sum(
        buffer.numel() * buffer.element_size() for buffer in model.model.language_model.buffers()
    )
    read = limits.weight_bytes_read(model)
    assert 4 * (whole - vision) <= read <= 4 * (whole - vision) + buffers


def test_an_embedding_that_is_no_output_layer_is_not_read(tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText

    from qwenvl_kit.testing import build_tiny_model

    folder = build_tiny_model(tmp_path / "model")
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    tied = limits.weight_bytes_read(model)
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    assert limits.weight_bytes_read(model) == tied


def test_the_weights_that_a_published_model_reads_are_less_than_all() -> None:
    from tests.benchmarks.sections import expectations

    whole = expectations._weight_bytes("Qwen2-VL-2B-Instruct", "bfloat16")
    read = expectations.decode_bytes("Qwen2-VL-2B-Instruct", "bfloat16")
    # 1.54 billion of 2.21 belong to the language model, its tied embedding included
    assert (round(whole / 2e9, 2), round(read / 2e9, 2)) == (2.21, 1.54)


def test_keys_and_values_of_a_token_are_those_of_the_cache() -> None:
    # Qwen2-VL-2B: 28 layers, 2 key heads of 128, bf16
    assert limits.cache_bytes_per_token(28, 2, 128, 2) == 28_672
