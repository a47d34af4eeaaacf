"""The number type and the implementation of attention, each with its reason."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from qwenvl_kit import Sampling, VisionChat
from qwenvl_kit.backends.local.loading import attention, load_plan
from qwenvl_kit.backends.local.loading.attention import Attention, choose_attention
from qwenvl_kit.backends.local.loading.dtype import Precision, choose_precision
from qwenvl_kit.errors import MissingPackageError, ModelLoadError, QuantizationError
from tests.by_hand import picture

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
MEASURED = Precision(torch.float32, "as it was measured")


class Gpu:
    """A CUDA device that is not there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(torch.cuda, "device", nullcontext)
        self.pretend()

    def pretend(
        self,
        *,
        capability: tuple[int, int] = (9, 0),
        has_flash: bool = True,
        hip: str | None = None,
    ) -> None:
        """A device of this capability, on a machine with or without flash-attn."""
        patch = self._monkeypatch.setattr
        patch(torch.cuda, "get_device_capability", lambda _: capability)
        patch(torch.cuda, "is_bf16_supported", lambda **_: capability >= (8, 0))
        patch(torch.version, "hip", hip)
        patch(attention, "find_spec", lambda _: SimpleNamespace() if has_flash else None)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    return Gpu(monkeypatch)


def precision(dtype: Any, device: torch.device, *, is_quantized: bool = False) -> Precision:
    return choose_precision(dtype, device, is_quantized=is_quantized, on_processor=lambda: MEASURED)


def test_a_gpu_with_bf16_computes_in_it(gpu: Gpu) -> None:
    assert precision("auto", CUDA) == Precision(torch.bfloat16, "cuda computes in it")


def test_a_gpu_without_bf16_computes_in_fp32_and_never_in_fp16_unasked(gpu: Gpu) -> None:
    gpu.pretend(capability=(7, 5))
    chosen = precision("auto", CUDA)
    assert chosen.dtype == torch.float32
    assert "fp16 has too small a range" in chosen.reason


def test_emulated_bf16_is_no_bf16(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation
    )
    assert precision("auto", CUDA).dtype == torch.float32


def test_a_processor_computes_in_what_was_measured_for_the_model() -> None:
    assert precision("auto", CPU) == MEASURED


@pytest.mark.parametrize("device", [CPU, CUDA], ids=str)
def test_beside_quantised_weights_all_is_bf16(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qwenvl_kit.backends.local.loading.dtype.supports_bfloat16", lambda _: True)
    chosen = precision("auto", device, is_quantized=True)
    assert chosen.dtype == torch.bfloat16
    assert "small" in chosen.reason


def test_a_gpu_without_bf16_computes_in_fp32_beside_quantised_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "qwenvl_kit.backends.local.loading.dtype.supports_bfloat16", lambda _: False
    )
    assert precision("auto", CUDA, is_quantized=True).dtype == torch.float32


@pytest.mark.parametrize("dtype", ["float16", torch.float16])
def test_fp16_that_is_asked_for_comes_with_a_warning(dtype: Any) -> None:
    chosen = precision(dtype, CPU)
    assert chosen.dtype == torch.float16
    assert "exclamation marks" in chosen.reason


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", torch.bfloat16, torch.float32])
def test_a_type_that_is_asked_for_is_taken_by_name_or_as_it_is(dtype: Any) -> None:
    chosen = precision(dtype, CPU, is_quantized=True)
    assert chosen.name == str(dtype).removeprefix("torch.")
    assert chosen.reason == "as asked"


@pytest.mark.parametrize(
    "dtype",
    ["int8", "float64", "float8_e4m3fn", "fp16", "nonsense", "Tensor", "", torch.int8, 3, None],
)
def test_what_these_models_do_not_run_in_is_refused(dtype: Any) -> None:
    with pytest.raises(ModelLoadError, match=r"dtype=.*'bfloat16'"):
        precision(dtype, CPU)


@pytest.mark.parametrize("published", [torch.float16, torch.bfloat16], ids=str)
def test_a_checkpoint_that_is_published_quantised_keeps_the_type_of_its_rest(
    published: torch.dtype,
) -> None:
    for dtype in ("auto", published):
        chosen = choose_precision(
            dtype, CPU, is_quantized=False, published=published, on_processor=lambda: MEASURED
        )
        assert chosen.dtype == published
        assert "published" in chosen.reason
    with pytest.raises(QuantizationError, match="leave dtype out"):
        choose_precision(
            "float32",
            CPU,
            is_quantized=False,
            published=published,
            on_processor=lambda: MEASURED,
        )


@pytest.mark.parametrize("dtype", ["auto", "bfloat16", "float16"])
def test_the_report_gives_the_type_and_why(tiny_folder: Path, dtype: str) -> None:
    report = VisionChat.from_pretrained(tiny_folder, dtype=dtype, device="cpu").report()
    assert report["dtype"] == ("float32" if dtype == "auto" else dtype)
    assert report["dtype_reason"].startswith("on a processor" if dtype == "auto" else "as asked")


# Attention.


def test_flash_attention_is_taken_where_it_works(gpu: Gpu) -> None:
    chosen = choose_attention("auto", CUDA, torch.bfloat16)
    assert chosen.name == "flash_attention_2"
    assert chosen.may_fall_back
    assert "installed" in chosen.reason


