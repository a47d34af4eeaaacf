"""Checks of the optional kernels: attention, linear attention, quantisation."""

from __future__ import annotations

import re
from collections.abc import Iterator

from qwenvl_kit.diagnostics.environment import Surroundings, reason_of
from qwenvl_kit.diagnostics.findings import Finding
from qwenvl_kit.diagnostics.torch_info import BF16_SINCE, TorchFacts

_LINEAR = (
    ("flash-linear-attention", "fla.ops.gated_delta_rule"),
    ("causal-conv1d", "causal_conv1d"),
)


def attention(surroundings: Surroundings) -> Iterator[Finding]:
    """flash-attn, which is compiled against one version of torch and breaks with another."""
    version = surroundings.versions("flash-attn")
    facts = surroundings.torch()
    if version is None:
        yield Finding("attention", "ok", "sdpa of torch; flash-attn is not installed")
    elif not facts.has_cuda_gpu:
        yield Finding("attention", "ok", f"sdpa of torch; flash-attn {version} needs a GPU")
    elif all(gpu.capability and gpu.capability < BF16_SINCE for gpu in facts.gpus):
        yield Finding("attention", "ok", f"sdpa of torch; flash-attn {version} needs a newer GPU")
    else:
        yield _judge_flash(surroundings, version, facts)


def _judge_flash(surroundings: Surroundings, version: str, facts: TorchFacts) -> Finding:
    try:
        surroundings.load("flash_attn")
    except Exception as error:
        detail = f"flash-attn {version} does not fit torch {facts.version} ({reason_of(error)})"
        cure = "pip uninstall flash-attn, or pip install --no-build-isolation --no-cache-dir "
        return Finding(
            "attention", "problem", detail, f"{cure}--force-reinstall --no-deps flash-attn"
        )
    return Finding("attention", "ok", f"flash-attn {version}")


def linear_attention(surroundings: Surroundings) -> Iterator[Finding]:
    """What Qwen3.5 is fast with on a GPU; without, transformers computes the same in Python."""
    if not surroundings.torch().has_cuda_gpu:
        return
    for package, module in _LINEAR:
        version = surroundings.versions(package)
        flag = " --no-build-isolation" if package == "causal-conv1d" else ""
        cure = f"pip install{flag} {package}"
        if version is None:
            detail = "it is not installed; without it Qwen3.5 runs, but slowly"
            yield Finding(package, "note", detail, cure)
            continue
        try:
            surroundings.load(module)
        except Exception as error:
            detail = (
                f"{version} cannot be imported ({reason_of(error)}); Qwen3.5 runs slowly without it"
            )
            yield Finding(package, "problem", detail, f"{cure} --force-reinstall --no-deps")
            continue
        yield Finding(package, "ok", version)


def compiler(surroundings: Surroundings) -> Iterator[Finding]:
    """Triton compiles a small C program for each of its kernels, on first use."""
    needs_it = surroundings.versions("flash-linear-attention") or surroundings.versions("vllm")
    if not (needs_it and surroundings.torch().has_cuda_gpu):
        return
    names = (surroundings.environ.get("CC", ""), "cc", "gcc", "clang")
    if not any(name and surroundings.which(name) for name in names):
        detail = "there is none, and Triton's kernels fail: Failed to find C compiler"
        yield Finding(
            "C compiler", "problem", detail, "apt-get install gcc, or what your system has"
        )


def bitsandbytes(surroundings: Surroundings) -> Iterator[Finding]:
    """Whether bitsandbytes brings a library for torch's device.

    Its files are listed and not imported: the import may fetch a kernel from the hub.
    """
    version = surroundings.versions("bitsandbytes")
    if version is None:
        return
    facts = surroundings.torch()
    libraries = [name for name in surroundings.files("bitsandbytes") if name.startswith("libbits")]
    wanted = _library(facts)
    if any(re.match(rf"libbitsandbytes_{wanted}", name) for name in libraries):
        yield Finding("bitsandbytes", "ok", f"{version}, with a library for {_device(facts)}")
        return
    has = ", ".join(libraries) or "none"
    detail = (
        f"{version} has no library for {_device(facts)}, and cannot quantise there; it has {has}"
    )
    yield Finding("bitsandbytes", "problem", detail, "pip install --upgrade bitsandbytes")


def _library(facts: TorchFacts) -> str:
    """A pattern for its name: bitsandbytes takes any of the same major version."""
    if facts.has_cuda_gpu:
        return f"cuda{_major(facts.cuda_version)}"
    if facts.gpus and facts.hip_version:
        return f"rocm{_major(facts.hip_version)}"
    return "xpu" if facts.other_device == "xpu" else "cpu"


def _device(facts: TorchFacts) -> str:
    if facts.gpus:
        return facts.built_for
    return "xpu" if facts.other_device == "xpu" else "the CPU"


def _major(version: str | None) -> str:
    return (version or "").partition(".")[0]
