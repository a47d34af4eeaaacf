"""Checks of the devices that a model can run on: GPUs, the CPU and memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from qwenvl_kit.diagnostics.environment import Environment
from qwenvl_kit.diagnostics.findings import Finding
from qwenvl_kit.diagnostics.software import REINSTALL_TORCH
from qwenvl_kit.diagnostics.torch_info import Gpu, TorchInfo
from qwenvl_kit.hardware import NvidiaDriver, as_gigabytes

MIN_DRIVER: Mapping[int, int] = MappingProxyType({11: 450, 12: 525, 13: 580})
"""The oldest driver for each major version of CUDA, from NVIDIA's CUDA release notes."""

_LITTLE_MEMORY = 4 * 2**30
_LITTLE_FREE = 0.25


def accelerators(environment: Environment) -> Iterator[Finding]:
    """Check the GPUs that torch can use, or find the reason why it uses none."""
    facts = environment.torch()
    for index, gpu in enumerate(facts.gpus):
        yield from _judge_gpu(f"GPU {index}", gpu, facts)
    if facts.other_device:
        yield Finding("device", "ok", facts.other_device)
    if facts.gpus or facts.other_device:
        return
    driver = environment.nvidia_driver()
    if driver is None:
        yield Finding("GPU", "ok", "none found: models run on the CPU")
    else:
        yield _unused_gpu(driver, facts, environment)


def _unused_gpu(driver: NvidiaDriver, facts: TorchInfo, environment: Environment) -> Finding:
    """The reason why torch uses no GPU although a driver is there; the most likely one first."""
    found = f"NVIDIA driver {driver.version or 'of unknown version'} is here"
    visible = environment.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        detail = f"{found}, and CUDA_VISIBLE_DEVICES={visible!r} hides its GPUs"
        return Finding("GPU", "note", detail, "unset CUDA_VISIBLE_DEVICES")
    if not driver.has_device:
        detail = f"{found}, and this process was given no GPU"
        return Finding("GPU", "note", detail, "docker run --gpus all ..., if this is a container")
    if facts.cuda_version is None:
        detail = f"{found}, and torch {facts.version} is built for {facts.built_for}"
        return Finding("GPU", "problem", detail, _cuda_build(environment.platform))
    oldest = MIN_DRIVER.get(int(facts.cuda_version.partition(".")[0]), 0)
    if driver.major is not None and driver.major < oldest:
        detail = f"{found}, and torch's CUDA {facts.cuda_version} needs {oldest} or newer"
        cure = f"update the driver to {oldest} or newer, or install a torch for an older CUDA"
        return Finding("GPU", "problem", detail, cure)
    detail = f"{found}, and torch finds no GPU: {facts.complaint or 'it does not say why'}"
    return Finding("GPU", "problem", detail, "nvidia-smi, which should list the GPU; then restart")


def _cuda_build(platform: str) -> str:
    if platform.startswith("linux"):
        return REINSTALL_TORCH
    return "install the CUDA build of torch and torchvision, by the command on PyTorch's site"


def _judge_gpu(name: str, gpu: Gpu, facts: TorchInfo) -> Iterator[Finding]:
    described = _describe(gpu)
    if gpu.capability and not facts.has_kernels_for(gpu.capability):
        compiled = ", ".join(facts.architectures)
        detail = f"{described}: torch {facts.version} has no kernels for it, only for {compiled}"
        cure = "install a torch that has: a newer one for a new GPU, an older one for an old GPU"
        yield Finding(name, "problem", detail, cure)
    elif not gpu.has_bf16:
        detail = f"{described}: in fp16 these models overflow and answer '!!!!'"
        yield Finding(name, "note", detail, 'leave dtype="auto", which takes fp32 here')
    elif _is_nearly_full(gpu):
        detail = f"{described}: most of its memory is taken, by this process or another"
        yield Finding(name, "note", detail, "nvidia-smi names the processes that hold it")
    else:
        yield Finding(name, "ok", described)


def _describe(gpu: Gpu) -> str:
    kinds = [kind for kind, has in (("bf16", gpu.has_bf16), ("fp8", gpu.has_fp8)) if has]
    parts = [gpu.name, f"capability {gpu.capability}" if gpu.capability else "", *kinds]
    if gpu.free_bytes is not None and gpu.total_bytes is not None:
        parts.append(f"{as_gigabytes(gpu.free_bytes)} of {as_gigabytes(gpu.total_bytes)} free")
    return ", ".join(part for part in parts if part)


def _is_nearly_full(gpu: Gpu) -> bool:
    if gpu.free_bytes is None or gpu.total_bytes is None:
        return False
    return gpu.free_bytes < _LITTLE_FREE * gpu.total_bytes


def processor(environment: Environment) -> Iterator[Finding]:
    """Check the CPU's cores, and that torch does not start more threads than there are cores."""
    machine = environment.machine()
    cores = f"{machine.num_cores} core{'' if machine.num_cores == 1 else 's'} to use"
    detail = ", ".join([cores, *machine.abilities])
    threads = environment.torch().num_threads
    if threads <= machine.num_cores:
        yield Finding("CPU", "ok", detail)
        return
    detail = f"{detail}; torch starts {threads} threads, which then wait for one another"
    yield Finding("CPU", "note", detail, f"export OMP_NUM_THREADS={machine.num_cores}")


def memory(environment: Environment) -> Iterator[Finding]:
    """Check the free memory."""
    machine = environment.machine()
    detail = f"{as_gigabytes(machine.available_bytes)} of {as_gigabytes(machine.total_bytes)} free"
    if machine.available_bytes >= _LITTLE_MEMORY:
        yield Finding("memory", "ok", detail)
        return
    detail = f"{detail}; loading a checkpoint of 2B parameters takes 4 to 9 GB"
    yield Finding("memory", "note", detail, "close other programs, or load a smaller checkpoint")
