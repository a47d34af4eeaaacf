"""Configurations of tiny models: the architecture of each family at a small size.

Proportions follow the published checkpoints: the split of a rotary head into time, height and
width, the share of layers with full attention, and the routing of a mixture of experts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

from qwenvl_kit.families import Family

Settings: TypeAlias = dict[str, Any]

_HEAD_WIDTH = 32
_WIDE_HEAD = 64
"""Width of a head in families that rotate only a quarter of it."""


@dataclass(frozen=True)
class Dimensions:
    """The dimensions of a tiny model; see `build_tiny_model`."""

    hidden_size: int
    num_layers: int
    vocabulary_size: int
    context_tokens: int

    @property
    def initializer_range(self) -> float:
        """The spread of the weights: wide enough that answers depend on the picture."""
        return 1.2 / math.sqrt(self.hidden_size)


def build_config(family: Family, dimensions: Dimensions, tokenizer: Any) -> Any:
    """Build the configuration of transformers for a family at these dimensions."""
    import transformers

    text, vision = SHAPES[family.model_type]
    config_class = getattr(
        transformers, family.model_class.replace("ForConditionalGeneration", "Config")
    )
    special = {
        "image_token_id": family.image_token,
        "video_token_id": family.video_token,
        "vision_start_token_id": family.vision_start_token,
        "vision_end_token_id": family.vision_end_token,
    }
    return config_class(
        text_config=text(dimensions) | _token_ids(tokenizer),
        vision_config=vision(dimensions),
        tie_word_embeddings=True,
        **{name: tokenizer.convert_tokens_to_ids(token) for name, token in special.items()},
    )


def _token_ids(tokenizer: Any) -> Settings:
    return {
        "bos_token_id": tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        "eos_token_id": tokenizer.convert_tokens_to_ids("<|im_end|>"),
        "pad_token_id": tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        "tie_word_embeddings": True,
    }


def _text(dimensions: Dimensions, rope: Settings) -> Settings:
    width = dimensions.hidden_size
    return {
        "vocab_size": dimensions.vocabulary_size,
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": dimensions.num_layers,
        "num_attention_heads": width // _HEAD_WIDTH,
        "num_key_value_heads": max(1, width // _HEAD_WIDTH // 2),
        "max_position_embeddings": dimensions.context_tokens,
        "initializer_range": dimensions.initializer_range,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, **rope},
    }


def _text_qwen2(dimensions: Dimensions) -> Settings:
    return _text(dimensions, {"mrope_section": [4, 6, 6]})


def _text_qwen3(dimensions: Dimensions) -> Settings:
    rope = {"mrope_section": [6, 5, 5], "mrope_interleaved": True}
    return _text(dimensions, rope) | {"head_dim": _HEAD_WIDTH}


def _text_qwen3_moe(dimensions: Dimensions) -> Settings:
    return _text_qwen3(dimensions) | _experts(dimensions) | {"decoder_sparse_step": 1}


def _text_qwen3_5(dimensions: Dimensions) -> Settings:
    """The language model of Qwen3.5: three layers of linear attention to one of full attention."""
    rope = {
        "mrope_section": [3, 3, 2],
        "mrope_interleaved": True,
        "partial_rotary_factor": 0.25,
    }
    return _text(dimensions, rope) | {
        "head_dim": _WIDE_HEAD,
        "full_attention_interval": 4,
        "linear_key_head_dim": _HEAD_WIDTH,
        "linear_value_head_dim": _HEAD_WIDTH,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_conv_kernel_dim": 4,
    }


def _text_qwen3_5_moe(dimensions: Dimensions) -> Settings:
    settings = _text_qwen3_5(dimensions) | _experts(dimensions)
    settings["shared_expert_intermediate_size"] = dimensions.hidden_size
    del settings["intermediate_size"]
    return settings


def _text_qwen4(dimensions: Dimensions) -> Settings:
    """The language model of Qwen4: several residual streams, and attention with an indexer."""
    return _text_qwen3_5_moe(dimensions) | {
        "hc_count": 2,
        "hc_lowrank": 16,
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_head_dim": _HEAD_WIDTH,
        "indexer_budget": 1024,
        "indexer_compress_ratio": 16,
    }


def _experts(dimensions: Dimensions) -> Settings:
    return {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": dimensions.hidden_size,
    }


def _vision(dimensions: Dimensions, patch_side_px: int) -> Settings:
    return {
        "depth": 3,
        "hidden_size": dimensions.hidden_size // 2,
        "num_heads": 2,
        "patch_size": patch_side_px,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "initializer_range": dimensions.initializer_range,
    }


def _vision_qwen2(dimensions: Dimensions) -> Settings:
    return _vision(dimensions, 14) | {
        "embed_dim": dimensions.hidden_size // 2,
        "hidden_size": dimensions.hidden_size,
        "mlp_ratio": 2,
    }


def _vision_qwen2_5(dimensions: Dimensions) -> Settings:
    """The vision encoder of Qwen2.5-VL: attention within windows in all layers but one."""
    return _vision(dimensions, 14) | {
        "intermediate_size": dimensions.hidden_size,
        "out_hidden_size": dimensions.hidden_size,
        "window_size": 112,
        "fullatt_block_indexes": [2],
        "tokens_per_second": 2,
    }


def _vision_qwen3_5(dimensions: Dimensions) -> Settings:
    return _vision(dimensions, 16) | {
        "intermediate_size": dimensions.hidden_size,
        "out_hidden_size": dimensions.hidden_size,
        "num_position_embeddings": 2304,
    }


def _vision_qwen3(dimensions: Dimensions) -> Settings:
    """The vision encoder of Qwen3-VL, with DeepStack.

    Features of its early layers go to early layers of the language model.
    """
    return _vision_qwen3_5(dimensions) | {"deepstack_visual_indexes": [0, 1]}


SHAPES = {
    "qwen2_vl": (_text_qwen2, _vision_qwen2),
    "qwen2_5_vl": (_text_qwen2, _vision_qwen2_5),
    "qwen3_vl": (_text_qwen3, _vision_qwen3),
    "qwen3_vl_moe": (_text_qwen3_moe, _vision_qwen3),
    "qwen3_5": (_text_qwen3_5, _vision_qwen3_5),
    "qwen3_5_moe": (_text_qwen3_5_moe, _vision_qwen3_5),
    "qwen4_exp": (_text_qwen4, _vision_qwen3_5),
}
"""The language model and the vision encoder of each family, as functions of the dimensions."""
