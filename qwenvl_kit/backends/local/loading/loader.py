"""The loader: a checkpoint's name or folder becomes a backend that answers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import torch

from qwenvl_kit.backends.admission import check_max_queued_requests
from qwenvl_kit.backends.local.backend import LocalBackend
from qwenvl_kit.backends.local.cache.store import check_cache_bytes, choose_cache_bytes
from qwenvl_kit.backends.local.engine.logits_processors import check_rules
from qwenvl_kit.backends.local.engine_backend import LoadedModel
from qwenvl_kit.backends.local.error_mapping import translated_load_errors
from qwenvl_kit.backends.local.loading.compilation import Compilation, compile_layers
from qwenvl_kit.backends.local.loading.cuda_graphs import CudaGraphs, check_cuda_graphs
from qwenvl_kit.backends.local.loading.load_plan import LoadPlan
from qwenvl_kit.backends.local.loading.network import load_network
from qwenvl_kit.backends.local.loading.quantization import (
    Quantization,
    measure_weight_bytes,
)
from qwenvl_kit.backends.local.loading.trial import check_cached_step
from qwenvl_kit.backends.local.lora.adapters import check_adapter
from qwenvl_kit.backends.local.memory import shape_of
from qwenvl_kit.checkpoints.download import Checkpoint
from qwenvl_kit.checkpoints.settings import Settings, read_settings
from qwenvl_kit.checkpoints.sources import Source, find_checkpoint
from qwenvl_kit.options import MAX_QUEUED_REQUESTS, describe_sampling
from qwenvl_kit.processing.processor_config import (
    blaming_settings,
    published_of,
)


@translated_load_errors()
def load_backend(
    model: str | os.PathLike[str] | Checkpoint,
    *,
    source: Source = "huggingface",
    revision: str | None = None,
    offline: bool = False,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "auto",
    quantization: Quantization | None = None,
    attention: str = "auto",
    compile: bool | Literal["auto"] = "auto",  # noqa: A002  # torch's own word
    cuda_graphs: bool | Literal["auto"] = "auto",
    adapter: str | os.PathLike[str] | None = None,
    max_cache_bytes: int | None = None,
    max_queued_requests: int = MAX_QUEUED_REQUESTS,
) -> LocalBackend:
    """Load a checkpoint; the arguments and errors are those of `VisionChat.from_pretrained`.

    A `Checkpoint` is one that `find_checkpoint` has found; source and revision are its own.
    """
    if isinstance(model, Checkpoint):
        checkpoint = model
    else:
        checkpoint = find_checkpoint(model, source=source, revision=revision, offline=offline)
    check_cache_bytes(max_cache_bytes)
    check_max_queued_requests(max_queued_requests)
    compilation = Compilation.choose(compile)
    check_cuda_graphs(cuda_graphs)
    if adapter is not None:
        check_adapter(adapter)
    network = load_network(
        checkpoint,
        read_settings(checkpoint.folder),
        dtype=dtype,
        device=device,
        quantization=quantization,
        attention=attention,
        offline=offline,
        adapter=adapter,
    )
    torch_model = network.model
    _freeze(torch_model)
    check_cached_step(torch_model, is_exact=_is_exact(torch_model, network.load_plan))
    graphs = CudaGraphs.choose(cuda_graphs, torch_model)
    if compilation.is_on:
        compile_layers(torch_model)
    facts = {
        **network.facts,
        "compile": compilation.describe(),
        "cuda_graphs": graphs.describe(),
    }
    loaded = assemble(checkpoint, network.settings, torch_model, network.processor, facts)
    cache_bytes = choose_cache_bytes(torch_model, max_cache_bytes)
    backend = LocalBackend(loaded, cache_bytes, max_queued_requests, has_static_decode=graphs.is_on)
    if adapter is not None:
        backend.adapters.load(adapter)
    return backend


def _is_exact(model: Any, load_plan: LoadPlan) -> bool:
    """True if a model computes in fp32, on weights that are not quantised."""
    return model.dtype == torch.float32 and not load_plan.is_quantized


def _freeze(model: Any) -> None:
    """Turn gradients off: nothing is trained here, and they take as much memory as the weights."""
    model.eval()
    model.requires_grad_(False)


def assemble(
    checkpoint: Checkpoint,
    settings: Settings,
    model: Any,
    processor: Any,
    facts: Mapping[str, str],
) -> LoadedModel:
    """Assemble a loaded checkpoint in the form that the backend takes.

    Args:
        checkpoint: the place of its files.
        settings: its config.json.
        model: the model of transformers.
        processor: its processor.
        facts: sentences about how it was loaded, for the report.

    Raises:
        CheckpointError: its files do not fit together, or a setting cannot be used.
    """
    rest = published_of(checkpoint, settings, processor, model.config, model.generation_config)
    num_ids = int(model.config.get_text_config().vocab_size)
    check_rules(checkpoint.name, rest.generation.entries, num_ids, rest.end_ids)
    with blaming_settings(checkpoint.name):
        weight_bytes, shape = measure_weight_bytes(model), shape_of(model, processor)
    return LoadedModel(
        model=model,
        processor=processor,
        rules=replace(rest.rules, weight_bytes=weight_bytes, shape=shape),
        sampling=rest.sampling,
        end_ids=rest.end_ids,
        facts={
            **facts,
            "sampling": rest.generation.search or describe_sampling(rest.sampling),
            **rest.generation.facts(),
        },
        generation=rest.generation,
        resizer=rest.resizer,
        identity=rest.identity,
        folder=checkpoint.folder,
    )
