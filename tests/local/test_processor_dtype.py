"""fp32 or bf16 on a processor: measured where it may pay, and fp32 where it may not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.local.loading import load_plan, processor_dtype
from qwenvl_kit.backends.local.loading.processor_dtype import (
    MOST_OF_FP32,
    Shapes,
    Timing,
    choose_on_processor,
    judge,
    measure_here,
    shapes_of,
)
from qwenvl_kit.checkpoints.settings import Settings, read_settings
from qwenvl_kit.checkpoints.weights import TensorInfo, read_tensors
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.hardware import Machine

FAST = [Timing("products of one row", 2.0, 1.0), Timing("of 32 rows", 3.0, 2.0)]
SLOW_BATCHES = [FAST[0], Timing("of 32 rows", 3.0, 6.0)]
TEXT = {"num_attention_heads": 16, "num_key_value_heads": 4, "hidden_size": 2048}
LAYERS = {"self_attn.q_proj": (2048, 2048), "self_attn.k_proj": (512, 2048)}
TABLE = (40_000, 2048)  # 327 MB in fp32


def settings(family: str = "qwen3_vl", **text: Any) -> Settings:
    return Settings(FAMILIES[family], {"text_config": TEXT | text, "tie_word_embeddings": True})


def tensors(layers: dict[str, tuple[int, ...]] | None = None) -> list[TensorInfo]:
    shapes = {"embed_tokens": TABLE} | {
        f"layers.0.{name}": shape for name, shape in (layers or LAYERS).items()
    }
    return [
        TensorInfo(f"model.language_model.{name}.weight", "BF16", shape)
        for name, shape in shapes.items()
    ]


class Stopwatch:
    """A measurement whose times are given, and which notes what was measured."""

    def __init__(self, timings: Sequence[Timing]) -> None:
        self.timings = timings
        self.measured = list[Shapes]()

    def __call__(self, shapes: Shapes) -> Sequence[Timing]:
        self.measured.append(shapes)
        return self.timings


@pytest.mark.parametrize("ability", ["avx512_bf16", "amx_bf16", "bf16"])
def test_bf16_is_taken_where_it_was_faster_in_each_comparison_and_the_reason_has_the_figures(
    ability: str,
) -> None:
    stopwatch = Stopwatch(FAST)
    chosen = choose_on_processor(tensors(), settings(), abilities=[ability], measure=stopwatch)
    assert chosen.dtype == torch.bfloat16
    assert "of 32 rows 2.00 ms in bf16, 3.00 in fp32" in chosen.reason
    assert "batches may differ from single calls in near ties" in chosen.reason
    matrices = ((512, 2048), (2048, 2048), TABLE)
    assert stopwatch.measured == [Shapes(matrices, 16, 4, 128)]


def test_bf16_that_is_slower_in_one_comparison_is_not_taken_and_the_reason_names_it() -> None:
    chosen = judge(SLOW_BATCHES)
    assert chosen.dtype == torch.float32
    assert "of 32 rows 6.00 ms in bf16, 3.00 in fp32" in chosen.reason
    assert "one row" not in chosen.reason


@pytest.mark.parametrize(
    ("share", "dtype"),
    [(MOST_OF_FP32 - 0.01, torch.bfloat16), (MOST_OF_FP32 + 0.01, torch.float32)],
)
def test_bf16_must_win_by_a_margin(share: float, dtype: torch.dtype) -> None:
    assert judge([*FAST, Timing("attention", 10.0, 10.0 * share)]).dtype == dtype


@pytest.mark.parametrize("abilities", [(), ("amx_int8", "i8mm")])
def test_nothing_is_measured_on_a_processor_without_instructions_for_bf16(
    abilities: tuple[str, ...],
) -> None:
    stopwatch = Stopwatch(FAST)
    chosen = choose_on_processor(tensors(), settings(), abilities=abilities, measure=stopwatch)
    assert chosen.dtype == torch.float32
    assert "without instructions for bf16" in chosen.reason
    assert stopwatch.measured == []


def test_a_small_model_stays_in_fp32_unmeasured() -> None:
    stopwatch = Stopwatch(FAST)
    small = [replace(each, shape=(64, 64)) for each in tensors()]
    chosen = choose_on_processor(small, settings(), abilities=["amx_bf16"], measure=stopwatch)
    assert chosen.dtype == torch.float32
    assert chosen.reason == "on a processor, where batches then equal single calls"
    assert stopwatch.measured == []


@pytest.mark.parametrize(
    ("family", "layers"),
    [
        ("qwen3_vl_moe", LAYERS),
        ("qwen3_5", LAYERS | {"linear_attn.in_proj_qkv": (2048, 2048)}),
        ("qwen4_exp", LAYERS | {"self_attn.indexer.q_proj": (2048, 2048)}),
    ],
)
def test_layers_that_are_not_measured_stay_in_fp32(
    family: str, layers: dict[str, tuple[int, ...]]
) -> None:
    stopwatch = Stopwatch(FAST)
    chosen = choose_on_processor(
        tensors(layers), settings(family), abilities=["amx_bf16"], measure=stopwatch
    )
    assert chosen.dtype == torch.float32
    assert "not measured for such layers" in chosen.reason
    assert stopwatch.measured == []


@pytest.mark.parametrize(
    "text",
    [
        {"num_attention_heads": None},
        {"num_key_value_heads": 0},
        {"num_key_value_heads": 5},
        {"hidden_size": "2048"},
        {"head_dim": True},
        {"head_dim": -1},
    ],
    ids=str,
)
def test_shapes_that_config_json_does_not_tell_are_not_guessed(text: dict[str, Any]) -> None:
    assert shapes_of(tensors(), settings(**text)) is None


def test_the_shapes_are_those_of_the_layers_in_transformers(tiny_folder: Path) -> None:
    backend = VisionChat.from_pretrained(tiny_folder, device="cpu")._backend
    network = backend.model.model.language_model  # type: ignore[attr-defined]
    linear = {m.weight.shape for m in network.modules() if type(m) is torch.nn.Linear}
    shapes = shapes_of(read_tensors(tiny_folder), read_settings(tiny_folder))
    assert shapes is not None
    assert set(shapes.matrices) == {*linear, network.embed_tokens.weight.shape}
    attention = network.layers[0].self_attn
    assert shapes.head_size == attention.head_dim
    assert shapes.num_heads // shapes.num_key_heads == attention.num_key_value_groups


def test_a_measurement_times_both_dtypes_once_and_leaves_the_random_state_alone() -> None:
    shapes = Shapes(((96, 64), (64, 96)), 4, 2, 16)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    timings = measure_here(shapes)
    assert torch.equal(torch.rand(3), expected)
    assert len(timings) == 6
    assert all(0 < each.fp32_ms < 10_000 and 0 < each.bf16_ms < 10_000 for each in timings)
    assert measure_here(shapes) is timings  # so that a process has one answer


@pytest.mark.parametrize(("timings", "dtype"), [(FAST, "bfloat16"), (SLOW_BATCHES, "float32")])
def test_a_model_is_loaded_in_what_was_chosen(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, timings: list[Timing], dtype: str
) -> None:
    machine = Machine(
        num_cores=2, available_bytes=2**34, total_bytes=2**34, abilities=("avx512_bf16",)
    )
    monkeypatch.setattr(load_plan, "read_machine", lambda: machine)
    monkeypatch.setattr(processor_dtype, "SMALL_BYTES", 0)
    monkeypatch.setattr(processor_dtype, "measure_here", lambda _: timings)
    chat = VisionChat.from_pretrained(tiny_folder, device="cpu")
    assert chat.report()["dtype"] == dtype
    assert "of 32 rows" in chat.report()["dtype_reason"]
    assert chat.ask("What is it?").usage.completion_tokens > 0
