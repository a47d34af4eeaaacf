"""Quantised as it is loaded, or as it was published: the vision encoder stays whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from qwenvl_kit import Reply, Sampling, VisionChat
from qwenvl_kit.backends.local.loading import load_plan, loader, network, quantization
from qwenvl_kit.backends.local.packed.base import PackedLinear
from qwenvl_kit.backends.local.packed.packing import packed_bytes
from qwenvl_kit.checkpoints import quantization as published
from qwenvl_kit.checkpoints.packages import lacking, requirements_of
from qwenvl_kit.checkpoints.packed_memory import Packing
from qwenvl_kit.errors import MissingPackageError, ModelLoadError, QuantizationError
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.hardware import as_gigabytes
from qwenvl_kit.testing import build_tiny_model
from tests.by_hand import ids_of, picture, tensors_of

BITS = ("4bit", "8bit")
needs_bitsandbytes = pytest.mark.skipif(
    find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)
on_a_processor = pytest.mark.skipif(
    torch.accelerator.is_available(), reason="an accelerator has kernels of its own"
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A tiny model of a family, built once."""
    root = tmp_path_factory.mktemp("quantized")

    def build(family: str) -> Path:
        absent = lacking(requirements_of(FAMILIES[family]))
        if absent:
            pytest.skip(f"{family} needs {' and '.join(absent)}")
        if not (root / family).exists():
            build_tiny_model(root / family, family)
        return root / family

    return build


@pytest.fixture(scope="module", params=[(f, bits) for f in FAMILIES for bits in BITS], ids="-".join)
def quantized(request: pytest.FixtureRequest, models: Callable[[str], Path]) -> VisionChat:
    """Each family with each number of bits."""
    pytest.importorskip("bitsandbytes")
    family, bits = request.param
    return VisionChat.from_pretrained(models(family), quantization=bits, device="cpu")


@pytest.fixture
def copy(tiny_folder: Path, tmp_path: Path) -> Path:
    """A checkpoint to change."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


@pytest.fixture
def nothing_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which reading weights fails the test."""
    monkeypatch.setattr(network, "_load_model", None)


def network_of(chat: VisionChat) -> Any:
    return chat._backend.model  # type: ignore[attr-defined]


def quantized_layers(network: Any) -> set[str]:
    """Names of the layers that are packed, or that bitsandbytes holds."""
    import bitsandbytes

    kinds = (bitsandbytes.nn.Linear4bit, bitsandbytes.nn.Linear8bitLt, PackedLinear)
    return {name for name, module in network.named_modules() if isinstance(module, kinds)}


def nothing_packed(*_: object, **__: object) -> None:
    """A processor on which no packed layer runs, as on Arm."""


def answer(chat: VisionChat) -> Reply:
    return chat.ask("What is it?", picture(70, 90), sampling=Sampling(max_new_tokens=6))


def mark_as_published(folder: Path, config: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"quantization_config": config}))
    return folder


def test_not_one_layer_of_the_vision_encoder_is_quantised(quantized: VisionChat) -> None:
    network = network_of(quantized)
    assert not [name for name in quantized_layers(network) if "visual" in name]
    assert {parameter.dtype for parameter in network.model.visual.parameters()} == {torch.bfloat16}


def test_the_language_model_is_quantised_but_for_what_kernels_cannot_take(
    quantized: VisionChat,
) -> None:
    network = network_of(quantized)
    family = FAMILIES[quantized.report()["family"]]
    plain = {
        name
        for name, module in network.model.language_model.named_modules()
        if type(module) is torch.nn.Linear
    }
    assert {name.rpartition(".")[2] for name in plain} <= set(family.unquantizable)
    in_language_model = [n for n in quantized_layers(network) if ".language_model.layers." in n]
    assert len(in_language_model) >= 4 * 4


def test_a_quantised_model_answers_a_question_about_a_picture(quantized: VisionChat) -> None:
    reply = answer(quantized)
    assert reply.usage.visual_tokens > 0
    assert reply.usage.completion_tokens == len(ids_of(reply)) > 0
    assert 0 < reply.confidence <= 1
    quantized.clear_cache()  # 8 bits round a prompt otherwise when it is read in parts
    assert ids_of(answer(quantized)) == ids_of(reply)


