"""Devices: GPUs that can be used, GPUs that cannot and why, the CPU, memory."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from qwenvl_kit.diagnostics.torch_info import Capability, Gpu, TorchInfo
from qwenvl_kit.hardware import (
    Machine,
    NvidiaDriver,
    _memory_limit_bytes,
    _version_in,
    find_nvidia_driver,
)
from tests.diagnostics.pretending import (
    CPU_ONLY,
    FOR_CUDA,
    GIB,
    H100,
    finding,
    findings,
    pretend,
    with_gpu,
)

DRIVER = NvidiaDriver(version="580.82.07")


def test_a_gpu_is_described_with_its_memory_and_types() -> None:
    found = finding(pretend(torch=with_gpu()), "GPU 0")
    assert found.status == "ok"
    assert found.detail == "H100, capability 9.0, bf16, fp8, 83.8 GB of 85.9 GB free"


def test_a_machine_without_a_gpu_is_well() -> None:
    found = finding(pretend(), "GPU")
    assert found.status == "ok"
    assert "CPU" in found.detail


def test_a_torch_for_the_cpu_beside_a_gpu_is_a_problem() -> None:
    found = finding(pretend(torch=CPU_ONLY, nvidia_driver=lambda: DRIVER), "GPU")
    assert found.status == "problem"
    assert "built for CPU only" in found.detail
    assert found.cure == "pip install --force-reinstall torch torchvision"


def test_on_windows_the_cure_is_not_the_index_that_has_no_cuda() -> None:
    environment = pretend(nvidia_driver=lambda: DRIVER, platform="win32")
    assert "CUDA build" in finding(environment, "GPU").cure


def test_a_driver_too_old_for_the_cuda_of_torch_is_a_problem() -> None:
    old = NvidiaDriver(version="535.104.05")
    found = finding(pretend(torch=FOR_CUDA, nvidia_driver=lambda: old), "GPU")
    assert found.status == "problem"
    assert "CUDA 13.0 needs 580 or newer" in found.detail


def test_gpus_hidden_by_a_variable_are_a_note() -> None:
    hidden = pretend(
        torch=FOR_CUDA, nvidia_driver=lambda: DRIVER, environ={"CUDA_VISIBLE_DEVICES": ""}
    )
    found = finding(hidden, "GPU")
    assert found.status == "note"
    assert found.cure == "unset CUDA_VISIBLE_DEVICES"


def test_a_container_without_its_hosts_gpu_is_a_note() -> None:
    host = NvidiaDriver(version="580.82.07", has_device=False)
    found = finding(pretend(torch=FOR_CUDA, nvidia_driver=lambda: host), "GPU")
    assert found.status == "note"
    assert "--gpus all" in found.cure


@pytest.mark.parametrize("driver", [DRIVER, NvidiaDriver(version="")])
def test_a_gpu_that_torch_does_not_find_is_told_in_torchs_words(driver: NvidiaDriver) -> None:
    facts = replace(FOR_CUDA, complaint="CUDA unknown error")
    found = finding(pretend(torch=facts, nvidia_driver=lambda: driver), "GPU")
    assert found.status == "problem"
    assert "CUDA unknown error" in found.detail


def test_a_gpu_without_bf16_is_a_note_about_exclamation_marks() -> None:
    turing = Gpu(name="T4", capability=Capability(7, 5))
    found = finding(pretend(torch=with_gpu(turing)), "GPU 0")
    assert found.status == "note"
    assert "'!!!!'" in found.detail
    assert 'dtype="auto"' in found.cure


@pytest.mark.parametrize("capability", [Capability(6, 1), Capability(13, 0)])
def test_a_gpu_that_torch_was_not_compiled_for_is_a_problem(capability: Capability) -> None:
    facts = with_gpu(Gpu(name="GTX", capability=capability))
    found = finding(pretend(torch=facts), "GPU 0")
    assert found.status == "problem"
    assert "sm_75" in found.detail


def test_a_gpu_whose_memory_is_taken_is_a_note() -> None:
    found = finding(pretend(torch=with_gpu(replace(H100, free_bytes=GIB))), "GPU 0")
    assert found.status == "note"
    assert "nvidia-smi" in found.cure


@pytest.mark.parametrize(
    ("architecture", "capability", "runs"),
    [
        ("sm_80", Capability(8, 9), True),
        ("sm_89", Capability(8, 6), False),
        ("sm_90", Capability(10, 0), False),
        ("sm_90a", Capability(9, 0), True),
        ("sm_100a", Capability(10, 3), False),
        ("sm_100f", Capability(10, 3), True),
        ("compute_90", Capability(12, 0), True),
        ("gfx942", Capability(9, 0), True),
    ],
)
def test_kernels_run_on_what_nvidias_rules_say(
    architecture: str, capability: Capability, runs: bool
) -> None:
    facts = TorchInfo(version="2.12.0", architectures=(architecture,))
    assert facts.has_kernels_for(capability) is runs


def test_a_gpu_of_amd_needs_no_capability() -> None:
    facts = TorchInfo(version="2.12.0", hip_version="7.1", gpus=(Gpu(name="MI300X"),))
    found = finding(pretend(torch=facts), "GPU 0")
    assert (found.status, found.detail) == ("ok", "MI300X, bf16")


def test_apples_gpu_is_a_device() -> None:
    facts = TorchInfo(version="2.12.0", other_device="mps")
    assert finding(pretend(torch=facts), "device").detail == "mps"


def test_more_threads_than_cores_are_a_note() -> None:
    facts = replace(CPU_ONLY, num_threads=64)
    found = finding(pretend(torch=facts), "CPU")
    assert found.status == "note"
    assert found.cure == "export OMP_NUM_THREADS=4"


def test_the_cpus_fast_types_are_named() -> None:
    machine = Machine(
        num_cores=4, available_bytes=9 * GIB, total_bytes=9 * GIB, abilities=("amx_bf16",)
    )
    assert finding(pretend(machine=machine), "CPU").detail == "4 cores to use, amx_bf16"


def test_little_memory_is_a_note() -> None:
    machine = Machine(num_cores=4, available_bytes=GIB, total_bytes=8 * GIB)
    found = finding(pretend(machine=machine), "memory")
    assert found.status == "note"
    assert "1.1 GB of 8.6 GB free" in found.detail


def test_an_expandable_allocator_is_advised_on_a_gpu_alone() -> None:
    assert findings(pretend(), "GPU allocator") == []
    assert finding(pretend(torch=with_gpu()), "GPU allocator").status == "note"
    environ = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
    assert finding(pretend(torch=with_gpu(), environ=environ), "GPU allocator").status == "ok"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat", "535.104.05"),
        ("NVIDIA UNIX Open Kernel Module for x86_64  580.82  Release Build", "580.82"),
        ("nothing", ""),
    ],
)
def test_the_drivers_version_is_read_from_what_the_kernel_says(text: str, version: str) -> None:
    assert _version_in(text) == version


def test_copies_of_files_do_not_count_as_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint that was just read fills a container's memory, and is given up at once."""
    (tmp_path / "memory.max").write_text(str(32 * GIB))
    (tmp_path / "memory.current").write_text(str(30 * GIB))
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {28 * GIB}\nactive_file 7\n")
    monkeypatch.setattr("qwenvl_kit.hardware._CGROUP", tmp_path)
    assert _memory_limit_bytes() == (32 * GIB, 2 * GIB)


@pytest.mark.parametrize(
    ("error", "is_there"),
    [(OSError("exec format"), False), (subprocess.TimeoutExpired("nvidia-smi", 20), True)],
)
def test_an_nvidia_smi_that_cannot_run_or_hangs_is_no_exception(
    monkeypatch: pytest.MonkeyPatch, error: Exception, is_there: bool
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("qwenvl_kit.hardware._DRIVER_FILE", Path("/nowhere"))
    monkeypatch.setattr("qwenvl_kit.hardware.shutil.which", lambda _: "/bin/nvidia-smi")
    monkeypatch.setattr("qwenvl_kit.hardware.subprocess.run", fail)
    assert (find_nvidia_driver() is not None) is is_there
