"""The peak memory of one request, as the sum of the tensors that exist at the same time.

A request goes through stages: pixels are prepared, the vision encoder runs, prefill reads the
prompt, decode steps generate the answer. In each stage the peak is at one of a few moments. The
functions here list these moments, and for each the tensors that transformers 5.23 holds then. A
moment that was the peak for none of the examined shapes is left out. The scratch memory of kernels
is left out too: on a CPU about 0.7 MB per thread (FlashAttentionKernel.cpp of torch).

Widths are numbers of values of one token or patch, and `value` is the size of one value in bytes.
`fp32` marks tensors of 4 bytes per value, whatever the dtype of the model is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from qwenvl_kit.budget.pixel_memory import (
    FRAMES_AT_A_TIME,
    MediaLoad,
    decoded_bytes,
    loads_of,
    processor_bytes,
)
from qwenvl_kit.budget.shapes import ModelShape, TextShape
from qwenvl_kit.families import Family
from qwenvl_kit.plans import ImagePlan, VideoPlan

__all__ = ["FRAMES_AT_A_TIME", "ModelShape", "predict_activation_bytes", "predict_cache_bytes"]

_FP32_BYTES = 4
_INDEX_BYTES = 14 * 8
"""Bytes of the int64 values of one prompt token: id, kind and mask, four positions
(`_prepare_position_ids_for_generation`), and the copies that `generate` extends by each token."""

_CHUNK_TOKENS = 64
"""Tokens of one chunk of `torch_chunk_gated_delta_rule` (modeling_qwen3_5.py)."""


def predict_cache_bytes(shape: ModelShape, prompt_tokens: int, answer_tokens: int) -> int:
    """Return the bytes of the KV cache of prompt and answer, with the recurrent state.

    `DynamicCache` of transformers keeps exactly these tensors. The recurrent state has a fixed
    size: `LinearAttentionLayer` keeps the last inputs of the convolution in the model's dtype and
    the state of the delta rule in fp32. An indexed layer keeps one more key.
    """
    text, value = shape.text, shape.value_bytes
    kept = 2 * text.key_width + (text.indexer.key_width if text.indexer else 0)
    total = text.num_attention_layers * kept * value * (prompt_tokens + answer_tokens)
    if linear := text.linear:
        convolution = linear.mixed_width * linear.kernel_tokens * value
        total += linear.num_layers * (convolution + linear.state_values * _FP32_BYTES)
    return total


def predict_activation_bytes(
    shape: ModelShape,
    media: Sequence[ImagePlan | VideoPlan],
    family: Family,
    prompt_tokens: int,
    answer_tokens: int,
) -> int:
    """Return the peak bytes of a request, without the weights and `predict_cache_bytes`.

    The cache is empty while pictures are encoded, and reaches its full size with the last token of
    the answer. The sum of this and the full cache, as in a plan, is the true peak.

    Args:
        shape: dimensions of the model.
        media: plan of each picture and video.
        family: the model's family.
        prompt_tokens: length of the rendered prompt, visual tokens included.
        answer_tokens: most tokens of the answer.
    """
    images, videos = loads_of(media, family)
    tokens = prompt_tokens + answer_tokens
    held = _INDEX_BYTES * tokens
    stages = []
    for load in (images, videos):
        stages += [held + stage for stage in _vision_stages(shape, load, family)]
        held += _features_bytes(shape, load.patches, family)
    stages.append(
        held
        + _prefill_bytes(shape, images.patches + videos.patches, family, prompt_tokens)
        + predict_cache_bytes(shape, prompt_tokens, 0)
    )
    cache = predict_cache_bytes(shape, prompt_tokens, answer_tokens)
    stages.append(_INDEX_BYTES * tokens + _decode_bytes(shape, tokens) + cache)
    decoded = decoded_bytes(shape, images, family) + decoded_bytes(shape, videos, family)
    return max(stages) - cache + (decoded if shape.shares_host_memory else 0)


def _vision_stages(shape: ModelShape, load: MediaLoad, family: Family) -> list[int]:
    """The stages in which pictures, or videos, become patches and pass the encoder, all at once.

    Pixels are held while the encoder runs.
    """
    pixels = _FP32_BYTES * shape.vision.patch_values * load.patches
    stages = [pixels + _encoder_bytes(shape, load.patches, max(load.lengths, default=0), family)]
    if shape.shares_host_memory:
        stages.append(processor_bytes(shape, load, family))
    return stages


def _encoder_bytes(shape: ModelShape, patches: int, longest: int, family: Family) -> int:
    """One call of the vision encoder (`VisionAttention`, `VisionMlp`, `forward`).

    These tensors exist through all layers: the layer's input, cosines and sines in fp32, learned
    positions, the features for DeepStack, and the pixels in the model's dtype if that is not fp32
    (`get_image_features`).
    """
    vision, value = shape.vision, shape.value_bytes
    is_half = value < _FP32_BYTES
    pixels = vision.patch_values * value if is_half else 0
    features = vision.deepstack_layers * vision.output_width / family.merge_size**2
    angles = 2 * _FP32_BYTES * (vision.width // vision.num_heads)
    through = pixels + (vision.width + features) * value + angles
    if vision.learns_positions:  # the weights of the interpolation are fp32
        through += _FP32_BYTES * vision.width
    moments = [
        # PatchEmbed: a copy of its input, if it makes one, and its output, first in fp32 (as
        # measured with torch 2.15)
        (pixels if shape.copies_convolved else 0) + 2 * vision.width * _FP32_BYTES,
        # normed, queries-keys-values (3), rotated queries and keys (2), output of each picture,
        # the same joined, projected
        9 * vision.width * value,
        # apply_rotary_pos_emb_vision: normed, queries-keys-values (3); in fp32 queries and keys
        # (2, where that is a copy), rotated queries, and three steps towards rotated keys
        4 * vision.width * value + (6 if is_half else 4) * vision.width * _FP32_BYTES,
        # sum after attention, normed
        (2 * vision.width + vision.mlp_copies * vision.intermediate_width) * value,
    ]
    total = int((through + max(moments)) * patches) + vision.mask_bytes * longest**2
    return total + _scores_bytes(shape, vision.num_heads, longest)


def _scores_bytes(shape: ModelShape, num_heads: int, length: int) -> int:
    """The scores of `eager_attention_forward`: in the model's dtype, in fp32, and their softmax."""
    if not shape.holds_scores:
        return 0
    copies = 2 if shape.value_bytes < _FP32_BYTES else 1
    return (shape.value_bytes + copies * _FP32_BYTES) * num_heads * length**2