@pytest.mark.parametrize(
    ("machine", "dtype", "reason"),
    [
        ({"has_flash": False}, torch.bfloat16, "is not installed"),
        ({"capability": (7, 5)}, torch.bfloat16, "needs compute capability 8.0"),
        ({}, torch.float32, "computes in bf16 and fp16 alone"),
    ],
)
def test_where_flash_attention_does_not_work_torch_attends_and_the_reason_is_given(
    gpu: Gpu, machine: dict[str, Any], dtype: torch.dtype, reason: str
) -> None:
    gpu.pretend(**machine)
    chosen = choose_attention("auto", CUDA, dtype)
    assert chosen.name == "sdpa"
    assert reason in chosen.reason


def test_gpus_of_amd_have_another_way_to_count_capabilities(gpu: Gpu) -> None:
    gpu.pretend(capability=(7, 5), hip="6.3")
    assert choose_attention("auto", CUDA, torch.bfloat16).name == "flash_attention_2"


def test_on_a_processor_torch_attends_and_the_report_says_why(tiny_folder: Path) -> None:
    report = VisionChat.from_pretrained(tiny_folder, device="cpu").report()
    assert report["attention"] == "sdpa"
    assert report["attention_reason"] == "flash_attention_2 needs a CUDA device, not cpu"


def test_flash_attention_that_is_asked_for_and_missing_is_told_with_its_command(gpu: Gpu) -> None:
    gpu.pretend(has_flash=False)
    with pytest.raises(MissingPackageError, match="pip install flash-attn --no-build-isolation"):
        choose_attention("flash_attention_2", CUDA, torch.bfloat16)


@pytest.mark.parametrize(
    ("machine", "device", "dtype"),
    [
        ({}, CPU, torch.bfloat16),
        ({}, CUDA, torch.float32),
        ({"capability": (7, 5)}, CUDA, torch.float16),
    ],
    ids=["a processor", "fp32", "an old GPU"],
)
def test_flash_attention_that_is_asked_for_where_it_cannot_run_is_refused(
    gpu: Gpu, machine: dict[str, Any], device: torch.device, dtype: torch.dtype
) -> None:
    gpu.pretend(**machine)
    with pytest.raises(ModelLoadError, match="'sdpa'") as caught:
        choose_attention("flash_attention_2", device, dtype)
    assert not isinstance(caught.value, MissingPackageError)


def test_flash_attention_that_is_asked_for_and_works_may_not_be_replaced(gpu: Gpu) -> None:
    chosen = choose_attention("flash_attention_2", CUDA, torch.bfloat16)
    assert chosen == Attention("flash_attention_2", "as asked", may_fall_back=False)


@pytest.fixture
def broken_flash(monkeypatch: pytest.MonkeyPatch) -> Any:
    """flash-attn as it looks where it is installed and its import fails."""
    pytest.importorskip("transformers")
    from transformers.utils import is_flash_attn_2_available

    if is_flash_attn_2_available():
        pytest.skip("flash-attn works here")

    def choose(may_fall_back: bool) -> None:
        flash = Attention("flash_attention_2", "installed", may_fall_back)
        monkeypatch.setattr(load_plan, "choose_attention", lambda *_: flash)

    return choose


def test_flash_attention_whose_import_fails_gives_way_and_the_report_says_why(
    tiny_folder: Path, broken_flash: Any
) -> None:
    broken_flash(may_fall_back=True)
    chat = VisionChat.from_pretrained(tiny_folder, device="cpu")
    report = chat.report()
    assert report["attention"] == "sdpa"
    assert report["attention_reason"].startswith("flash_attention_2 could not be loaded (")
    assert "FlashAttention2" in report["attention_reason"]
    reply = chat.ask("What is it?", picture(60, 60), sampling=Sampling(max_new_tokens=3))
    assert reply.usage.completion_tokens == 3


def test_flash_attention_that_was_asked_for_and_whose_import_fails_is_not_replaced(
    tiny_folder: Path, broken_flash: Any
) -> None:
    broken_flash(may_fall_back=False)
    with pytest.raises(MissingPackageError, match=r"flash_attention_2.*pip install flash-attn"):
        VisionChat.from_pretrained(tiny_folder, device="cpu")


@pytest.mark.parametrize("name", ["nonsense", "flex_attention"])
def test_an_attention_that_the_model_does_not_have_is_named(tiny_folder: Path, name: str) -> None:
    with pytest.raises(ModelLoadError, match=f"attention='{name}'.*'auto'") as caught:
        VisionChat.from_pretrained(tiny_folder, attention=name, device="cpu")
    assert type(caught.value) is ModelLoadError


@pytest.mark.parametrize("name", ["", 3, None, b"sdpa"])
def test_what_is_no_name_of_an_attention_is_refused(tiny_folder: Path, name: Any) -> None:
    with pytest.raises(ModelLoadError, match="attention="):
        VisionChat.from_pretrained(tiny_folder, attention=name, device="cpu")


def test_eager_attention_answers_as_torch_own_does(tiny_folder: Path) -> None:
    answers = set()
    for name in ("eager", "sdpa"):
        chat = VisionChat.from_pretrained(tiny_folder, attention=name, device="cpu")
        assert chat.report()["attention"] == name
        assert chat.report()["attention_reason"] == "as asked"
        sampling = Sampling(max_new_tokens=8)
        answers.add(chat.ask("What is it?", picture(60, 60), sampling=sampling).text)
    assert len(answers) == 1


def test_a_kernel_of_a_hub_is_not_fetched_by_name(tiny_folder: Path) -> None:
    with pytest.raises(ModelLoadError, match="not fetched"):
        VisionChat.from_pretrained(tiny_folder, attention="someone/kernel")


def test_compiling_without_a_compiler_is_refused_before_loading(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "qwenvl_kit.backends.local.loading.compilation.shutil.which", lambda _: None
    )
    with pytest.raises(MissingPackageError, match="compiler"):
        VisionChat.from_pretrained(tiny_folder, compile=True)
