"""Kernels, decoders, the hub's cache and the variables of the environment."""

from __future__ import annotations

import py_compile
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from qwenvl_kit.diagnostics.environment import can_write, free_disk_bytes, is_compiled
from qwenvl_kit.diagnostics.torch_info import Capability, Gpu
from tests.diagnostics.pretending import GIB, finding, findings, modules, pretend, with_gpu

SYMBOL = ImportError("flash_attn_2_cuda.so: undefined symbol: _ZN3c105ErrorC2E")
FLASH = {"flash-attn": "2.8.3"}
LINEAR = {"flash-linear-attention": "0.6.0", "causal-conv1d": "1.6.0"}
BITSANDBYTES = {"bitsandbytes": "0.50.2"}


def test_a_torchvision_of_another_build_is_a_problem() -> None:
    broken = RuntimeError("operator torchvision::nms does not exist")
    found = finding(pretend(load=modules(torchvision=broken)), "torchvision build")
    assert found.status == "problem"
    assert "operator torchvision::nms does not exist" in found.detail
    assert found.cure == "pip install --force-reinstall torch torchvision"


def test_a_transformers_that_cannot_be_imported_is_a_problem() -> None:
    broken = ImportError("tokenizers>=0.23 is required for a normal functioning of this module")
    found = finding(pretend(load=modules(transformers=broken)), "transformers import")
    assert found.status == "problem"
    assert "tokenizers>=0.23 is required" in found.detail


def test_modules_that_are_compiled_at_each_start_are_noted_with_the_reason() -> None:
    environ = {"PYTHONDONTWRITEBYTECODE": "1"}
    found = finding(pretend(compiled=lambda name: False, environ=environ), "compiled modules")
    assert found.status == "note"
    assert found.detail.startswith("torch and transformers are compiled anew at each start")
    assert "PYTHONDONTWRITEBYTECODE=1 forbids it" in found.detail
    assert "UV_COMPILE_BYTECODE=1" in found.cure
    read_only = finding(pretend(compiled=lambda name: name == "torch"), "compiled modules")
    assert "transformers are compiled anew" in read_only.detail
    assert "cannot be written to" in read_only.detail


def test_modules_that_are_compiled_are_not_worth_a_line() -> None:
    assert not findings(pretend(), "compiled modules")
    assert not findings(pretend(compiled=lambda name: None), "compiled modules")


def test_a_package_is_compiled_if_python_has_kept_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kept_or_not.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    assert is_compiled("kept_or_not") is False
    py_compile.compile(str(tmp_path / "kept_or_not.py"))
    assert is_compiled("kept_or_not") is True
    assert is_compiled("no_such_package_at_all") is None


def test_without_flash_attn_attention_is_torchs_own() -> None:
    found = finding(pretend(torch=with_gpu()), "attention")
    assert found.status == "ok"
    assert "sdpa" in found.detail


def test_a_flash_attn_of_another_torch_is_a_problem() -> None:
    environment = pretend(torch=with_gpu(), versions=FLASH, load=modules(flash_attn=SYMBOL))
    found = finding(environment, "attention")
    assert found.status == "problem"
    assert "undefined symbol" in found.detail
    assert "--no-build-isolation" in found.cure


def test_a_flash_attn_that_fits_is_well() -> None:
    found = finding(pretend(torch=with_gpu(), versions=FLASH), "attention")
    assert (found.status, found.detail) == ("ok", "flash-attn 2.8.3")


def test_flash_attn_is_not_tried_where_it_cannot_run() -> None:
    load = modules(flash_attn=SYMBOL)
    turing = with_gpu(Gpu(name="T4", capability=Capability(7, 5)))
    assert "needs a GPU" in finding(pretend(versions=FLASH, load=load), "attention").detail
    on_turing = finding(pretend(torch=turing, versions=FLASH, load=load), "attention")
    assert "needs a newer GPU" in on_turing.detail


def test_linear_attention_is_looked_for_on_a_gpu_alone() -> None:
    assert findings(pretend(), "flash-linear-attention") == []
    found = finding(pretend(torch=with_gpu()), "flash-linear-attention")
    assert found.status == "note"
    assert found.cure == "pip install flash-linear-attention"
    assert "--no-build-isolation" in finding(pretend(torch=with_gpu()), "causal-conv1d").cure


def test_linear_attention_that_cannot_be_imported_is_a_problem() -> None:
    environment = pretend(torch=with_gpu(), versions=LINEAR, load=modules(causal_conv1d=SYMBOL))
    assert finding(environment, "causal-conv1d").status == "problem"
    assert finding(environment, "flash-linear-attention").status == "ok"