def _features_bytes(shape: ModelShape, patches: int, family: Family) -> int:
    """The visual tokens from the encoder, which are kept until prefill ends."""
    vision = shape.vision
    outputs = (1 + vision.deepstack_layers) * vision.output_width / family.merge_size**2
    return int(outputs * patches * shape.value_bytes)


def _prefill_bytes(shape: ModelShape, patches: int, family: Family, tokens: int) -> int:
    """Prefill: the prompt through the language model, without features and cache.

    These tensors exist through all layers: the embedded prompt, cosines and sines, and a copy of
    the visual tokens (`torch.cat` in `forward` of the model), one for each DeepStack layer too.
    """
    text, value = shape.text, shape.value_bytes
    copies = (1 + shape.vision.deepstack_layers) * shape.vision.output_width
    visual = copies / family.merge_size**2 * patches * value
    through = (text.width + 2 * text.rotary_width) * value * tokens
    moments = [_attention_bytes(shape, tokens), _mlp_bytes(text, value) * tokens]
    if text.linear:
        moments.append(_linear_attention_bytes(text, value, tokens))
    if text.num_streams > 1:
        # Qwen4ExpTextGatedResidual: input, sum and injection of the layer, and of the mixing
        # three more; of them in fp32 the norm's input and output
        upcast = 0 if value == _FP32_BYTES else 2 * _FP32_BYTES
        moments.append((6 * value + upcast) * text.num_streams * text.width * tokens)
    return int(visual) + through + max(moments)


