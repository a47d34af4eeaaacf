"""From sizes to the plan of a request."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, Union

from qwenvl_kit.budget.frames import choose_frames, frame_times
from qwenvl_kit.budget.limits import (
    PixelLimits,
    apply_budget,
    keeps_native_limits,
    total_tokens,
)
from qwenvl_kit.budget.resizing import (
    check_size,
    count_tokens,
    exact_size,
    fit_size,
    fit_video_size,
    shrink_size,
)
from qwenvl_kit.budget.sharing import share_tokens
from qwenvl_kit.errors import located
from qwenvl_kit.families import Family
from qwenvl_kit.messages import ImagePart, VideoPart
from qwenvl_kit.options import PixelBudget, as_budget
from qwenvl_kit.plans import ImagePlan, Plan, Size, VideoPlan


@dataclass(frozen=True)
class ImageMeasure:
    """A picture whose size is known and whose pixels are not."""

    where: str
    part: ImagePart
    size: Size


@dataclass(frozen=True)
class VideoMeasure:
    """A sequence of frames whose size and number are known."""

    where: str
    part: VideoPart
    size: Size
    num_frames: int


Measure: TypeAlias = Union[ImageMeasure, VideoMeasure]


@dataclass(frozen=True)
class PlanningRules:
    """What a loaded model lays down for planning.

    Attributes:
        family: the model's family.
        image_limits, video_limits: area of a picture, and of one frame or of all frames of a
            video together (the family's `video_limit_scope`), that the checkpoint's own
            processor settings allow.
        context_tokens: prompt and answer together.
        kv_bytes_per_token: keys and values of one token over all layers; None where not known.
        weight_bytes: the model's weights; None where not known.
    """

    family: Family
    image_limits: PixelLimits
    video_limits: PixelLimits
    context_tokens: int
    kv_bytes_per_token: int | None = None
    weight_bytes: int | None = None


def plan_media(
    measures: Sequence[Measure], budget: PixelBudget, rules: PlanningRules
) -> tuple[ImagePlan | VideoPlan, ...]:
    """The resized size and tokens of each picture and video, in order.

    Raises:
        MediaSizeError: a picture that the family cannot take.
        VideoTimingError: frames without usable times.
        BudgetError: a total that is too small.
    """
    plans = [_plan_alone(measure, budget, rules) for measure in measures]
    total = total_tokens(budget, rules.family.token_side_px)
    if total is None or sum(plan.tokens for plan in plans) <= total:
        return tuple(plans)
    with located("budget"):
        return _plan_shared(measures, plans, total, budget, rules)


def plan_request(
    media: Sequence[ImagePlan | VideoPlan],
    prompt_tokens: int,
    max_new_tokens: int,
    rules: PlanningRules,
) -> Plan:
    """The whole plan, once the length of the rendered prompt is known."""
    room_tokens = max(0, rules.context_tokens - prompt_tokens)
    answer_tokens = min(max_new_tokens, room_tokens)
    degradations: tuple[str, ...] = ()
    if 0 < answer_tokens < max_new_tokens:
        degradations = (
            f"max_new_tokens reduced from {max_new_tokens} to {answer_tokens}: prompt and answer "
            f"share a context of {rules.context_tokens} tokens",
        )
    per_token = rules.kv_bytes_per_token
    return Plan(
        prompt_tokens=prompt_tokens,
        visual_tokens=sum(plan.tokens for plan in media),
        images=tuple(plan for plan in media if isinstance(plan, ImagePlan)),
        videos=tuple(plan for plan in media if isinstance(plan, VideoPlan)),
        max_new_tokens=answer_tokens,
        context_tokens=rules.context_tokens,
        kv_cache_bytes=None if per_token is None else per_token * (prompt_tokens + answer_tokens),
        activation_bytes=None,
        weight_bytes=rules.weight_bytes,
        fits=answer_tokens > 0,
        degradations=degradations,
    )


def _limits(measure: Measure, budget: PixelBudget, rules: PlanningRules) -> PixelLimits:
    own = measure.part.budget
    chosen = budget if own is None else as_budget(own)
    native = rules.image_limits
    if isinstance(measure, VideoMeasure):
        native = rules.video_limits
        if rules.family.video_limit_scope == "video":
            native = native.shared_by(len(_chosen_frames(measure)))
    return apply_budget(chosen, native, rules.family.token_side_px)


def _plan_alone(
    measure: Measure, budget: PixelBudget, rules: PlanningRules
) -> ImagePlan | VideoPlan:
    """The plan of one part by its own budget, a total of its own included."""
    own = None if measure.part.budget is None else as_budget(measure.part.budget)
    plan = _plan_within(measure, _limits(measure, budget, rules), rules)
    if isinstance(plan, VideoPlan) and keeps_native_limits(own or budget):
        plan = _with_native_size(plan, rules)
    total = None if own is None else total_tokens(own, rules.family.token_side_px)
    if total is None or plan.tokens <= total:
        return plan
    with located(f"{measure.where}.budget"):
        return _plan_shared([measure], [plan], total, budget, rules)[0]


def _plan_within(
    measure: Measure, limits: PixelLimits, rules: PlanningRules
) -> ImagePlan | VideoPlan:
    with located(measure.where):
        check_size(measure.size, rules.family)
        if isinstance(measure, ImageMeasure):
            return _plan_image(measure, limits, rules.family.token_side_px)
        return _plan_video(measure, limits, rules.family)


def _plan_image(measure: ImageMeasure, limits: PixelLimits, token_side_px: int) -> ImagePlan:
    part = measure.part
    if part.height_px is not None and part.width_px is not None:
        resized = exact_size(Size(part.height_px, part.width_px), token_side_px)
    else:
        resized = fit_size(measure.size, limits, token_side_px)
    return ImagePlan(
        where=measure.where,
        original=measure.size,
        resized=resized,
        tokens=count_tokens(resized, token_side_px),
    )


def _chosen_frames(measure: VideoMeasure) -> tuple[int, ...]:
    with located(measure.where):
        return choose_frames(measure.part, frame_times(measure.part, measure.num_frames))


def _plan_video(measure: VideoMeasure, limits: PixelLimits, family: Family) -> VideoPlan:
    times = frame_times(measure.part, measure.num_frames)
    chosen = choose_frames(measure.part, times)
    resized = fit_size(measure.size, limits, family.token_side_px)
    return VideoPlan(
        where=measure.where,
        original=measure.size,
        resized=resized,
        frame_indices=chosen,
        timestamps_seconds=tuple(times[index] for index in chosen),
        tokens=_num_groups(len(chosen), family) * count_tokens(resized, family.token_side_px),
    )


def _with_native_size(plan: VideoPlan, rules: PlanningRules) -> VideoPlan:
    """The size that the checkpoint's own processor gives the frames, to the pixel.

    Limits for all frames together are more than limits for one: which size results depends on
    how the processor rounds the number of frames.
    """
    family = rules.family
    if family.video_limit_scope == "frame":
        return plan
    num_frames = len(plan.frame_indices)
    resized = fit_video_size(
        plan.original,
        num_frames,
        rules.video_limits,
        family.token_side_px,
        family.temporal_patch_frames,
    )
    tokens = _num_groups(num_frames, family) * count_tokens(resized, family.token_side_px)
    return replace(plan, resized=resized, tokens=tokens)


def _plan_shared(
    measures: Sequence[Measure],
    plans: Sequence[ImagePlan | VideoPlan],
    total: int,
    budget: PixelBudget,
    rules: PlanningRules,
) -> tuple[ImagePlan | VideoPlan, ...]:
    token_area = rules.family.token_side_px**2
    limits = [_limits(measure, budget, rules) for measure in measures]
    groups = [_groups_of(plan, rules.family) for plan in plans]
    least = [
        plan.tokens if _is_exact(measure) else count * math.ceil(limit.min_pixels / token_area)
        for measure, plan, count, limit in zip(measures, plans, groups, limits)
    ]
    shares = share_tokens([plan.tokens for plan in plans], least, total)
    return tuple(
        _plan_share(measure, limit, share // count, rules)
        for measure, limit, share, count in zip(measures, limits, shares, groups)
    )


def _plan_share(
    measure: Measure, limits: PixelLimits, max_tokens: int, rules: PlanningRules
) -> ImagePlan | VideoPlan:
    """The plan of a part of which one picture, or one group of frames, may take so much."""
    side_px = rules.family.token_side_px
    plan = _plan_within(measure, _capped(limits, max_tokens * side_px**2), rules)
    if count_tokens(plan.resized, side_px) <= max_tokens or _is_exact(measure):
        return plan
    resized = shrink_size(measure.size, max_tokens, side_px)
    tokens = _groups_of(plan, rules.family) * count_tokens(resized, side_px)
    return replace(plan, resized=resized, tokens=tokens)


def _is_exact(measure: Measure) -> bool:
    return isinstance(measure, ImageMeasure) and measure.part.height_px is not None


def _capped(limits: PixelLimits, max_pixels: int) -> PixelLimits:
    return PixelLimits(min(limits.min_pixels, max_pixels), min(limits.max_pixels, max_pixels))


def _groups_of(plan: ImagePlan | VideoPlan, family: Family) -> int:
    return 1 if isinstance(plan, ImagePlan) else _num_groups(len(plan.frame_indices), family)


def _num_groups(num_frames: int, family: Family) -> int:
    """Groups of frames that share their patches; the last is filled with copies."""
    return math.ceil(num_frames / family.temporal_patch_frames)