def test_triton_without_a_compiler_is_a_problem() -> None:
    without = pretend(torch=with_gpu(), versions=LINEAR, which=lambda name: None)
    found = finding(without, "C compiler")
    assert found.status == "problem"
    assert "Failed to find C compiler" in found.detail
    assert findings(pretend(torch=with_gpu(), versions=LINEAR), "C compiler") == []
    assert findings(pretend(which=lambda name: None), "C compiler") == []


def test_bitsandbytes_without_a_library_for_the_gpu_is_a_problem() -> None:
    files = ("libbitsandbytes_cpu.so", "libbitsandbytes_cuda124.so")
    environment = pretend(torch=with_gpu(), versions=BITSANDBYTES, files=lambda name: files)
    found = finding(environment, "bitsandbytes")
    assert found.status == "problem"
    assert "CUDA 13.0" in found.detail


def test_bitsandbytes_takes_a_library_of_the_same_major_version() -> None:
    files = ("libbitsandbytes_cpu.so", "libbitsandbytes_cuda132.so")
    on_gpu = pretend(torch=with_gpu(), versions=BITSANDBYTES, files=lambda name: files)
    assert finding(on_gpu, "bitsandbytes").status == "ok"
    on_cpu = pretend(versions=BITSANDBYTES, files=lambda name: files)
    assert "the CPU" in finding(on_cpu, "bitsandbytes").detail


@pytest.mark.parametrize(("feature", "status"), [("jpg", "problem"), ("avif", "note")])
def test_a_pillow_without_a_format_is_told_by_its_weight(feature: str, status: str) -> None:
    features = SimpleNamespace(check=lambda name: name != feature)
    found = finding(pretend(load=lambda name: features), "pictures")
    assert found.status == status


def test_a_pyav_that_is_missing_is_told_by_the_kits_own_requirements_alone() -> None:
    found = findings(pretend(versions={"av": None}))
    assert "videos" not in {entry.name for entry in found}


@pytest.mark.parametrize(("lacking", "status"), [("h264", "problem"), ("libdav1d", "note")])
def test_a_pyav_without_a_decoder_is_told_by_its_weight(lacking: str, status: str) -> None:
    codecs = {"h264", "hevc", "vp9", "av1", "libdav1d"} - {lacking}
    library = SimpleNamespace(codecs_available=codecs, check=lambda name: True)
    found = finding(pretend(load=lambda name: library), "videos")
    assert found.status == status


def test_a_torchcodec_without_ffmpeg_is_a_note() -> None:
    broken = RuntimeError("Could not load libtorchcodec.\nLikely causes: ...")
    environment = pretend(versions={"torchcodec": "0.17.0"}, load=modules(torchcodec=broken))
    found = finding(environment, "torchcodec")
    assert found.status == "note"
    assert "Could not load libtorchcodec." in found.detail
    assert "Likely" not in found.detail
    assert "FFmpeg" in found.cure


@pytest.mark.parametrize(
    ("free_bytes", "status"), [(GIB // 2, "problem"), (5 * GIB, "note"), (50 * GIB, "ok")]
)
def test_room_in_the_cache_is_weighed(free_bytes: int, status: str) -> None:
    found = finding(pretend(free_bytes_at=lambda folder: free_bytes), "hub cache")
    assert found.status == status
    assert str(Path("/cache/hub")) in found.detail


def test_a_cache_that_cannot_be_written_to_is_a_problem() -> None:
    found = finding(pretend(is_writable=lambda folder: False), "hub cache")
    assert found.status == "problem"
    assert "HF_HOME" in found.cure


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_being_offline_is_a_note(name: str) -> None:
    assert finding(pretend(environ={name: "true"}), "offline").cure == f"unset {name}"
    assert findings(pretend(environ={name: "0"}), "offline") == []


def test_another_endpoint_is_a_note_without_its_password() -> None:
    environ = {"HF_ENDPOINT": "https://user:hunter2@mirror.example/hub?key=1"}
    found = finding(pretend(environ=environ), "hub endpoint")
    assert found.status == "note"
    assert "mirror.example" in found.detail
    assert "hunter2" not in found.detail


def test_variables_of_old_guides_are_notes() -> None:
    environ = {"TRANSFORMERS_CACHE": "/cache", "KMP_DUPLICATE_LIB_OK": "TRUE"}
    for name in environ:
        assert finding(pretend(environ=environ), name).status == "note"


def test_a_folder_that_is_not_there_yet_is_judged_by_its_parent(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    assert can_write(folder)
    assert free_disk_bytes(folder) > 0
