"""What is predicted of a model's memory is what loading it with transformers takes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit.checkpoints.memory import (
    Precision,
    count_parameters,
    possible_precisions,
    predict_weight_bytes,
)
from qwenvl_kit.checkpoints.settings import Settings, read_settings
from qwenvl_kit.checkpoints.weights import TensorInfo, read_tensors
from qwenvl_kit.errors import QuantizationError
from qwenvl_kit.families import FAMILIES, family_of
from qwenvl_kit.testing import build_tiny_model
from tests.by_hand import tensors_of

TOLERANCE = 0.001
"""Buffers that no checkpoint holds, such as rotary frequencies, are all that may be left over."""

needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)


@pytest.fixture(params=FAMILIES, scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / request.param
    return build_tiny_model(path, request.param, hidden_size=256, vocabulary_size=2048)


def load(folder: Path, precision: Precision) -> Any:
    """The model as one loads it by hand."""
    import torch
    import transformers

    family = read_settings(folder).family
    options: dict[str, Any] = {"dtype": getattr(torch, precision, torch.bfloat16)}
    if precision in ("4bit", "8bit"):
        skipped = ["model.visual", "lm_head", *family.unquantizable]
        options["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_8bit=precision == "8bit",
            load_in_4bit=precision == "4bit",
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
            llm_int8_skip_modules=skipped,
        )
    return getattr(transformers, family.model_class).from_pretrained(folder, **options)


def measure(model: Any) -> int:
    """Bytes of the memory that a model's tensors stand in, shared memory counted once."""
    storages = (tensor.untyped_storage() for tensor in tensors_of(model))
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def predict(folder: Path, precision: Precision) -> int:
    return predict_weight_bytes(read_tensors(folder), read_settings(folder), precision)


def tensors(*entries: tuple[str, str, tuple[int, ...]]) -> tuple[TensorInfo, ...]:
    return tuple(TensorInfo(*entry) for entry in entries)


