from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qwenvl_kit import ImagePart, PixelBudget, Region, Size, VideoPart
from qwenvl_kit.budget.limits import PixelLimits
from qwenvl_kit.budget.measures import ImageMeasure, PlanningRules, VideoMeasure
from qwenvl_kit.budget.planning import plan_media, plan_request
from qwenvl_kit.budget.shapes import ModelShape, TextShape, VisionShape
from qwenvl_kit.errors import BudgetError, MediaSizeError, VideoTimingError
from qwenvl_kit.families import family_of

SHAPE = ModelShape(
    vision=VisionShape(
        width=32, intermediate_width=64, num_heads=2, patch_values=1176, output_width=64
    ),
    text=TextShape(
        width=64,
        intermediate_width=128,
        num_heads=4,
        num_key_value_heads=2,
        head_width=16,
        rotary_width=16,
        num_attention_layers=1,
        vocabulary=1000,
    ),
    value_bytes=4,
)
LIMITS = PixelLimits(4 * 28 * 28, 1280 * 28 * 28)
RULES = PlanningRules(family_of("qwen2_vl"), LIMITS, LIMITS, 1000, shape=SHAPE)
SIDES = st.integers(2, 3000)


def _image(height: int, width: int, place: int = 0, **settings_) -> ImageMeasure:
    part = ImagePart("a.png", **settings_)
    return ImageMeasure(f"messages[0].parts[{place}]", part, Size(height, width))


def _video(given: int = 4, size: Size | None = None, place: int = 0, **settings_) -> VideoMeasure:
    part = VideoPart(["a.png"], **{"fps": 2, **settings_})
    return VideoMeasure(f"messages[0].parts[{place}]", part, size or Size(56, 84), given)


@st.composite
def media(draw):
    measures = []
    for place in range(draw(st.integers(1, 5))):
        size = Size(draw(SIDES), draw(SIDES))
        assume(max(size.height_px, size.width_px) <= 200 * min(size.height_px, size.width_px))
        frames = draw(st.one_of(st.none(), st.integers(1, 9)))
        measures.append(
            _image(size.height_px, size.width_px, place)
            if frames is None
            else _video(frames, size, place)
        )
    return measures


@given(media(), st.integers(1, 6000))
@settings(max_examples=200)
def test_all_pictures_and_frames_together_never_cost_more_than_the_total(measures, total):
    least = sum(4 * math.ceil(getattr(measure, "num_frames", 2) / 2) for measure in measures)
    if total < least:
        # Some pictures take less than the least, so that a smaller total may do as well.
        with contextlib.suppress(BudgetError):
            plans = plan_media(measures, PixelBudget(total_tokens=total), RULES)
            assert sum(plan.tokens for plan in plans) <= total
        return
    plans = plan_media(measures, PixelBudget(total_tokens=total), RULES)
    assert sum(plan.tokens for plan in plans) <= total
    assert [plan.where for plan in plans] == [measure.where for measure in measures]


@given(media())
@settings(max_examples=50)
def test_a_total_that_suffices_changes_nothing(measures):
    natural = plan_media(measures, PixelBudget(), RULES)
    total = sum(plan.tokens for plan in natural)
    assert plan_media(measures, PixelBudget(total_tokens=total), RULES) == natural


def test_a_long_strip_counts_towards_the_total_as_well():
    """`smart_resize` alone would give it more than its share."""
    plans = plan_media([_image(28, 5600), _image(500, 500)], PixelBudget(total_tokens=40), RULES)
    assert sum(plan.tokens for plan in plans) <= 40


def test_a_small_picture_whose_size_rounds_up_counts_towards_the_total_as_well():
    """`smart_resize` enlarges 30 x 37 px to 6 tokens for a least of 4."""
    measures = [_image(30, 37, place) for place in range(3)]
    assert sum(plan.tokens for plan in plan_media(measures, PixelBudget(), RULES)) == 18
    plans = plan_media(measures, PixelBudget(total_tokens=14), RULES)
    assert sum(plan.tokens for plan in plans) <= 14


def test_a_picture_of_exact_size_keeps_it_and_the_others_give_way():
    measures = [_image(900, 900, height_px=280, width_px=280), _image(900, 900, 1)]
    exact, other = plan_media(measures, PixelBudget(total_tokens=150), RULES)
    assert exact.resized == Size(280, 280)
    assert other.tokens <= 50


def test_exact_sizes_that_cannot_meet_the_total_are_refused():
    measures = [_image(900, 900, height_px=280, width_px=280)]
    with pytest.raises(BudgetError, match="total_tokens=99") as caught:
        plan_media(measures, PixelBudget(total_tokens=99), RULES)
    assert caught.value.where == "budget"


def test_an_exact_size_wins_over_every_limit():
    part = {"height_px": 14 * 28, "width_px": 10 * 28 + 3}
    (plan,) = plan_media([_image(50, 50, **part)], PixelBudget(4, 8), RULES)
    assert (plan.resized, plan.tokens) == (Size(14 * 28, 10 * 28), 140)