@needs_bitsandbytes
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("family", FAMILIES)
def test_weights_take_what_the_report_and_the_plan_promise(
    models: Callable[[str], Path], family: str, bits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Some processors have bitsandbytes pack weights anew, a little larger, when they first run.
    monkeypatch.setattr(loader, "check_cached_step", lambda *_, **__: None)
    chat = VisionChat.from_pretrained(models(family), quantization=bits, device="cpu")
    storages = (tensor.untyped_storage() for tensor in tensors_of(network_of(chat)))
    taken = sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())
    taken += packed_bytes(network_of(chat))
    assert chat.plan("What is it?").weight_bytes == pytest.approx(taken, rel=0.001)
    assert chat.report()["weights"] == as_gigabytes(taken)


def test_the_report_says_how_it_is_quantised(quantized: VisionChat) -> None:
    report = quantized.report()
    assert report["quantization"] in BITS
    assert report["dtype"] == "bfloat16"
    assert "kept small" in report["dtype_reason"]


@needs_bitsandbytes
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_rest_may_be_of_another_type(tiny_folder: Path, bits: Any, dtype: str) -> None:
    chat = VisionChat.from_pretrained(tiny_folder, quantization=bits, dtype=dtype, device="cpu")
    assert chat.report()["dtype"] == dtype
    assert ids_of(answer(chat))


@needs_bitsandbytes
@pytest.mark.usefixtures("nothing_read")
def test_what_kernels_refuse_in_4_bit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path, hidden_size=96)
    with pytest.raises(QuantizationError, match=r"192 x 96.*multiples of 64.*'8bit'"):
        VisionChat.from_pretrained(folder, quantization="4bit", device="cpu")


@needs_bitsandbytes
def test_what_is_refused_in_4_bit_answers_in_8_bit(tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path, hidden_size=96)
    chat = VisionChat.from_pretrained(folder, quantization="8bit", device="cpu")
    assert ids_of(answer(chat))


@pytest.mark.usefixtures("nothing_read")
@pytest.mark.parametrize("value", ["2bit", "4BIT", "nf4", "", 4, 0, True, False, ["4bit"], {}])
def test_an_unknown_quantisation_is_refused_with_those_that_are_known(
    tiny_folder: Path, value: Any
) -> None:
    with pytest.raises(QuantizationError, match=r"quantization=.*'4bit' or '8bit'"):
        VisionChat.from_pretrained(tiny_folder, quantization=value)


@pytest.mark.usefixtures("nothing_read")
@pytest.mark.parametrize("bits", BITS)
def test_without_bitsandbytes_its_command_is_named(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, bits: Any
) -> None:
    monkeypatch.setattr(quantization, "lacking_packages", tuple)
    monkeypatch.setattr(load_plan, "choose_packing", nothing_packed)
    with pytest.raises(MissingPackageError, match=r"pip install .*bitsandbytes"):
        VisionChat.from_pretrained(tiny_folder, quantization=bits)


@pytest.mark.usefixtures("nothing_read")
def test_packed_layers_need_no_bitsandbytes(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantization, "lacking_packages", tuple)
    monkeypatch.setattr(load_plan, "choose_packing", lambda *_, **__: Packing("int8", "a test"))
    with pytest.raises(ModelLoadError, match="NoneType"):  # it came to the reading of weights
        VisionChat.from_pretrained(tiny_folder, quantization="8bit", device="cpu")


@needs_bitsandbytes
@pytest.mark.parametrize("bits", BITS)
def test_a_processor_without_packed_layers_leaves_them_to_bitsandbytes(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, bits: Any
) -> None:
    monkeypatch.setattr(load_plan, "choose_packing", nothing_packed)
    chat = VisionChat.from_pretrained(tiny_folder, quantization=bits, device="cpu")
    assert packed_bytes(network_of(chat)) == 0
    assert len(quantized_layers(network_of(chat))) >= 4 * 4
    assert "quantization_reason" not in chat.report()
    assert ids_of(answer(chat))


