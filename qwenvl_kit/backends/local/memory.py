"""The facts from which the memory of a request follows: the model's shape, and free memory."""

from __future__ import annotations

from typing import Any

import torch

from qwenvl_kit.backends.local.devices import read_free_bytes
from qwenvl_kit.budget.shapes import (
    ExpertsShape,
    IndexerShape,
    LinearAttentionShape,
    ModelShape,
    TextShape,
    VisionShape,
)

ATTENTION_KINDS = ("full_attention", "indexed_attention", "sliding_attention")
"""Kinds of layers that keep keys and values of every token; others keep a state of fixed size."""

_STEPWISE = ("quick_gelu",)
"""Activations that are computed in steps, which hold a tensor more at once."""

_ONEDNN_ASKS = {
    torch.bfloat16: "_is_mkldnn_bf16_supported",
    torch.float16: "_is_mkldnn_fp16_supported",
}
"""Operators of torch that return True if oneDNN computes in a dtype on this processor."""


def shape_of(model: Any, processor: Any) -> ModelShape:
    """The shape of a loaded model: the numbers from which its working memory follows.

    Args:
        model: the model of transformers.
        processor: its processor.
    """
    return ModelShape(
        vision=_vision_shape(model, processor.image_processor),
        text=_text_shape(model),
        value_bytes=model.dtype.itemsize,
        shares_host_memory=model.device.type in ("cpu", "mps"),
        holds_scores=model.config._attn_implementation == "eager",
        copies_convolved=_copies_convolved(model),
    )


def free_bytes(model: Any) -> int | None:
    """The free memory of the model's device in bytes; None where it is not known.

    For a model on several devices it is that of the device with the least: each computes its own
    layers, and must hold what they need. Layers that are offloaded to a disk or to the main memory
    are computed on another device, so these two do not count.
    """
    devices = _working_devices(model)
    try:
        return min((read_free_bytes(device) for device in devices), default=None)
    except (RuntimeError, NotImplementedError):  # a device that does not answer
        return None


def _working_devices(model: Any) -> list[torch.device]:
    places = set(getattr(model, "hf_device_map", {}).values()) or {model.device}
    devices = {torch.device(place) for place in places if place != "disk"}
    accelerators = [device for device in devices if device.type not in ("cpu", "meta")]
    return accelerators or [device for device in devices if device.type == "cpu"]


def _copies_convolved(model: Any) -> bool:
    """True if a convolution copies its input first, because oneDNN cannot compute it.

    That depends on the processor's instructions (ATen/native/mkldnn/Conv.cpp of torch).
    """
    name = _ONEDNN_ASKS.get(model.dtype)
    if name is None or model.device.type != "cpu":
        return False
    is_supported = getattr(torch.ops.mkldnn, name, None)
    return is_supported is None or not is_supported()


def _vision_shape(model: Any, image_processor: Any) -> VisionShape:
    config, encoder = model.config.vision_config, model.model.visual
    width = getattr(config, "embed_dim", None) or config.hidden_size
    intermediate = getattr(config, "intermediate_size", None)
    is_gated = hasattr(encoder.blocks[0].mlp, "gate_proj")
    return VisionShape(
        width=width,
        intermediate_width=intermediate or int(width * config.mlp_ratio),
        num_heads=config.num_heads,
        patch_values=config.in_channels
        * image_processor.temporal_patch_size
        * image_processor.patch_size**2,
        output_width=getattr(config, "out_hidden_size", None) or config.hidden_size,
        mlp_copies=3 if is_gated or config.hidden_act in _STEPWISE else 2,
        learns_positions=hasattr(encoder, "pos_embed"),
        deepstack_layers=len(getattr(config, "deepstack_visual_indexes", None) or ()),
    )


def _text_shape(model: Any) -> TextShape:
    config = model.config.get_text_config()
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    experts = _experts_shape(config)
    has_dense = experts is None or bool(getattr(config, "mlp_only_layers", None))
    head_width = getattr(config, "head_dim", None)
    head_width = head_width or config.hidden_size // config.num_attention_heads
    rotated = (getattr(config, "rope_parameters", None) or {}).get("partial_rotary_factor", 1.0)
    return TextShape(
        width=config.hidden_size,
        intermediate_width=config.intermediate_size if has_dense else 0,
        num_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads,
        head_width=head_width,
        rotary_width=int(head_width * rotated),
        num_attention_layers=sum(kind in ATTENTION_KINDS for kind in kinds),
        vocabulary=config.vocab_size,
        normalizes_queries=_has_module(model, "q_norm"),
        gates_attention=_gates_attention(model, config),
        num_streams=getattr(config, "hc_count", None) or 1,
        experts=experts,
        linear=_linear_shape(config, kinds.count("linear_attention")),
        indexer=_indexer_shape(config) if "indexed_attention" in kinds else None,
    )


def _experts_shape(config: Any) -> ExpertsShape | None:
    if not getattr(config, "num_experts_per_tok", None):
        return None
    return ExpertsShape(
        per_token=config.num_experts_per_tok,
        intermediate_width=config.moe_intermediate_size,
        shared_width=getattr(config, "shared_expert_intermediate_size", None) or 0,
    )


def _linear_shape(config: Any, num_layers: int) -> LinearAttentionShape | None:
    if not num_layers:
        return None
    return LinearAttentionShape(
        num_layers=num_layers,
        num_key_heads=config.linear_num_key_heads,
        key_width=config.linear_key_head_dim,
        num_value_heads=config.linear_num_value_heads,
        value_width=config.linear_value_head_dim,
        kernel_tokens=config.linear_conv_kernel_dim,
    )


def _indexer_shape(config: Any) -> IndexerShape:
    return IndexerShape(
        key_width=config.indexer_kv_heads * config.indexer_head_dim,
        # whole blocks, and what is left of the last one
        picked_tokens=config.indexer_budget + config.indexer_compress_ratio - 1,
    )


def _attention(model: Any) -> Any:
    """The attention module of the first layer that has one; None if no layer has."""
    layers = model.model.language_model.layers
    return next((layer.self_attn for layer in layers if hasattr(layer, "self_attn")), None)


def _has_module(model: Any, name: str) -> bool:
    return hasattr(_attention(model), name)


def _gates_attention(model: Any, config: Any) -> bool:
    """True if the projection of the queries also gives a gate, and so is twice as wide.

    It reads the size from the layer, because the rows of quantised weights are packed.
    """
    projection = getattr(_attention(model), "q_proj", None)
    head_width = getattr(config, "head_dim", None) or 0
    rows = getattr(projection, "out_features", 0)
    return bool(head_width) and rows == 2 * config.num_attention_heads * head_width
