"""The memory that a loaded model takes, as torch's allocator and the process count it."""

from __future__ import annotations

from typing import Any

import torch

from qwenvl_kit.backends.base import MemoryUse
from qwenvl_kit.backends.local.cache.prefix_cache import BEGINNINGS, PREFIXES
from qwenvl_kit.backends.local.engine.engine import Engine
from qwenvl_kit.backends.local.engine.vision_encoder import FEATURES
from qwenvl_kit.backends.local.loading.quantization import measure_weight_bytes
from qwenvl_kit.backends.process_memory import process_memory


def measure_memory(model: Any, engine: Engine) -> MemoryUse:
    """Measure the memory of a model and of what its engine keeps.

    Args:
        model: the model of transformers.
        engine: its engine.
    """
    store = engine.store
    return MemoryUse(
        device=str(model.device),
        weight_bytes=measure_weight_bytes(model),
        prompt_bytes=store.count(PREFIXES)[1] + store.count(BEGINNINGS)[1],
        feature_bytes=store.count(FEATURES)[1],
        running_bytes=engine.scheduler.running_bytes,
        buffer_bytes=engine.buffer_bytes,
        **_allocator(model),
    )


def reset_peak(model: Any) -> None:
    """Set the peak of each GPU of a model back to what is taken now."""
    for device in _cuda_devices(model):
        torch.cuda.reset_peak_memory_stats(device)


def _allocator(model: Any) -> dict[str, Any]:
    """The memory that is taken: as torch's allocator says on GPUs, else that of the process."""
    devices = _cuda_devices(model)
    if not devices:
        taken, peak = process_memory()
        return {"taken_bytes": taken, "peak_bytes": peak}
    return {
        "taken_bytes": sum(map(torch.cuda.memory_allocated, devices)),
        "reserved_bytes": sum(map(torch.cuda.memory_reserved, devices)),
        "peak_bytes": sum(map(torch.cuda.max_memory_allocated, devices)),
        "summary": "\n".join(torch.cuda.memory_summary(device) for device in devices),
    }


def _cuda_devices(model: Any) -> list[torch.device]:
    places = {model.device, *(p.device for p in model.parameters())}
    return sorted((place for place in places if place.type == "cuda"), key=str)