def _attention_bytes(shape: ModelShape, tokens: int) -> int:
    """A layer of full attention: its input, the normed input, and the largest of its moments."""
    text, value = shape.text, shape.value_bytes
    query, key = text.query_width, text.key_width
    upcast = 2 * _FP32_BYTES * query
    moments = [
        # apply_rotary_pos_emb: queries, keys, values; three steps towards the rotated queries,
        # or these, and three steps towards the rotated keys
        (max(4 * query + 2 * key, 2 * query + 5 * key)) * value,
        # repeat_kv is only for scores: fused attention takes fewer keys than queries
        (4 * query if shape.holds_scores or text.indexer else 2 * query) * value,
    ]
    if text.gates_attention:
        # queries with gate (2), gate, and the norm of the queries in fp32; then gate, queries,
        # output, sigmoid, product
        moments += [3 * query * value + upcast, 5 * query * value]
    elif text.normalizes_queries:
        moments.append(query * value + upcast)
    layer = (text.num_streams + 1) * text.width * value
    total = (layer + max(moments)) * tokens + _scores_bytes(shape, text.num_heads, tokens)
    if text.indexer is None:
        return total + (value * tokens**2 if shape.holds_scores else 0)  # the mask
    gated = (layer + 5 * query * value) * tokens  # gate, queries, repeated keys and values, output
    # Masks of one byte: causal, picked, both; and as the numbers that are added to scores.
    # The indexer itself: the picked places as int32, twice, and for scatter as int64.
    picked = (2 * 4 + 8) * text.indexer.picked_tokens + layer
    masked = max(gated + (3 + value) * tokens**2, picked * tokens + 3 * tokens**2)
    return max(total, masked + _scores_bytes(shape, text.num_heads, tokens))


def _mlp_bytes(text: TextShape, value: int) -> int:
    """The MLP for one token: the layer's input, the sum after attention, the normed sum, the MLP.

    A dense MLP holds gate, up and product. Experts (integrations/moe.py,
    `grouped_mm_experts_forward`) hold each token once for each of its experts: gate and up (2),
    activation, product; or at the end the output, weighted output and reordered output. The routing
    takes four integers.
    """
    streams = text.num_streams
    layer = (1 + (2 if streams == 1 else 3 * streams)) * text.width
    dense = (layer + 3 * text.intermediate_width) * value
    experts = text.experts
    if experts is None:
        return dense
    routed = experts.per_token * max(text.width + 4 * experts.intermediate_width, 4 * text.width)
    shared = text.width if experts.shared_width else 0
    mixed = max(shared + routed, 3 * experts.shared_width)
    return max(dense, (layer + mixed) * value + 4 * 8 * experts.per_token)


def _linear_attention_bytes(text: TextShape, value: int, tokens: int) -> int:
    """A layer with the gated delta rule, as torch computes it (`torch_chunk_gated_delta_rule`).

    In the model's dtype: the layer's input, the normed input, queries-keys-values, and the gate.
    In fp32, with as many heads as there are for values: queries, keys, keys times beta, decayed
    keys, and keys decayed by the system of equations (5); values, values times beta, updated
    values, and output (4); for each chunk the decays, the system of equations and the scores (3).
    In addition the decayed queries; or for one chunk the read values, the predicted values, the
    new values and their sum, with the state and its update; or at the end the reordered output.

    The last layer is one of full attention, whose cache is still empty then, though the whole
    prefill counts it.
    """
    linear = text.linear
    if linear is None:
        return 0
    values = linear.num_value_heads * linear.value_width
    keys = linear.num_value_heads * linear.key_width
    layer = (text.num_streams + 1) * text.width + linear.mixed_width + values
    padded = math.ceil(tokens / _CHUNK_TOKENS) * _CHUNK_TOKENS
    through = (5 * keys + 4 * values + 3 * _CHUNK_TOKENS * linear.num_value_heads) * padded
    scan = 4 * _CHUNK_TOKENS * values + 2 * linear.state_values
    moment = through + max(max(keys, values) * padded, scan)
    empty = min(text.num_attention_layers, 1) * 2 * text.key_width
    return (layer - empty) * value * tokens + moment * _FP32_BYTES


def _decode_bytes(shape: ModelShape, tokens: int) -> int:
    """A decode step: one token of the answer, without features and cache.

    The cache grows by concatenation, so that the keys of one layer exist twice. Logits exist five
    times: raw, in fp32, as log-softmax, and as the scores that `generate` receives and returns. The
    recurrent state of one layer exists three times: decayed, updated, and one step in between.
    """
    text = shape.text
    joined = text.key_width * shape.value_bytes * tokens
    logits = 5 * _FP32_BYTES * text.vocabulary
    state = 3 * _FP32_BYTES * text.linear.state_values if text.linear else 0
    return max(joined, logits, state)
