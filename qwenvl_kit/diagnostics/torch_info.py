"""Information from torch: its build, and the devices that it can use."""

from __future__ import annotations

import importlib
import re
import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple


class Capability(NamedTuple):
    """The compute capability of an NVIDIA GPU."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


BF16_SINCE = Capability(8, 0)
FP8_SINCE = Capability(8, 9)


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU that torch can use.

    Attributes:
        name: name of the device.
        capability: compute capability; None for a GPU that is not from NVIDIA.
        free_bytes, total_bytes: its memory; None if it could not be read.
    """

    name: str
    capability: Capability | None = None
    free_bytes: int | None = None
    total_bytes: int | None = None

    @property
    def has_bf16(self) -> bool:
        """True if it multiplies bf16; every AMD GPU that torch supports does."""
        return self.capability is None or self.capability >= BF16_SINCE

    @property
    def has_fp8(self) -> bool:
        """True if it multiplies fp8."""
        return self.capability is not None and self.capability >= FP8_SINCE


@dataclass(frozen=True, kw_only=True)
class TorchInfo:
    """The build of torch and its devices.

    Attributes:
        version: version with the build, such as "2.6.0+cu124".
        cuda_version, hip_version: version that the build needs; None if it was built without it.
        gpus: GPUs of CUDA and ROCm.
        architectures: GPU architectures that its kernels were compiled for, such as "sm_90".
        num_threads: threads that it uses on the CPU.
        other_device: "mps" or "xpu" if it has such a device.
        complaint: its warning when it was asked for GPUs; empty if there was none.
    """

    version: str
    cuda_version: str | None = None
    hip_version: str | None = None
    gpus: tuple[Gpu, ...] = ()
    architectures: tuple[str, ...] = ()
    num_threads: int = 1
    other_device: str | None = None
    complaint: str = ""

    @property
    def built_for(self) -> str:
        """The kind of device that the build is for, in words."""
        if self.hip_version:
            return f"ROCm {self.hip_version}"
        return f"CUDA {self.cuda_version}" if self.cuda_version else "CPU only"

    @property
    def has_cuda_gpu(self) -> bool:
        """True if there is an NVIDIA GPU that it can use."""
        return bool(self.gpus and self.cuda_version)

    def has_kernels_for(self, capability: Capability) -> bool:
        """True if its kernels run on such a GPU, or if it does not tell."""
        compiled = [_Architecture.parse(name) for name in self.architectures]
        known = [architecture for architecture in compiled if architecture]
        return not known or any(architecture.runs_on(capability) for architecture in known)


class _Architecture(NamedTuple):
    """A GPU architecture of compiled kernels: machine code ("sm") or PTX code ("compute")."""

    kind: str
    capability: Capability
    suffix: str

    @classmethod
    def parse(cls, name: str) -> _Architecture | None:
        match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", name)
        if match is None:
            return None
        kind, major, minor, suffix = match.groups()
        return cls(kind, Capability(int(major), int(minor)), suffix)

    def runs_on(self, gpu: Capability) -> bool:
        """True if a GPU can run it, by NVIDIA's rules: machine code fits one major version."""
        if self.suffix == "a":
            return gpu == self.capability
        if self.kind == "compute" and not self.suffix:
            return gpu >= self.capability
        return gpu.major == self.capability.major and gpu.minor >= self.capability.minor


def read_torch() -> TorchInfo:
    """Import torch and read its build and devices. A broken installation may raise anything."""
    torch: Any = importlib.import_module("torch")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        has_gpus = torch.cuda.is_available()
    return TorchInfo(
        version=str(torch.__version__),
        cuda_version=torch.version.cuda,
        hip_version=torch.version.hip,
        gpus=tuple(_read_gpu(torch, i) for i in range(torch.cuda.device_count() * has_gpus)),
        architectures=tuple(torch.cuda.get_arch_list()) if has_gpus else (),
        num_threads=torch.get_num_threads(),
        other_device=_other_device(torch),
        complaint=str(caught[-1].message)[:200] if caught else "",
    )


def _read_gpu(torch: Any, index: int) -> Gpu:
    is_nvidia = torch.version.hip is None
    try:
        free_bytes, total_bytes = torch.cuda.mem_get_info(index)
    except RuntimeError:  # a GPU that another process has for itself, or one that is full
        free_bytes = total_bytes = None
    return Gpu(
        name=torch.cuda.get_device_name(index),
        capability=Capability(*torch.cuda.get_device_capability(index)) if is_nvidia else None,
        free_bytes=free_bytes,
        total_bytes=total_bytes,
    )


def _other_device(torch: Any) -> str | None:
    if torch.backends.mps.is_available():
        return "mps"
    return "xpu" if torch.xpu.is_available() else None
