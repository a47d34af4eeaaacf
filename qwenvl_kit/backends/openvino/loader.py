"""The loader of exported models: a folder becomes a backend that answers."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
import transformers

from qwenvl_kit.backends.admission import check_max_queued_requests
from qwenvl_kit.backends.local.cache.store import check_cache_bytes, choose_cache_bytes
from qwenvl_kit.backends.local.engine.logits_processors import check_rules
from qwenvl_kit.backends.local.engine_backend import LoadedModel
from qwenvl_kit.backends.local.loading.validation import check_versions
from qwenvl_kit.backends.local.memory import shape_of
from qwenvl_kit.backends.openvino.backend import OpenVinoBackend
from qwenvl_kit.backends.openvino.error_mapping import naming_properties, translated_load_errors
from qwenvl_kit.backends.openvino.folder import VISION_EMBEDDINGS, Export
from qwenvl_kit.backends.openvino.graph import CompiledParts, check_fits, compile_parts
from qwenvl_kit.backends.openvino.network import OpenVinoNetwork, build_skeleton
from qwenvl_kit.backends.openvino.properties import (
    Precision,
    choose_precision,
    compile_properties,
    describe_properties,
)
from qwenvl_kit.options import MAX_QUEUED_REQUESTS, describe_sampling
from qwenvl_kit.processing.processor_config import Published, blaming_settings, load_published

_MASK_BYTES = 5
"""Bytes for each pair of patches of a picture where the encoder attends in windows: the mask in
fp32, and the comparison that it is made of."""


_CONFIG_LOGGERS = ("transformers.configuration_utils", "transformers.modeling_rope_utils")


@translated_load_errors()
def load_export(
    export: Export,
    *,
    dtype: str | torch.dtype = "auto",
    properties: Mapping[str, Any] | None = None,
    max_cache_bytes: int | None = None,
    max_queued_requests: int = MAX_QUEUED_REQUESTS,
) -> OpenVinoBackend:
    """Load an exported model; the arguments and errors are those of `VisionChat.from_openvino`."""
    import openvino

    check_cache_bytes(max_cache_bytes)
    check_max_queued_requests(max_queued_requests)
    check_versions(export.settings)
    core = openvino.Core()
    precision = choose_precision(core, dtype, export.parts[VISION_EMBEDDINGS])
    given = compile_properties(core, precision, torch.get_num_threads(), properties)
    with naming_properties(properties):
        parts = compile_parts(core, export.parts, given)
    with _quiet_rope():
        published = load_published(export.checkpoint, export.settings)
        network = _network(export, parts, precision)
    facts = {
        **_facts(export, parts, precision, openvino.__version__),
        **_compiled_facts(parts),
        "properties": describe_properties(properties),
    }
    loaded = _assemble(export, network, published, facts)
    backend = OpenVinoBackend(
        loaded,
        is_exact=precision.dtype == "float32" and parts.quantization == "none",
        max_cache_bytes=choose_cache_bytes(network, max_cache_bytes),
        max_queued_requests=max_queued_requests,
    )
    with naming_properties(properties):
        backend.check_cache()
    return backend


def _network(export: Export, parts: CompiledParts, precision: Precision) -> OpenVinoNetwork:
    folder = export.checkpoint.folder
    with blaming_settings(export.checkpoint.name):
        config = transformers.AutoConfig.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
        skeleton = build_skeleton(config, export.settings.family)
    check_fits(parts, config, export.checkpoint.name)
    return OpenVinoNetwork(parts, skeleton, getattr(torch, precision.dtype))


def _assemble(
    export: Export, network: OpenVinoNetwork, published: Published, facts: Mapping[str, str]
) -> LoadedModel:
    name, processor = export.checkpoint.name, published.processor
    num_ids = int(network.config.get_text_config().vocab_size)
    check_rules(name, published.generation.entries, num_ids, published.end_ids)
    with blaming_settings(name):
        shape = shape_of(network, processor)
    if network.has_windows:
        shape = replace(shape, vision=replace(shape.vision, mask_bytes=_MASK_BYTES))
    return LoadedModel(
        model=network,
        processor=processor,
        rules=replace(published.rules, weight_bytes=export.weight_bytes, shape=shape),
        sampling=published.sampling,
        end_ids=published.end_ids,
        facts={
            **facts,
            "sampling": published.generation.search or describe_sampling(published.sampling),
            **published.generation.facts(),
        },
        generation=published.generation,
        resizer=published.resizer,
        identity=published.identity,
        folder=export.checkpoint.folder,
    )


def _facts(
    export: Export, parts: CompiledParts, precision: Precision, version: str
) -> dict[str, str]:
    quantized = parts.quantization
    return {
        "model": export.checkpoint.name,
        "source": "folder",
        "revision": "local",
        "family": export.settings.family.model_type,
        "engine": f"openvino {version}",
        "device": "cpu",
        "dtype": precision.dtype,
        "dtype_reason": precision.reason,
        "quantization": "none" if quantized == "none" else f"{quantized} (as exported)",
        "adapter": "none",
    }


def _compiled_facts(parts: CompiledParts) -> dict[str, str]:
    """Properties of the compiled language model, as OpenVINO tells them."""
    ask, facts = parts.language.get_property, {"activations": "as dtype"}
    group = int(ask("DYNAMIC_QUANTIZATION_GROUP_SIZE"))
    if group and parts.quantization != "none":
        facts["activations"] = f"8-bit in groups of {group} (DYNAMIC_QUANTIZATION_GROUP_SIZE)"
    return {
        **facts,
        "kv_cache": ask("KV_CACHE_PRECISION").to_string(),
        "threads": str(ask("INFERENCE_NUM_THREADS")),
    }


@contextmanager
def _quiet_rope() -> Iterator[None]:
    """Hide the warnings of transformers about `rope_scaling` as an older one wrote it.

    The rotation is part of the exported graph, so the settings are not read here at all.
    """
    loggers = [logging.getLogger(name) for name in _CONFIG_LOGGERS]
    for logger in loggers:
        logger.addFilter(_is_not_about_rope)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(_is_not_about_rope)


def _is_not_about_rope(record: logging.LogRecord) -> bool:
    return "rope_" not in record.getMessage()
