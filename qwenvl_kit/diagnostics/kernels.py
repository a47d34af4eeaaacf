"""Checks of the optional kernels: attention, linear attention, quantisation."""

from __future__ import annotations

import re
from collections.abc import Iterator

from qwenvl_kit.diagnostics.environment import Environment, reason_of
from qwenvl_kit.diagnostics.findings import Finding
from qwenvl_kit.diagnostics.torch_info import BF16_SINCE, TorchInfo

_LINEAR = (
    ("flash-linear-attention", "fla.ops.gated_delta_rule"),
    ("causal-conv1d", "causal_conv1d"),
)


def attention(environment: Environment) -> Iterator[Finding]:
    """Check flash-attn, which is compiled for one version of torch and breaks with another."""
    version = environment.versions("flash-attn")
    facts = environment.torch()
    if version is None:
        yield Finding("attention", "ok", "sdpa of torch; flash-attn is not installed")
    elif not facts.has_cuda_gpu:
        yield Finding("attention", "ok", f"sdpa of torch; flash-attn {version} needs a GPU")
    elif all(gpu.capability and gpu.capability < BF16_SINCE for gpu in facts.gpus):
        yield Finding("attention", "ok", f"sdpa of torch; flash-attn {version} needs a newer GPU")
    else:
        yield _judge_flash(environment, version, facts)


def _judge_flash(environment: Environment, version: str, facts: TorchInfo) -> Finding:
    try:
        environment.load("flash_attn")
    except Exception as error:
        detail = f"flash-attn {version} does not fit torch {facts.version} ({reason_of(error)})"
        cure = "pip uninstall flash-attn, or pip install --no-build-isolation --no-cache-dir "
        return Finding(
            "attention", "problem", detail, f"{cure}--force-reinstall --no-deps flash-attn"
        )
    return Finding("attention", "ok", f"flash-attn {version}")


def linear_attention(environment: Environment) -> Iterator[Finding]:
    """Check the packages that make Qwen3.5 fast on a GPU; without them it runs slow Python code."""
    if not environment.torch().has_cuda_gpu:
        return
    for package, module in _LINEAR:
        version = environment.versions(package)
        flag = " --no-build-isolation" if package == "causal-conv1d" else ""
        cure = f"pip install{flag} {package}"
        if version is None:
            detail = "it is not installed; without it Qwen3.5 runs, but slowly"
            yield Finding(package, "note", detail, cure)
            continue
        try:
            environment.load(module)
        except Exception as error:
            detail = (
                f"{version} cannot be imported ({reason_of(error)}); Qwen3.5 runs slowly without it"
            )
            yield Finding(package, "problem", detail, f"{cure} --force-reinstall --no-deps")
            continue
        yield Finding(package, "ok", version)


def compiler(environment: Environment) -> Iterator[Finding]:
    """Check for a C compiler: Triton compiles a small C program for each kernel on first use."""
    needs_it = environment.versions("flash-linear-attention") or environment.versions("vllm")
    if not (needs_it and environment.torch().has_cuda_gpu):
        return
    names = (environment.environ.get("CC", ""), "cc", "gcc", "clang")
    if not any(name and environment.which(name) for name in names):
        detail = "there is none, and Triton's kernels fail: Failed to find C compiler"
        yield Finding(
            "C compiler", "problem", detail, "apt-get install gcc, or what your system has"
        )


def bitsandbytes(environment: Environment) -> Iterator[Finding]:
    """Check that bitsandbytes has a library for torch's device.

    Its files are listed and not imported, because the import may fetch a kernel from the hub.
    """
    version = environment.versions("bitsandbytes")
    if version is None:
        return
    facts = environment.torch()
    libraries = [name for name in environment.files("bitsandbytes") if name.startswith("libbits")]
    wanted = _library(facts)
    if any(re.match(rf"libbitsandbytes_{wanted}", name) for name in libraries):
        yield Finding("bitsandbytes", "ok", f"{version}, with a library for {_device(facts)}")
        return
    has = ", ".join(libraries) or "none"
    detail = (
        f"{version} has no library for {_device(facts)}, and cannot quantise there; it has {has}"
    )
    yield Finding("bitsandbytes", "problem", detail, "pip install --upgrade bitsandbytes")


def _library(facts: TorchInfo) -> str:
    """The pattern of the library's name: bitsandbytes accepts any of the same major version."""
    if facts.has_cuda_gpu:
        return f"cuda{_major(facts.cuda_version)}"
    if facts.gpus and facts.hip_version:
        return f"rocm{_major(facts.hip_version)}"
    return "xpu" if facts.other_device == "xpu" else "cpu"


def _device(facts: TorchInfo) -> str:
    if facts.gpus:
        return facts.built_for
    return "xpu" if facts.other_device == "xpu" else "the CPU"


def _major(version: str | None) -> str:
    return (version or "").partition(".")[0]