def settings(model_type: str = "qwen3_vl", **config: Any) -> Settings:
    return Settings(family_of(model_type), config)


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rewrite(folder: Path, change: Any) -> None:
    """Put what `change` makes of a checkpoint's weights in their place."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_floating_weights_take_what_is_predicted(folder: Path, precision: Precision) -> None:
    assert predict(folder, precision) == pytest.approx(
        measure(load(folder, precision)), rel=TOLERANCE
    )


@needs_bitsandbytes
@pytest.mark.parametrize("precision", ["8bit", "4bit"])
def test_quantised_weights_take_what_is_predicted(folder: Path, precision: Precision) -> None:
    assert predict(folder, precision) == pytest.approx(
        measure(load(folder, precision)), rel=TOLERANCE
    )


@needs_bitsandbytes
@pytest.mark.parametrize("precision", ["8bit", "4bit"])
def test_what_bitsandbytes_has_saved_takes_what_is_predicted(
    tmp_path: Path, precision: Precision
) -> None:
    original = build_tiny_model(tmp_path / "a", hidden_size=256, vocabulary_size=2048)
    load(original, precision).save_pretrained(tmp_path / "b")
    assert predict(tmp_path / "b", "stored") == pytest.approx(
        measure(load(tmp_path / "b", "stored")), rel=0.005
    )
    count = count_parameters(read_tensors(original), read_settings(original))
    assert count_parameters(read_tensors(tmp_path / "b"), read_settings(tmp_path / "b")) == count


def test_parameters_are_counted_as_the_model_has_them(folder: Path) -> None:
    model = load(folder, "float32")
    count = count_parameters(read_tensors(folder), read_settings(folder))
    assert count == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen3_5"])
def test_an_output_layer_of_its_own_is_counted(tmp_path: Path, family: str) -> None:
    folder = build_tiny_model(tmp_path, family)
    text = json.loads((folder / "config.json").read_text())["text_config"]
    edit_config(
        folder, tie_word_embeddings=False, text_config=text | {"tie_word_embeddings": False}
    )
    name = next(t.name for t in read_tensors(folder) if t.name.endswith("embed_tokens.weight"))
    rewrite(folder, lambda weights: weights | {"lm_head.weight": weights[name] + 1})
    assert predict(folder, "bfloat16") == pytest.approx(
        measure(load(folder, "bfloat16")), rel=0.005
    )


def test_a_tied_output_layer_in_the_file_is_counted_once(tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path)
    before = predict(folder, "bfloat16")
    table = "model.embed_tokens.weight"
    rewrite(folder, lambda weights: weights | {"lm_head.weight": weights[table].clone()})
    assert predict(folder, "bfloat16") == before
    assert measure(load(folder, "bfloat16")) == pytest.approx(before, rel=0.005)


def test_layers_that_the_model_ignores_are_not_counted(tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path, "qwen3_5")
    before = predict(folder, "bfloat16")
    rewrite(
        folder,
        lambda weights: (
            weights | {"mtp.fc.weight": weights["model.language_model.embed_tokens.weight"].clone()}
        ),
    )
    assert predict(folder, "bfloat16") == before
    assert measure(load(folder, "bfloat16")) == pytest.approx(before, rel=0.005)


def as_fp8(weights: dict[str, Any]) -> dict[str, Any]:
    """Linear layers of the language model in FP8 by blocks, the rest in bf16, as published."""
    import torch

    made: dict[str, Any] = {}
    for name, value in weights.items():
        if "visual." in name or not name.endswith("_proj.weight"):
            made[name] = value.to(torch.bfloat16)
        else:
            made[name] = value.to(torch.float8_e4m3fn)
            made[f"{name}_scale_inv"] = torch.ones([-(-side // 128) for side in value.shape])
    return made


@pytest.mark.parametrize("family", ["qwen3_vl", "qwen3_5_moe"])
def test_fp8_weights_are_predicted_as_they_are_dequantised(tmp_path: Path, family: str) -> None:
    import torch

    folder = build_tiny_model(tmp_path, family, hidden_size=256, vocabulary_size=2048)
    whole = predict(folder, "bfloat16")
    count = count_parameters(read_tensors(folder), read_settings(folder))
    rewrite(folder, as_fp8)
    fp8 = {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}
    edit_config(folder, quantization_config=fp8)
    assert predict(folder, "bfloat16") == whole
    assert predict(folder, "stored") < whole
    assert count_parameters(read_tensors(folder), read_settings(folder)) == count
    if not torch.cuda.is_available():  # with one the weights may stay in FP8
        assert measure(load(folder, "bfloat16")) == pytest.approx(whole, rel=TOLERANCE)


def test_layers_are_quantised_by_what_they_are() -> None:
    whole, linear = 2 * 64 * 64, 64 * 64 + 4 * 64
    sizes = {
        "model.language_model.layers.0.mlp.up_proj.weight": linear,
        "model.layers.0.self_attn.q_proj.weight": linear,
        "model.language_model.layers.0.mlp.shared_expert.up_proj.weight": linear,
        "model.language_model.layers.0.self_attn.indexer.index_qk_proj.weight": linear,
        "model.language_model.layers.0.mlp.experts.3.up_proj.weight": whole,
        "model.language_model.layers.0.mlp.gate.weight": whole,
        "model.language_model.layers.0.linear_attn.in_proj_a.weight": whole,
        "model.language_model.layers.0.ple.ngram_embedding.shard_3.weight": whole,
        "model.language_model.embed_tokens.weight": whole,
        "model.visual.blocks.0.mlp.up_proj.weight": whole,
        "visual.blocks.0.mlp.up_proj.weight": whole,
        "lm_head.weight": whole,
    }
    for name, size in sizes.items():
        held = tensors((name, "BF16", (64, 64)))
        assert predict_weight_bytes(held, settings("qwen3_5_moe"), "8bit") == size, name


def test_what_is_not_quantised_keeps_the_type_that_is_asked_for() -> None:
    held = tensors(("lm_head.weight", "BF16", (64, 64)))
    assert predict_weight_bytes(held, settings(), "4bit", rest="float32") == 4 * 64 * 64


def test_integers_are_never_converted() -> None:
    held = tensors(("table", "I64", (10,)))
    assert predict_weight_bytes(held, settings(), "bfloat16") == 80


PACKED = {
    "gptq": (
        {"quant_method": "gptq", "bits": 4},
        (
            ("a.qweight", "I32", (8, 64)),
            ("a.qzeros", "I32", (1, 8)),
            ("a.scales", "F16", (1, 64)),
            ("a.g_idx", "I32", (64,)),
            ("a.bias", "F16", (64,)),
        ),
        64 * 64 + 64,
    ),
    "awq": (
        {"quant_method": "awq", "bits": 4},
        (
            ("a.qweight", "I32", (64, 8)),
            ("a.qzeros", "I32", (1, 8)),
            ("a.scales", "F16", (1, 64)),
        ),
        64 * 64,
    ),
    "compressed-tensors": (
        {
            "quant_method": "compressed-tensors",
            "config_groups": {"group_0": {"weights": {"num_bits": 4}}},
        },
        (
            ("a.weight_packed", "I32", (64, 8)),
            ("a.weight_scale", "BF16", (64, 1)),
            ("a.weight_shape", "I64", (2,)),
        ),
        64 * 64,
    ),
    "gptq of unknown bits": (
        {"quant_method": "gptq"},
        (("a.qweight", "I32", (8, 64)),),
        None,
    ),
    "gptq of no bits": (
        {"quant_method": "gptq", "bits": 0},
        (("a.qweight", "I32", (8, 64)),),
        None,
    ),
    "an unknown method": (
        {"quant_method": "new", "bits": 4},
        (("a.qweight", "I32", (8, 64)),),
        None,
    ),
}


@pytest.mark.parametrize("case", PACKED.values(), ids=PACKED.keys())
def test_packed_weights_are_counted_unpacked(case: Any) -> None:
    quantization, entries, count = case
    assert count_parameters(tensors(*entries), settings(quantization_config=quantization)) == count


def test_packed_weights_take_what_they_take_in_the_file() -> None:
    quantization, entries, _ = PACKED["gptq"]
    config = settings(quantization_config=quantization)
    assert predict_weight_bytes(tensors(*entries), config, "stored") == sum(
        tensor.num_bytes for tensor in tensors(*entries)
    )


def test_a_quantised_checkpoint_cannot_be_quantised_again() -> None:
    config = settings(quantization_config={"quant_method": "gptq", "bits": 4})
    assert possible_precisions(config) == ("stored",)
    with pytest.raises(QuantizationError, match="published as gptq"):
        predict_weight_bytes((), config, "4bit")


def test_an_fp8_checkpoint_can_be_dequantised() -> None:
    config = settings(quantization_config={"quant_method": "fp8"})
    assert possible_precisions(config) == ("bfloat16", "stored")
