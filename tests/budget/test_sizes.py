from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qwenvl_kit import PixelBudget, Size
from qwenvl_kit.budget.limits import PixelLimits, apply_budget, total_tokens
from qwenvl_kit.budget.sizes import (
    check_video_shape,
    exact_size,
    fit_size,
    pad_size,
    shrink_size,
)
from qwenvl_kit.budget.tokens import count_tokens
from qwenvl_kit.errors import MediaSizeError
from qwenvl_kit.families import FAMILIES, family_of

FAMILY = family_of("qwen2_vl")
SIDES = st.integers(2, 8000)
SIZES = st.builds(Size, SIDES, SIDES)
TOKEN_SIDES = st.sampled_from([28, 32])
NATIVE = PixelLimits(4 * 28 * 28, 16384 * 28 * 28)


@st.composite
def limits(draw):
    low, high = sorted(draw(st.tuples(st.integers(1, 10**7), st.integers(1, 10**7))))
    return PixelLimits(low, high)


def _is_taken(size: Size) -> bool:
    short, long = sorted((size.height_px, size.width_px))
    return long <= 200 * short


@given(SIZES, limits(), TOKEN_SIDES)
@settings(max_examples=200, deadline=None)
def test_a_picture_gets_the_size_that_the_processors_of_transformers_give_it(size, given_, side):
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    assume(_is_taken(size))
    expected = smart_resize(
        size.height_px,
        size.width_px,
        factor=side,
        min_pixels=given_.min_pixels,
        max_pixels=given_.max_pixels,
    )
    assert fit_size(size, given_, side) == Size(*expected)


@given(SIZES, limits(), TOKEN_SIDES)
@settings(max_examples=100)
def test_the_sides_of_a_resized_picture_are_whole_tokens(size, given_, side):
    resized = fit_size(size, given_, side)
    assert resized.height_px % side == resized.width_px % side == 0
    assert resized.area_pixels == count_tokens(resized, side) * side**2 > 0


@given(SIZES, TOKEN_SIDES)
@settings(max_examples=100)
def test_an_ordinary_picture_keeps_within_its_limits(size, side):
    low, high = 4 * side**2, 1024 * side**2
    assume(max(size.height_px, size.width_px) <= 20 * min(size.height_px, size.width_px))
    assert low <= fit_size(size, PixelLimits(low, high), side).area_pixels <= high


@given(SIZES, st.integers(1, 2000), TOKEN_SIDES)
@settings(max_examples=200)
def test_a_shrunk_picture_never_takes_more_than_it_may(size, max_tokens, side):
    resized = shrink_size(size, max_tokens, side)
    assert 1 <= count_tokens(resized, side) <= max_tokens


def test_a_shrunk_picture_keeps_its_shape():
    assert shrink_size(Size(1000, 2000), 50, 28) == Size(5 * 28, 10 * 28)


@given(SIZES, TOKEN_SIDES)
@settings(max_examples=50)
def test_an_exact_size_moves_each_side_by_half_a_token_at_most(size, side):
    resized = exact_size(size, side)
    for got, asked in (
        (resized.height_px, size.height_px),
        (resized.width_px, size.width_px),
    ):
        assert got % side == 0
        assert got == side or abs(got - asked) <= side / 2


@given(SIZES, limits(), TOKEN_SIDES)
@settings(max_examples=200, deadline=None)
def test_a_picture_gets_the_size_that_qwen_vl_utils_gives_it(size, given_, side):
    from qwen_vl_utils.vision_process import smart_resize

    padded = pad_size(size, FAMILY)  # which has no margins, or those without which it fails
    assume(min(padded.height_px, padded.width_px) >= side)
    expected = smart_resize(
        padded.height_px,
        padded.width_px,
        factor=side,
        min_pixels=given_.min_pixels,
        max_pixels=given_.max_pixels,
    )
    # It gives a side of nothing where not one token is allowed.
    assert fit_size(padded, given_, side) == Size(*(max(px, side) for px in expected))


@given(st.builds(Size, st.integers(1, 9000), st.integers(1, 9000)))
@settings(max_examples=200)
def test_margins_make_any_picture_one_that_the_rule_takes(size):
    padded = pad_size(size, FAMILY)
    assert padded.height_px >= max(size.height_px, FAMILY.token_side_px)
    assert padded.width_px >= max(size.width_px, FAMILY.token_side_px)
    assert _is_taken(padded)
    assert pad_size(padded, FAMILY) == padded


@pytest.mark.parametrize(
    ("size", "padded"),
    [
        (Size(100, 100), Size(100, 100)),
        (Size(28, 5600), Size(28, 5600)),
        (Size(1, 1), Size(28, 28)),
        (Size(3, 500), Size(28, 500)),
        (Size(10_000, 30), Size(10_000, 50)),
    ],
)
def test_only_strips_and_pictures_smaller_than_a_token_get_margins(size, padded):
    assert pad_size(size, FAMILY) == padded


@pytest.mark.parametrize(
    "size", [Size(0, 0), Size(1, 1), Size(1, 4000), Size(4000, 1), Size(0, 50), Size(2, 402)]
)
def test_a_video_with_nothing_to_see_or_too_long_a_strip_is_refused(size):
    with pytest.raises(MediaSizeError) as caught:
        check_video_shape(size, FAMILY)
    assert str(size) in caught.value.problem
    assert caught.value.expected
    assert caught.value.hint


@pytest.mark.parametrize("size", [Size(2, 2), Size(2, 400), Size(400, 2), Size(10_000, 10_000)])
def test_a_video_just_within_the_familys_limits_is_taken(size):
    check_video_shape(size, FAMILY)


def test_a_budget_in_tokens_costs_the_same_in_every_family():
    for side in (28, 32):
        found = apply_budget(PixelBudget(256, 512), NATIVE, side)
        assert (found.min_pixels, found.max_pixels) == (256 * side**2, 512 * side**2)


def test_a_budget_in_pixels_is_the_same_area_in_every_family():
    for side in (28, 32):
        found = apply_budget(PixelBudget.from_pixels(100, 10_000), NATIVE, side)
        assert found == PixelLimits(100, 10_000)


def test_the_native_budget_is_the_checkpoints_own():
    assert apply_budget(PixelBudget(), NATIVE, 28) == NATIVE


@given(st.integers(1, 10**5))
@settings(max_examples=50)
def test_a_side_that_the_user_sets_moves_the_checkpoints_other_side_out_of_the_way(tokens):
    area = tokens * 28 * 28
    assert apply_budget(PixelBudget(max_tokens=tokens), NATIVE, 28) == PixelLimits(
        min(NATIVE.min_pixels, area), area
    )
    assert apply_budget(PixelBudget(min_tokens=tokens), NATIVE, 28) == PixelLimits(
        area, max(NATIVE.max_pixels, area)
    )


def test_a_total_in_pixels_is_counted_in_whole_tokens():
    assert total_tokens(PixelBudget(), 28) is None
    assert total_tokens(PixelBudget(total_tokens=7), 28) == 7
    assert total_tokens(PixelBudget.from_pixels(total_pixels=3 * 28 * 28 - 1), 28) == 2
    assert total_tokens(PixelBudget.from_pixels(total_pixels=1), 28) == 1


def test_a_token_covers_a_square_of_merged_patches():
    assert FAMILY.token_side_px == 28
    assert all(f.token_side_px == f.patch_side_px * f.merge_size for f in FAMILIES.values())
