"""Hardware of this machine, read from the system: cores, memory, CPU features, NVIDIA driver.

Nothing here imports torch.
"""

from __future__ import annotations

import ctypes
import importlib
import math
import os
import re
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CGROUP = Path("/sys/fs/cgroup")
_DRIVER_FILE = Path("/proc/driver/nvidia/version")
_DEVICE_FILE = Path("/dev/nvidiactl")

FAST_TYPES = ("avx512_bf16", "amx_bf16", "amx_int8", "bf16", "i8mm")
"""CPU features that speed up 16-bit and 8-bit types of models, by their names in Linux."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The machine, or the part of it that a container may use.

    Attributes:
        num_cores: CPU cores that this process may use.
        available_bytes: free memory.
        total_bytes: all memory.
        abilities: the CPU features of `FAST_TYPES` that it has.
    """

    num_cores: int
    available_bytes: int
    total_bytes: int
    abilities: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NvidiaDriver:
    """An NVIDIA driver.

    Attributes:
        version: such as "580.82.07"; empty if it could not be read.
        has_device: True if this process can reach a GPU; a container sees the driver of its host
            even if it was given no GPU.
    """

    version: str
    has_device: bool = True

    @property
    def major(self) -> int | None:
        """The major version of the driver; None if it could not be read."""
        return int(self.version.partition(".")[0]) if self.version else None


def as_gigabytes(num_bytes: float) -> str:
    """Format a size in gigabytes of 10**9 bytes, such as "4.2 GB"; below 0.1 GB in megabytes."""
    if num_bytes < 1e8:
        return f"{num_bytes / 1e6:.1f} MB"
    return f"{num_bytes / 1e9:.1f} GB"


def read_machine() -> Machine:
    """Read the cores, memory and CPU features that this process may use."""
    available_bytes, total_bytes = _memory_bytes()
    return Machine(
        num_cores=count_cores(),
        available_bytes=available_bytes,
        total_bytes=total_bytes,
        abilities=_abilities(),
    )


def read_available_bytes() -> int:
    """Read the free memory alone: `read_machine` reads more and takes longer."""
    return _memory_bytes()[0]


def release_free_memory() -> None:
    """Give freed memory back to the system; the allocator of C would keep it."""
    with suppress(OSError, AttributeError, TypeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


def find_nvidia_driver() -> NvidiaDriver | None:
    """Find the NVIDIA driver: from the kernel, or from nvidia-smi on Windows and WSL."""
    if _DRIVER_FILE.is_file():
        version = _version_in(_DRIVER_FILE.read_text())
        return NvidiaDriver(version=version, has_device=_DEVICE_FILE.exists())
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:  # it hangs where a GPU has died
        return NvidiaDriver(version="")
    except OSError:
        return None
    # The program is also in images that are run without a driver; it fails there.
    return NvidiaDriver(version=_version_in(answer.stdout)) if answer.returncode == 0 else None


def _version_in(text: str) -> str:
    match = re.search(r"\b\d{3,}\.\d+(\.\d+)?\b", text)
    return match.group() if match else ""


def count_cores() -> int:
    """Count the cores that this process may use; the quota of a container is rounded up."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = min(cores, len(os.sched_getaffinity(0)))
    return max(1, min(cores, _quota_cores()))


def _quota_cores() -> int:
    """The quota of a container in cores, rounded up; all cores if there is no quota."""
    quota, _, period = _read(_CGROUP / "cpu.max").partition(" ")
    if not quota:
        quota = _read(_CGROUP / "cpu" / "cpu.cfs_quota_us")
        period = _read(_CGROUP / "cpu" / "cpu.cfs_period_us")
    if not (quota.isdigit() and period.isdigit() and int(period)):
        return os.cpu_count() or 1
    return math.ceil(int(quota) / int(period))


def _memory_bytes() -> tuple[int, int]:
    """Free memory and all memory, within the limit of a container."""
    psutil: Any = importlib.import_module("psutil")  # accelerate needs it
    memory = psutil.virtual_memory()
    limit, used = _memory_limit_bytes()
    return min(memory.available, max(0, limit - used)), min(memory.total, limit)


def _memory_limit_bytes() -> tuple[int, int]:
    """The memory limit of a container and the part in use; 2**63 and 0 if there is no limit."""
    for limit, usage in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        limit_text, usage_text = _read(_CGROUP / limit), _read(_CGROUP / usage)
        if limit_text.isdigit() and usage_text.isdigit():
            return int(limit_text), max(0, int(usage_text) - _reclaimable_bytes(_CGROUP / usage))
    return 2**63, 0


def _reclaimable_bytes(usage: Path) -> int:
    """Cached files, which count as memory in use and are dropped when memory is needed."""
    text = _read(usage.with_name("memory.stat"))
    match = re.search(r"^(?:total_)?inactive_file (\d+)$", text, re.MULTILINE)
    return int(match.group(1)) if match else 0


def _abilities() -> tuple[str, ...]:
    text = _read(Path("/proc/cpuinfo"))
    match = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    flags = set(match.group(1).split()) if match else set()
    return tuple(name for name in FAST_TYPES if name in flags)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
