"""The mapping from vLLM's errors to the kit's."""

from __future__ import annotations

import re

from qwenvl_kit.errors import (
    ContextLengthError,
    GenerationError,
    ModelLoadError,
    OutOfMemoryError,
    PlacementError,
    QwenVLKitError,
    SchemaError,
    UnsupportedFeatureError,
)

_TOO_LONG = re.compile(r"(?i)max_?(?:imum )?(?:model_?len|context)|longer than the max")
_TOO_MANY = re.compile(r"(?i)at most \d+ \w+\(s\) may be provided|limit[_-]mm[_-]per[_-]prompt")
_GRAMMAR = re.compile(r"(?i)grammar|structured|xgrammar|json schema|regex")
_MEMORY = re.compile(r"(?i)out of memory|No available memory|not enough .*memory|KV cache")
_NO_DEVICE = re.compile(r"(?i)infer device|no cuda|libcuda|nvml|cuda driver|no gpu")


def translated(error: Exception) -> QwenVLKitError:
    """Translate the error of a request, and attach it as the cause."""
    if isinstance(error, QwenVLKitError):
        return error
    said = " ".join(str(error).split())[:300]
    found: QwenVLKitError = GenerationError(f"vLLM failed ({type(error).__name__}: {said})")
    if _TOO_MANY.search(said):
        found = UnsupportedFeatureError(
            f"vLLM was started with a lower limit for pictures or videos ({said})",
            hint="from_vllm(limit_mm_per_prompt={'image': 8, 'video': 2})",
        )
    elif _TOO_LONG.search(said):
        found = ContextLengthError(
            f"the prompt is longer than vLLM's context ({said})",
            hint="a smaller budget, fewer pictures, or from_vllm(max_model_len=...)",
        )
    elif _GRAMMAR.search(said):
        found = SchemaError(f"vLLM cannot enforce this constraint ({said})")
    elif _MEMORY.search(said):
        found = OutOfMemoryError(f"vLLM ran out of memory ({said})")
    found.__cause__ = error
    return found


def translated_load(error: Exception, name: str) -> ModelLoadError:
    """Translate an error that vLLM raised while it loaded a model, and attach it as the cause."""
    if isinstance(error, ModelLoadError):
        return error
    said = " ".join(str(error).split())[:300]
    found = ModelLoadError(
        f"vLLM cannot load {name} ({type(error).__name__}: {said})",
        hint="what vLLM wrote to its log before this, and the arguments that were passed to it",
    )
    if _NO_DEVICE.search(said):
        found = PlacementError(
            f"vLLM finds no device that it can run on ({said})",
            expected="a CUDA device, or vLLM's build for processors",
            hint="VisionChat.from_pretrained, which runs anywhere",
        )
    elif _MEMORY.search(said):
        found = PlacementError(
            f"vLLM finds too little memory for {name} ({said})",
            hint="from_vllm(gpu_memory_utilization=..., max_model_len=..., quantization=...)",
        )
    found.__cause__ = error
    return found