# Published quantised.

METHODS = {
    "gptq": ({"quant_method": "gptq", "bits": 4, "group_size": 128}, ["gptqmodel", "optimum"]),
    "awq": ({"quant_method": "awq", "bits": 4, "version": "gemm"}, ["gptqmodel"]),
    "fp8": ({"quant_method": "fp8", "weight_block_size": [128, 128]}, ["accelerate"]),
    "compressed-tensors": (
        {"quant_method": "compressed-tensors", "format": "pack-quantized"},
        ["compressed-tensors"],
    ),
    "bitsandbytes 4-bit": (
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        ["bitsandbytes"],
    ),
    "bitsandbytes 8-bit": ({"load_in_8bit": True}, ["bitsandbytes"]),
}


@pytest.mark.usefixtures("nothing_read")
@pytest.mark.parametrize("name", METHODS)
def test_packages_that_a_published_quantisation_lacks_are_named_with_their_command(
    copy: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    config, packages = METHODS[name]
    monkeypatch.setattr(published, "lacking", tuple)
    with pytest.raises(MissingPackageError, match=f"{name} weights need") as caught:
        VisionChat.from_pretrained(mark_as_published(copy, config))
    assert caught.value.hint.startswith("pip install ")
    for package in packages:
        assert f'"{package}' in caught.value.hint


@pytest.mark.usefixtures("nothing_read")
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("name", METHODS)
def test_what_is_quantised_already_is_not_quantised_again(copy: Path, name: str, bits: Any) -> None:
    folder = mark_as_published(copy, METHODS[name][0])
    with pytest.raises(QuantizationError, match=f"already, with {name}.*leave quantization out"):
        VisionChat.from_pretrained(folder, quantization=bits)


@pytest.mark.usefixtures("nothing_read")
@pytest.mark.parametrize("config", [{"quant_method": "magic"}, {"bits": 4}, {"quant_method": []}])
def test_a_quantisation_that_transformers_would_pass_over_is_refused(
    copy: Path, config: Any
) -> None:
    with pytest.raises(QuantizationError, match="transformers does not know"):
        VisionChat.from_pretrained(mark_as_published(copy, config))


@needs_bitsandbytes
@pytest.mark.usefixtures("nothing_read")
@pytest.mark.parametrize("bits", BITS)
def test_plain_weights_that_are_said_to_be_quantised_are_refused_before_they_are_read(
    copy: Path, bits: str
) -> None:
    folder = mark_as_published(copy, METHODS[f"bitsandbytes {bits[0]}-bit"][0])
    with pytest.raises(QuantizationError, match=r"they are plain.*delete quantization_config"):
        VisionChat.from_pretrained(folder, device="cpu")


@pytest.fixture(params=[(b, d) for b in BITS for d in ("bfloat16", "float16")], ids="-".join)
def saved(
    request: pytest.FixtureRequest, tiny_folder: Path, tmp_path: Path, monkeypatch: Any
) -> Path:
    """A checkpoint as bitsandbytes saves it, the rest of it in either type."""
    pytest.importorskip("bitsandbytes")
    bits, dtype = request.param
    monkeypatch.setattr(load_plan, "choose_packing", nothing_packed)
    chat = VisionChat.from_pretrained(tiny_folder, quantization=bits, dtype=dtype, device="cpu")
    network_of(chat).save_pretrained(tmp_path)
    chat._backend.processor.save_pretrained(tmp_path)  # type: ignore[attr-defined]
    (tmp_path / "answer.txt").write_text(str(ids_of(answer(chat))))
    return tmp_path


def test_what_bitsandbytes_has_saved_answers_as_it_did(saved: Path) -> None:
    chat = VisionChat.from_pretrained(saved, device="cpu")
    assert str(ids_of(answer(chat))) == (saved / "answer.txt").read_text()
    report = chat.report()
    assert report["quantization"].startswith("bitsandbytes ")
    assert report["dtype"] in ("bfloat16", "float16")
    assert "published" in report["dtype_reason"]
    assert not [name for name in quantized_layers(network_of(chat)) if "visual" in name]


def test_the_rest_of_what_is_published_quantised_is_not_converted(saved: Path) -> None:
    with pytest.raises(QuantizationError, match="leave dtype out"):
        VisionChat.from_pretrained(saved, dtype="float32", device="cpu")


# FP8: weights of one byte, and a scale for each block of them.

BLOCK = 128


def as_fp8(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A matrix in FP8 with the scales of its blocks, as published checkpoints hold it."""
    blocks = weight.unflatten(0, (-1, BLOCK)).unflatten(2, (-1, BLOCK))
    scales = blocks.abs().amax((1, 3)) / torch.finfo(torch.float8_e4m3fn).max
    scaled = blocks / scales[:, None, :, None]
    return scaled.reshape(weight.shape).to(torch.float8_e4m3fn), scales


def from_fp8(weight: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """The matrix for which FP8 values stand."""
    rows = scales.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)
    return weight.to(torch.float32) * rows


@pytest.fixture(scope="module", params=["qwen2_vl", "qwen3_vl", "qwen3_5"])
def fp8(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, torch.Tensor]]:
    """A checkpoint in FP8, and what its matrices stand for."""
    from safetensors.torch import load_file, save_file

    folder = build_tiny_model(
        tmp_path_factory.mktemp("fp8") / request.param, request.param, hidden_size=256
    )
    tensors: dict[str, torch.Tensor] = {}
    meant: dict[str, torch.Tensor] = {}
    for name, weight in load_file(folder / "model.safetensors").items():
        is_whole = "visual" in name or not name.endswith("_proj.weight")
        if is_whole or any(side % BLOCK for side in weight.shape):
            tensors[name] = weight.to(torch.bfloat16)
            continue
        tensors[name], tensors[f"{name}_scale_inv"] = as_fp8(weight)
        short_name = name.partition("layers.")[2]
        meant[short_name] = from_fp8(tensors[name], tensors[f"{name}_scale_inv"])
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = {"quant_method": "fp8", "weight_block_size": [BLOCK, BLOCK], "fmt": "e4m3"}
    whole = ["model.visual", "lm_head", "in_proj_a", "in_proj_b"]
    return mark_as_published(folder, config | {"modules_to_not_convert": whole}), meant


@on_a_processor
def test_fp8_weights_are_dequantised_where_nothing_computes_in_fp8(fp8: Any) -> None:
    folder, meant = fp8
    chat = VisionChat.from_pretrained(folder)
    weights = network_of(chat).state_dict()
    assert {weight.dtype for weight in network_of(chat).parameters()} == {torch.bfloat16}
    assert len(meant) >= 4 * 3
    for short_name, expected in meant.items():
        loaded = weights[f"model.language_model.layers.{short_name}"]
        torch.testing.assert_close(loaded.float(), expected, rtol=0.01, atol=1e-6)


@on_a_processor
def test_an_fp8_checkpoint_answers_in_bf16_and_the_report_says_so(fp8: Any) -> None:
    chat = VisionChat.from_pretrained(fp8[0])
    assert ids_of(answer(chat))
    report = chat.report()
    assert (report["quantization"], report["dtype"]) == ("fp8", "bfloat16")
    assert report["weights"] == as_gigabytes(chat.plan("What?").weight_bytes or 0)


@pytest.mark.gpu
def test_fp8_weights_stay_in_fp8_on_a_gpu_that_computes_in_it(fp8: Any) -> None:
    if torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("FP8 needs compute capability 8.9")
    folder, meant = fp8
    chat = VisionChat.from_pretrained(folder, device="cuda")
    kept = [w for w in network_of(chat).parameters() if w.dtype == torch.float8_e4m3fn]
    assert len(kept) == len(meant)
    assert chat.report()["quantization"] == "fp8"
    assert ids_of(answer(chat))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_an_fp8_checkpoint_runs_in_no_other_type(fp8: Any, dtype: str) -> None:
    with pytest.raises(QuantizationError, match=r"bfloat16.*leave dtype out"):
        VisionChat.from_pretrained(fp8[0], dtype=dtype, device="cpu")
