"""The devices of this machine, as torch sees them: memory, dtypes, and reasons why one fails."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import torch

from qwenvl_kit.backends.local.loading.device_map import Device, Hardware
from qwenvl_kit.hardware import find_nvidia_driver, read_available_bytes, read_machine


def read_hardware(device: torch.device | None = None) -> Hardware:
    """The devices that may be chosen, with their free memory.

    Args:
        device: the only device to read, or the only kind; None reads all. Other devices are left
            alone, because reading the memory of a GPU takes some of it, and a busy one may fail.
    """
    if device is not None and device.type == "cpu":
        return Hardware([], read_machine().available_bytes)
    troubles: list[str] = []
    accelerators = list(_accelerators(None if device is None else device.index, troubles))
    return Hardware(
        accelerators=accelerators,
        cpu_free_bytes=read_machine().available_bytes,
        unusable_gpu="" if accelerators else "; ".join(troubles) or _unusable_gpu(),
    )


def supports_bfloat16(device: torch.device) -> bool:
    """True if a device computes in bf16 without emulation."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        one = torch.ones(2, 2, dtype=torch.bfloat16, device=device)
        return bool(torch.isfinite(one @ one).all())
    except (RuntimeError, TypeError):
        return False


def computes_in_fp8() -> bool:
    """True if transformers keeps FP8 weights as they are; otherwise it turns them into bf16.

    The rule is that of its `FineGrainedFP8HfQuantizer.validate_environment`, which looks at the
    current device and not at the device of the model.
    """
    if torch.cuda.is_available():
        return torch.cuda.get_device_capability() >= (8, 9)
    return hasattr(torch, "xpu") and bool(torch.xpu.is_available())


def on_cpu() -> AbstractContextManager[Any]:
    """Return a context in which new tensors are on the processor, whatever the default device is.

    If the processor is the default already, the context does nothing, as it would slow down each
    call of torch.
    """
    is_default = torch.empty(0).device.type == "cpu"  # torch below 2.7 has no function for it
    return nullcontext() if is_default else torch.device("cpu")


def upload(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy a tensor of the processor to a device, without waiting for what the device computes.

    CUDA takes the values before the call returns, so that the tensor may change afterwards. Other
    devices promise no such thing, and are waited for.
    """
    return tensor.to(device, non_blocking=device.type == "cuda")


def empty_device_cache() -> None:
    """Give memory that torch caches back to the device, as far as that is possible."""
    with suppress(Exception):  # a device that failed says so at the next request as well
        if not torch.accelerator.is_available():
            return
        kind = torch.accelerator.current_accelerator()
        module = getattr(torch, kind.type, None) if kind is not None else None
        if module is not None and hasattr(module, "empty_cache"):
            module.empty_cache()


def read_free_bytes(device: torch.device) -> int:
    """The free memory of a device in bytes, with the free memory that torch caches."""
    if device.type == "xpu" and not hasattr(torch.xpu, "mem_get_info"):  # before torch 2.7
        total = torch.xpu.get_device_properties(device).total_memory
        return int(total) - int(torch.xpu.memory_allocated(device))
    if device.type in ("cuda", "xpu"):
        module = getattr(torch, device.type)
        kept = module.memory_reserved(device) - module.memory_allocated(device)
        return int(module.mem_get_info(device)[0]) + int(kept)  # torch gives it out again
    if device.type == "mps":  # it shares the main memory, up to a limit of its own
        free = torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
        return int(min(free, read_available_bytes()))
    return read_available_bytes()


def _accelerators(index: int | None, troubles: list[str]) -> Iterator[Device]:
    """The accelerators that tell their memory; reasons why others do not go into `troubles`."""
    is_there = torch.accelerator.is_available()
    kind = torch.accelerator.current_accelerator() if is_there else None
    if kind is None:
        return
    for number in range(torch.accelerator.device_count()) if index is None else [index]:
        name = f"{kind.type}:{number}"
        try:
            yield Device(name, read_free_bytes(torch.device(name)))
        except RuntimeError as error:
            troubles.append(f"{name} does not answer ({str(error).partition(chr(10))[0]})")


def _unusable_gpu() -> str:
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):  # hidden on purpose
        return ""
    driver = find_nvidia_driver()
    if driver is None or not driver.has_device:  # a container sees its host's driver
        return ""
    if torch.version.cuda is None:
        return f"an NVIDIA driver is installed, and torch {torch.__version__} is built without CUDA"
    return (
        f"an NVIDIA driver is installed, and torch {torch.__version__} (CUDA {torch.version.cuda}) "
        "finds no device that it can use"
    )
