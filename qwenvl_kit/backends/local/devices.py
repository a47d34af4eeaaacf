"""What torch can use on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import torch

from qwenvl_kit.backends.local.loading.device_map import Device, Hardware
from qwenvl_kit.hardware import find_nvidia_driver, read_available_bytes, read_machine


def read_hardware(device: torch.device | None = None) -> Hardware:
    """The devices that may be chosen and what is free on them.

    Args:
        device: only this one, or only those of its kind; None for all. What is not asked about is
            left alone: to ask a GPU for its memory takes some of it, and a busy one may fail.
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
    """Whether a device computes in bf16 itself."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        one = torch.ones(2, 2, dtype=torch.bfloat16, device=device)
        return bool(torch.isfinite(one @ one).all())
    except (RuntimeError, TypeError):
        return False


def computes_in_fp8() -> bool:
    """Whether transformers keeps FP8 weights as they are; elsewhere it turns them into bf16.

    The rule is that of its `FineGrainedFP8HfQuantizer.validate_environment`, which looks at the
    current device and not at the one that a model goes to.
    """
    if torch.cuda.is_available():
        return torch.cuda.get_device_capability() >= (8, 9)
    return hasattr(torch, "xpu") and bool(torch.xpu.is_available())


def on_cpu() -> AbstractContextManager[Any]:
    """Within it tensors are made on the processor, whatever torch's default device is.

    Where that is the default already there is nothing to do: torch would look at each of its calls.
    """
    is_default = torch.empty(0).device.type == "cpu"  # which torch below 2.7 does not tell else
    return nullcontext() if is_default else torch.device("cpu")


def empty_device_cache() -> None:
    """Give memory that torch holds for later back to the device, if it can be had."""
    with suppress(Exception):  # a device that failed says so at the next request as well
        if not torch.accelerator.is_available():
            return
        kind = torch.accelerator.current_accelerator()
        module = getattr(torch, kind.type, None) if kind is not None else None
        if module is not None and hasattr(module, "empty_cache"):
            module.empty_cache()


def read_free_bytes(device: torch.device) -> int:
    """Memory that a device could still give, with what torch keeps of it for later."""
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
    """Those that can be asked for their memory; why others cannot, such as busy ones, is noted."""
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
