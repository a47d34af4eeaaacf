"""Machines that are not there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from qwenvl_kit.diagnostics.environment import Environment, Hub
from qwenvl_kit.diagnostics.findings import Finding
from qwenvl_kit.diagnostics.runner import CHECKS, run_checks
from qwenvl_kit.diagnostics.torch_info import Capability, Gpu, TorchInfo
from qwenvl_kit.hardware import Machine

GIB = 2**30

VERSIONS = {
    "qwenvl-kit": "0.1.0",
    "torch": "2.12.0",
    "torchvision": "0.27.0",
    "transformers": "5.19.0",
    "huggingface-hub": "2.0.0",
    "numpy": "2.4.0",
    "pillow": "13.0.0",
    "av": "18.0.0",
}
REQUIREMENTS = {
    "qwenvl-kit": (
        "torch>=2.6",
        "torchvision>=0.21",
        "transformers>=5.18",
        "huggingface-hub>=1.31",
        "pillow>=12.0",
        'vllm>=0.30; extra == "vllm"',
    ),
    "torchvision": ("torch==2.12.0", "numpy"),
    "transformers": ("huggingface-hub<3.0,>=1.31", 'kernels<0.19,>=0.18.2; extra == "kernels"'),
}
H100 = Gpu(name="H100", capability=Capability(9, 0), free_bytes=78 * GIB, total_bytes=80 * GIB)
ARCHITECTURES = ("sm_75", "sm_80", "sm_90", "sm_120")
CPU_ONLY = TorchInfo(version="2.12.0+cpu", num_threads=4)
FOR_CUDA = TorchInfo(version="2.12.0+cu130", cuda_version="13.0", num_threads=4)


def with_gpu(gpu: Gpu = H100) -> TorchInfo:
    return TorchInfo(
        version="2.12.0+cu130",
        cuda_version="13.0",
        gpus=(gpu,),
        architectures=ARCHITECTURES,
        num_threads=4,
    )


def modules(**broken: Exception) -> Any:
    """Imports that succeed with a sound module, but for those that raise."""
    sound = {
        "torch": SimpleNamespace(
            ops=SimpleNamespace(torchvision=SimpleNamespace(nms=lambda: None))
        ),
        "PIL.features": SimpleNamespace(check=lambda feature: True),
        "av.codec": SimpleNamespace(codecs_available={"h264", "hevc", "vp9", "libdav1d"}),
    }

    def load(name: str) -> Any:
        if name.partition(".")[0] in broken:
            raise broken[name.partition(".")[0]]
        return sound.get(name, SimpleNamespace())

    return load


def pretend(
    *,
    versions: Mapping[str, str | None] | None = None,
    requirements: Mapping[str, tuple[str, ...]] | None = None,
    torch: TorchInfo | Exception = CPU_ONLY,
    machine: Machine | None = None,
    **looks: Any,
) -> Environment:
    """A sound Linux machine without a GPU, but for what is given."""
    installed = {**VERSIONS, **(versions or {})}
    needed = {**REQUIREMENTS, **(requirements or {})}
    found = machine or Machine(num_cores=4, available_bytes=30 * GIB, total_bytes=32 * GIB)
    sound: dict[str, Any] = {
        "versions": installed.get,
        "requirements": lambda name: needed.get(name, ()) if installed.get(name) else (),
        "files": lambda name: (),
        "compiled": lambda name: True,
        "load": modules(),
        "torch": lambda: _give(torch),
        "machine": lambda: found,
        "nvidia_driver": lambda: None,
        "hub": lambda: Hub(cache=Path("/cache/hub"), token_file=Path("/no/such/token")),
        "free_bytes_at": lambda folder: 100 * GIB,
        "is_writable": lambda folder: True,
        "which": lambda name: f"/usr/bin/{name}",
        "environ": {},
        "platform": "linux",
    }
    return Environment(**{**sound, **looks})


def _give(outcome: TorchInfo | Exception) -> TorchInfo:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def findings(environment: Environment, name: str = "") -> list[Finding]:
    """What all checks find, of that name."""
    found = run_checks(environment, CHECKS).findings
    return [finding for finding in found if name in ("", finding.name)]


def finding(environment: Environment, name: str) -> Finding:
    """The one finding of that name."""
    (only,) = findings(environment, name)
    return only


def names(found: Iterable[Finding]) -> set[str]:
    return {each.name for each in found}
