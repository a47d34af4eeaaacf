"""What torch can use on this machine."""

from __future__ import annotations

import torch

from qwenvl_kit.backends.local.placement import Device, Hardware
from qwenvl_kit.machine import find_nvidia_driver, read_machine


def read_hardware() -> Hardware:
    """The devices of this machine and what is free on them."""
    accelerators = _accelerators()
    return Hardware(
        accelerators=accelerators,
        cpu_free_bytes=read_machine().available_bytes,
        unusable_gpu="" if accelerators else _unusable_gpu(),
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


def _accelerators() -> list[Device]:
    if not torch.accelerator.is_available():
        return []
    kind = torch.accelerator.current_accelerator()
    if kind is None:
        return []
    names = [f"{kind.type}:{index}" for index in range(torch.accelerator.device_count())]
    return [Device(name, _free_bytes(torch.device(name))) for name in names]


def _free_bytes(device: torch.device) -> int:
    if device.type in ("cuda", "xpu"):
        return int(getattr(torch, device.type).mem_get_info(device)[0])
    if device.type == "mps":  # it shares the main memory, up to a limit of its own
        free = torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
        return int(min(free, read_machine().available_bytes))
    return read_machine().available_bytes


def _unusable_gpu() -> str:
    driver = find_nvidia_driver()
    if driver is None or not driver.has_device:  # a container sees its host's driver
        return ""
    if torch.version.cuda is None:
        return f"an NVIDIA driver is installed, and torch {torch.__version__} is built without CUDA"
    return (
        f"an NVIDIA driver is installed, and torch {torch.__version__} (CUDA {torch.version.cuda}) "
        "finds no device that it can use"
    )
