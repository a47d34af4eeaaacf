"""What a request takes of memory, as arithmetic."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from qwenvl_kit.budget.memory import predict_activation_bytes, predict_cache_bytes
from qwenvl_kit.budget.shapes import (
    ExpertsShape,
    IndexerShape,
    LinearAttentionShape,
    ModelShape,
    TextShape,
    VisionShape,
)
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.geometry import Size
from qwenvl_kit.plans import ImagePlan, VideoPlan

FAMILY = FAMILIES["qwen3_vl"]

VISION = VisionShape(
    width=1152,
    intermediate_width=4304,
    num_heads=16,
    patch_values=1536,
    output_width=4096,
    learns_positions=True,
    deepstack_layers=3,
)
DENSE = TextShape(
    width=4096,
    intermediate_width=12288,
    num_heads=32,
    num_key_value_heads=8,
    head_width=128,
    rotary_width=128,
    num_attention_layers=36,
    vocabulary=151_936,
    normalizes_queries=True,
)
"""Qwen3-VL-8B, by its config.json."""

SPARSE = replace(
    DENSE,
    intermediate_width=0,
    experts=ExpertsShape(per_token=8, intermediate_width=512, shared_width=512),
)
RECURRENT = replace(
    SPARSE,
    num_attention_layers=10,
    gates_attention=True,
    rotary_width=32,
    linear=LinearAttentionShape(
        num_layers=30,
        num_key_heads=16,
        key_width=128,
        num_value_heads=32,
        value_width=128,
        kernel_tokens=4,
    ),
)
INDEXED = replace(RECURRENT, num_streams=4, indexer=IndexerShape(key_width=128, picked_tokens=1039))

shapes = st.builds(
    ModelShape,
    vision=st.just(VISION),
    text=st.sampled_from([DENSE, SPARSE, RECURRENT, INDEXED]),
    value_bytes=st.sampled_from([2, 4]),
    shares_host_memory=st.booleans(),
    holds_scores=st.booleans(),
    copies_convolved=st.booleans(),
)
pictures = st.lists(st.integers(1, 4096), max_size=6)
lengths = st.integers(1, 20_000)


def picture(tokens: int) -> ImagePlan:
    size = Size(FAMILY.token_side_px * tokens, FAMILY.token_side_px)
    return ImagePlan(where="messages[0].parts[0]", original=size, resized=size, tokens=tokens)


def video(num_frames: int) -> VideoPlan:
    size = Size(256, 192)
    return VideoPlan(
        where="messages[0].parts[1]",
        original=size,
        resized=size,
        frame_indices=tuple(range(num_frames)),
        timestamps_seconds=tuple(float(number) for number in range(num_frames)),
        tokens=48 * ((num_frames + 1) // 2),
    )


def peak(
    shape: ModelShape, media: list[ImagePlan | VideoPlan], prompt_tokens: int, answer: int = 512
) -> int:
    """Cache and activations, as a plan adds them."""
    return predict_cache_bytes(shape, prompt_tokens, answer) + predict_activation_bytes(
        shape, media, FAMILY, prompt_tokens, answer
    )


@given(shapes, pictures, lengths, st.integers(1, 1000))
def test_a_longer_prompt_takes_no_less(
    shape: ModelShape, tokens: list[int], prompt: int, more: int
) -> None:
    media: list[ImagePlan | VideoPlan] = [picture(count) for count in tokens]
    assert peak(shape, media, prompt + more) >= peak(shape, media, prompt)


@given(shapes, pictures, lengths, st.integers(1, 1000))
def test_a_longer_answer_takes_no_less(
    shape: ModelShape, tokens: list[int], prompt: int, more: int
) -> None:
    media: list[ImagePlan | VideoPlan] = [picture(count) for count in tokens]
    assert peak(shape, media, prompt, 512 + more) >= peak(shape, media, prompt)


@given(shapes, pictures, lengths, st.integers(1, 4096))
def test_one_picture_more_takes_no_less(
    shape: ModelShape, tokens: list[int], prompt: int, added: int
) -> None:
    before: list[ImagePlan | VideoPlan] = [picture(count) for count in tokens]
    after = [*before, picture(added)]
    assert peak(shape, after, prompt) >= peak(shape, before, prompt)


@given(shapes, lengths, st.integers(1, 300), st.integers(2, 50))
def test_more_frames_take_no_less(shape: ModelShape, prompt: int, frames: int, more: int) -> None:
    assert peak(shape, [video(frames + more)], prompt) >= peak(shape, [video(frames)], prompt)


@given(shapes, pictures, lengths)
def test_activations_are_more_than_nothing(
    shape: ModelShape, tokens: list[int], prompt: int
) -> None:
    media: list[ImagePlan | VideoPlan] = [picture(count) for count in tokens]
    assert predict_activation_bytes(shape, media, FAMILY, prompt, 512) > 0


def test_keys_and_values_of_qwen3_vl_8b_take_144_kib_a_token() -> None:
    shape = ModelShape(vision=VISION, text=DENSE, value_bytes=2)
    assert predict_cache_bytes(shape, 900, 100) == 1000 * 144 * 1024


def test_a_recurrent_state_has_the_same_size_for_every_prompt() -> None:
    shape = ModelShape(vision=VISION, text=RECURRENT, value_bytes=2)
    state = predict_cache_bytes(shape, 0, 0)
    # 30 layers: 8,192 channels of 4 inputs in bf16, and 32 heads of 128 x 128 in fp32.
    assert state == 30 * (8192 * 4 * 2 + 32 * 128 * 128 * 4)
    assert predict_cache_bytes(shape, 500, 0) == state + 500 * 10 * 2 * 8 * 128 * 2


def test_a_gpu_does_not_hold_what_prepares_the_pixels() -> None:
    on_host = ModelShape(vision=VISION, text=DENSE, value_bytes=2)
    on_gpu = replace(on_host, shares_host_memory=False)
    media: list[ImagePlan | VideoPlan] = [picture(1280)]
    assert peak(on_gpu, media, 1300) < peak(on_host, media, 1300)


def test_a_matrix_of_scores_grows_with_the_square_of_the_prompt() -> None:
    fused = ModelShape(vision=VISION, text=DENSE, value_bytes=2)
    eager = replace(fused, holds_scores=True)
    assert peak(eager, [], 4096) - peak(fused, [], 4096) > 4096**2 * 32 * 4