def test_the_exact_size_of_frames_wins_over_limits_and_is_not_reduced_by_a_total():
    film = _video(4, Size(900, 900), height_px=280, width_px=283)
    (plan,) = plan_media([film], PixelBudget(4, 8), RULES)
    assert (plan.resized, plan.tokens) == (Size(280, 280), 200)
    exact, other = plan_media([film, _image(900, 900, 1)], PixelBudget(total_tokens=250), RULES)
    assert exact.resized == Size(280, 280)
    assert other.tokens <= 50


@pytest.mark.parametrize(
    ("name", "low", "high"), [("quick", 256, 512), ("standard", 512, 1024), ("fine", 1024, 2048)]
)
def test_a_preset_sets_how_many_tokens_a_picture_takes(name, low, high):
    budget = PixelBudget.from_name(name)
    for side in (100, 4000):
        (plan,) = plan_media([_image(side, side)], budget, RULES)
        assert low <= plan.tokens <= high


def test_the_budget_of_a_part_wins_over_the_requests():
    measures = [_image(900, 900, budget=PixelBudget(4, 16)), _image(900, 900, 1)]
    own, requests = plan_media(measures, PixelBudget(64, 100), RULES)
    assert own.tokens <= 16
    assert 64 <= requests.tokens <= 100


def test_a_part_with_the_native_budget_is_free_of_the_requests_limits():
    measures = [_image(900, 900, budget="native"), _image(900, 900, 1)]
    own, requests = plan_media(measures, PixelBudget(4, 16), RULES)
    assert own.tokens == 32 * 32
    assert requests.tokens <= 16


@pytest.mark.parametrize("frames", [1, 2, 7, 8])
def test_a_part_may_have_a_total_of_its_own(frames):
    """As Qwen's dialect means `total_pixels` of a video."""
    budget = PixelBudget.from_pixels(total_pixels=60 * 28 * 28)
    measures = [_video(frames, Size(900, 900), budget=budget), _image(900, 900, 1)]
    own, other = plan_media(measures, PixelBudget(), RULES)
    assert own.tokens <= 60
    assert other.tokens == 32 * 32


def test_a_total_of_its_own_that_a_part_cannot_keep_is_refused_with_its_place():
    budget = PixelBudget(total_tokens=3)
    with pytest.raises(BudgetError) as caught:
        plan_media([_image(90, 90), _video(4, place=1, budget=budget)], PixelBudget(), RULES)
    assert caught.value.where == "messages[0].parts[1].budget"


@pytest.mark.parametrize(("frames", "groups"), [(1, 1), (2, 1), (3, 2), (4, 2), (9, 5)])
def test_two_frames_of_a_video_share_their_tokens(frames, groups):
    (plan,) = plan_media([_video(frames)], PixelBudget(), RULES)
    assert plan.tokens == groups * 2 * 3
    assert len(plan.frame_indices) == len(plan.timestamps_seconds) == frames


def test_a_videos_plan_says_which_frames_at_what_times():
    measure = _video(10, start_seconds=1, end_seconds=4, num_frames=3)
    (plan,) = plan_media([measure], PixelBudget(), RULES)
    assert plan.frame_indices == (2, 5, 8)
    assert plan.timestamps_seconds == tuple(index / 2 for index in plan.frame_indices)


@pytest.mark.parametrize(
    ("measure", "error"),
    [
        (_image(100, 100, 1, crop=Region(50, 0, 101, 10)), MediaSizeError),
        (_video(4, Size(2, 1000), 1), MediaSizeError),
        (_video(4, place=1, fps=None), VideoTimingError),
        (_video(4, place=1, start_seconds=60), VideoTimingError),
    ],
)
def test_what_cannot_be_planned_is_refused_with_its_place(measure, error):
    with pytest.raises(error) as caught:
        plan_media([_image(50, 50), measure], PixelBudget(), RULES)
    assert caught.value.where == "messages[0].parts[1]"


def test_a_plan_adds_up_what_a_request_costs():
    parts = plan_media([_image(56, 84), _video(4, place=1)], PixelBudget(), RULES)
    plan = plan_request(parts, prompt_tokens=100, max_new_tokens=50, rules=RULES)
    assert plan.visual_tokens == 6 + 12
    assert [len(plan.images), len(plan.videos)] == [1, 1]
    assert plan.kv_cache_bytes == 150 * 2 * 2 * 16 * 4  # keys and values of 2 heads of 16
    assert plan.needed_bytes == plan.kv_cache_bytes + plan.activation_bytes
    assert plan.fits
    assert plan.degradations == ()


@given(st.integers(0, 3000), st.integers(1, 3000))
@settings(max_examples=100)
def test_prompt_and_answer_never_exceed_the_context(prompt_tokens, max_new_tokens):
    plan = plan_request((), prompt_tokens, max_new_tokens, RULES)
    assert plan.fits == (prompt_tokens < 1000)
    assert plan.max_new_tokens <= max_new_tokens
    if plan.fits:
        assert plan.prompt_tokens + plan.max_new_tokens <= 1000
        assert bool(plan.degradations) == (plan.max_new_tokens < max_new_tokens)


def test_what_is_not_known_of_a_model_is_none():
    rules = PlanningRules(family_of("qwen2_vl"), LIMITS, LIMITS, 1000)
    plan = plan_request((), 10, 10, rules)
    assert (plan.kv_cache_bytes, plan.activation_bytes, plan.weight_bytes) == (None, None, None)
