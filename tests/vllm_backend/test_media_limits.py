"""vLLM is started for the sizes that the budget allows, and never resizes what the kit sends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy
import PIL.Image
import pytest

from qwenvl_kit import ImagePart, PixelBudget, VideoPart, VisionChat
from qwenvl_kit.backends.vllm.media_limits import MediaLimits, media_limits
from qwenvl_kit.budget.limits import PixelLimits
from qwenvl_kit.budget.measures import ImageMeasure, PlanningRules, VideoMeasure
from qwenvl_kit.budget.planning import plan_media
from qwenvl_kit.embedded import MODEL_FOLDER
from qwenvl_kit.errors import BudgetError, InputError, QwenVLKitError
from qwenvl_kit.families import FAMILIES, Family
from qwenvl_kit.geometry import Size
from qwenvl_kit.plans import ImagePlan, VideoPlan

from .pretending import Core, opened, pretended

PICTURE = PIL.Image.new("RGB", (1000, 1000))
PROCESSORS = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5")
"""Families whose processors have classes or settings of their own."""

BUDGETS = (
    PixelBudget(),
    PixelBudget(max_tokens=12),
    PixelBudget(min_tokens=3, max_tokens=48),
    PixelBudget(min_tokens=40, max_tokens=300),
    PixelBudget(max_tokens=64, total_tokens=80),
    PixelBudget(max_long_edge_px=200),
)
SIZES = ((300, 200), (31, 47), (640, 480), (2000, 11), (9, 1500), (1, 1), (333, 777))


@lru_cache(maxsize=1)
def processor_of(name: str) -> Any:
    from qwenvl_kit.testing.processors import build_processor

    return build_processor(FAMILIES[name], 256)


def rules_of(family: Family, tokens: int = 256, context_tokens: int = 4096) -> PlanningRules:
    area = family.token_side_px**2
    limits = PixelLimits(4 * area, tokens * area)
    return PlanningRules(family, limits, limits, context_tokens)


def started(rules: PlanningRules, budget: PixelBudget, **given: Any) -> tuple[Any, MediaLimits]:
    """The rules of a chat with vLLM, and what vLLM was started with."""
    limits = media_limits(rules, budget, given)
    return replace(rules, kept=limits.kept), limits


def longest(limits: MediaLimits, scope: str, rules: PlanningRules) -> float:
    area = limits.arguments["mm_processor_kwargs"][scope]["size"]["longest_edge"]
    return float(area / rules.family.token_side_px**2)


def measures() -> Iterator[Any]:
    for number, (width, height) in enumerate(SIZES):
        yield ImageMeasure(f"{number}", ImagePart(PICTURE), Size(height, width))
    yield VideoMeasure("film", VideoPart([PICTURE] * 4, fps=2), Size(300, 400), 4)
    yield VideoMeasure("three", VideoPart([PICTURE] * 3, fps=2), Size(90, 70), 3)


@pytest.mark.parametrize("context", [None, 300])
@pytest.mark.parametrize("name", PROCESSORS)
def test_the_processor_of_transformers_leaves_every_planned_size_as_it_is(
    name: str, context: int | None
) -> None:
    processor, rules = processor_of(name), rules_of(FAMILIES[name])
    given = {} if context is None else {"max_model_len": context}
    for budget in BUDGETS:
        planned_by, limits = started(rules, budget, **given)
        passed = limits.arguments["mm_processor_kwargs"]
        for measure in measures():
            (plan,) = plan_media([measure], budget, planned_by)
            if context is None or plan.tokens < context:
                assert seen(processor, plan, passed) == plan.resized, (budget, measure)


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen3_vl"])
def test_a_picture_beyond_what_was_passed_would_be_resized(name: str) -> None:
    processor, rules = processor_of(name), rules_of(FAMILIES[name])
    _, limits = started(rules, PixelBudget(max_tokens=12), limit_mm_per_prompt={"video": 0})
    side = 15 * rules.family.token_side_px
    (plan,) = plan_media(
        [ImageMeasure("", ImagePart(PICTURE), Size(side, side))], PixelBudget(), rules
    )
    assert seen(processor, plan, limits.arguments["mm_processor_kwargs"]) != plan.resized


def seen(processor: Any, plan: ImagePlan | VideoPlan, passed: Any) -> Size:
    """The size that the processor gives what the kit would send."""
    shape = (plan.resized.height_px, plan.resized.width_px, 3)
    if isinstance(plan, ImagePlan):
        image = PIL.Image.fromarray(numpy.zeros(shape, numpy.uint8))
        made = processor.image_processor([image], **passed["images_kwargs"])
        grid = made["image_grid_thw"]
    else:
        frames = numpy.zeros((len(plan.frame_indices), *shape), numpy.uint8)
        settings = {"do_sample_frames": False, "return_tensors": "pt"}
        made = processor.video_processor([frames], **settings, **passed["videos_kwargs"])
        grid = made["video_grid_thw"]
    _, rows, columns = (int(count) for count in grid[0])
    patch = processor.image_processor.patch_size
    return Size(rows * patch, columns * patch)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_budget_bounds_the_picture_that_vllm_starts_with(name: str) -> None:
    rules = rules_of(FAMILIES[name], tokens=16384, context_tokens=32768)
    for max_tokens in (512, 2048):
        _, limits = started(
            rules, PixelBudget(max_tokens=max_tokens), limit_mm_per_prompt={"image": 1, "video": 0}
        )
        assert longest(limits, "images_kwargs", rules) == max_tokens


@pytest.mark.parametrize("name", FAMILIES)
def test_a_context_bounds_it_where_the_budget_leaves_more(name: str) -> None:
    rules = rules_of(FAMILIES[name], tokens=16384, context_tokens=32768)
    _, limits = started(rules, PixelBudget(), max_model_len=2048)
    frames = 1 if rules.family.video_limit_scope == "frame" else 2
    assert longest(limits, "images_kwargs", rules) == 2048
    assert longest(limits, "videos_kwargs", rules) == 2048 * frames


def test_the_longest_video_of_a_context_keeps_its_place_in_vllms_cache() -> None:
    rules = rules_of(FAMILIES["qwen2_vl"], tokens=16384, context_tokens=32768)
    _, limits = started(rules, PixelBudget(max_tokens=512), limit_mm_per_prompt={"video": 1})
    groups = 7  # of two frames: what vLLM counts with
    counted = groups * longest(limits, "images_kwargs", rules)
    assert rules.context_tokens - groups < counted <= rules.context_tokens
    _, short = started(rules, PixelBudget(max_tokens=512), max_model_len=2048)
    assert longest(short, "images_kwargs", rules) == 512


def test_sizes_of_the_user_win_and_the_others_are_the_budgets() -> None:
    rules = rules_of(FAMILIES["qwen3_vl"])
    area = rules.family.token_side_px**2
    own = {"images_kwargs": {"size": {"longest_edge": 90 * area, "shortest_edge": area}}, "fps": 1}
    planned_by, limits = started(rules, PixelBudget(), mm_processor_kwargs=own)
    passed = limits.arguments["mm_processor_kwargs"]
    assert passed["images_kwargs"] == own["images_kwargs"]
    assert passed["fps"] == 1
    assert set(passed["videos_kwargs"]["size"]) == {"shortest_edge", "longest_edge"}
    assert planned_by.kept.images == PixelLimits(area, 90 * area)


def test_flat_sizes_of_the_user_hold_for_pictures_and_videos() -> None:
    """As in vLLM 0.32, which hands them to both processors."""
    rules = rules_of(FAMILIES["qwen2_vl"])
    own = {"max_pixels": 60 * rules.family.token_side_px**2}
    planned_by, limits = started(rules, PixelBudget(), mm_processor_kwargs=own)
    assert limits.arguments["mm_processor_kwargs"] == own
    assert planned_by.kept.images.max_pixels == own["max_pixels"]
    assert planned_by.kept.videos.max_pixels == own["max_pixels"]


@pytest.mark.parametrize(
    ("own", "kind"),
    [
        ({"max_pixels": 64 * 28**2}, BudgetError),
        ({"size": {"shortest_edge": 28**2, "longest_edge": 64 * 28**2}}, BudgetError),
        ({"images_kwargs": {"max_pixels": 64 * 28**2}}, BudgetError),
        ({"min_pixels": 900 * 28**2, "max_pixels": 2000 * 28**2}, BudgetError),
        ({"max_pixels": "many"}, InputError),
        ({"max_pixels": 0}, InputError),
        ({"min_pixels": 500 * 28**2, "max_pixels": 28**2}, InputError),
        ({"size": 401408}, InputError),
        ({"images_kwargs": 401408}, InputError),
        ("max_pixels=401408", InputError),
    ],
)
def test_sizes_that_contradict_the_budget_are_refused_before_vllm_starts(
    monkeypatch: pytest.MonkeyPatch, own: Any, kind: type[QwenVLKitError]
) -> None:
    with pretended(monkeypatch, Core()) as arguments:
        with pytest.raises(kind):
            VisionChat.from_vllm(MODEL_FOLDER, budget="quick", mm_processor_kwargs=own)
    assert arguments == {}


def test_the_report_says_what_was_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pretended(monkeypatch, Core()) as arguments:
        limits = {"image": 1, "video": 0}
        with VisionChat.from_vllm(
            MODEL_FOLDER, budget="quick", limit_mm_per_prompt=limits, calibrator=None
        ) as chat:
            told = chat.report()
    passed = arguments["mm_processor_kwargs"]
    assert str(passed) in told["vllm_arguments"]
    assert str(passed["images_kwargs"]["size"]["longest_edge"]) in told["image_limits"]
    assert "512 visual tokens" in told["image_limits"]
    assert "budget" in told["image_limits"]
    assert str(passed["videos_kwargs"]["size"]["longest_edge"]) in told["video_limits"]


def test_a_larger_budget_of_a_request_is_lowered_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"budget": PixelBudget(max_tokens=250), "limit_mm_per_prompt": {"video": 0}}
    with opened(monkeypatch, Core(), **given) as chat:
        plan = chat.plan("?", PICTURE, budget=PixelBudget(max_tokens=900))
        assert plan.visual_tokens <= 250
        assert "instead of" in plan.degradations[0]
        assert chat.plan("?", PICTURE).degradations == ()
        small = PIL.Image.new("RGB", (100, 100))
        assert chat.plan("?", small, budget=PixelBudget(max_tokens=900)).degradations == ()


def test_a_smaller_budget_of_a_request_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(monkeypatch, Core(), budget="quick") as chat:
        plan = chat.plan("?", PICTURE, budget=PixelBudget(min_tokens=1, max_tokens=2))
        assert plan.visual_tokens <= 2
        assert plan.degradations == ()
