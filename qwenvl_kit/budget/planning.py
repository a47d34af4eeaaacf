"""Planning: the plan of a request, from the sizes of its pictures and videos."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from qwenvl_kit.budget.frames import choose_frames, sample_frames
from qwenvl_kit.budget.limits import (
    PixelLimits,
    apply_budget,
    keeps_native_limits,
    total_tokens,
)
from qwenvl_kit.budget.measures import (
    ImageMeasure,
    KeptLimits,
    Measure,
    PlanningRules,
    VideoMeasure,
    times_of,
)
from qwenvl_kit.budget.memory import predict_activation_bytes, predict_cache_bytes
from qwenvl_kit.budget.sizes import (
    check_video_shape,
    crop_size,
    exact_size,
    fit_size,
    fit_video_size,
    pad_size,
    shrink_size,
)
from qwenvl_kit.budget.tokens import count_tokens, share_tokens
from qwenvl_kit.errors import BudgetError, located
from qwenvl_kit.families import Family
from qwenvl_kit.geometry import Size
from qwenvl_kit.messages.message import ImagePart, VideoPart
from qwenvl_kit.options import PixelBudget, as_budget
from qwenvl_kit.plans import ImagePlan, Plan, VideoPlan


def plan_media(
    measures: Sequence[Measure],
    budget: PixelBudget,
    rules: PlanningRules,
    max_tokens: int | None = None,
) -> tuple[ImagePlan | VideoPlan, ...]:
    """Plan the resized size and the tokens of each picture and video, in order.

    Args:
        measures: size of each picture, and size and times of each video.
        budget: budget of those that have none of their own.
        rules: rules of the model.
        max_tokens: most tokens of all together, in addition to the budget's own total.

    Raises:
        MediaSizeError: the family cannot take a picture of that size.
        VideoTimingError: frames have no usable times.
        BudgetError: a total is too small, or the server would change a size.
    """
    plans = _plan_freely(measures, budget, rules, max_tokens)
    if rules.kept is not None:
        for plan in plans:
            with located(plan.where):
                _check_kept(plan, rules.kept, rules.family)
    return plans


def _plan_freely(
    measures: Sequence[Measure],
    budget: PixelBudget,
    rules: PlanningRules,
    max_tokens: int | None,
) -> tuple[ImagePlan | VideoPlan, ...]:
    plans = [_plan_alone(measure, budget, rules) for measure in measures]
    totals = (total_tokens(budget, rules.family.token_side_px), max_tokens)
    total = min((limit for limit in totals if limit is not None), default=None)
    if total is None or sum(plan.tokens for plan in plans) <= total:
        return tuple(plans)
    with located("budget"):
        return _plan_shared(measures, plans, total, budget, rules)


def narrowed_by_engine(
    measures: Sequence[Measure], budget: PixelBudget, rules: PlanningRules
) -> tuple[str, ...]:
    """Return, in words, the budgets that allow more than the engine was started for.

    A picture or video is told of only if it is resized to another size for that.

    Args:
        measures: size of each picture, and size and times of each video.
        budget: budget of those that have none of their own.
        rules: rules of the model.
    """
    if rules.kept is None:
        return ()
    free = replace(rules, kept=None)
    return tuple(
        f"{wanted.where}: resized to {given.resized} instead of {wanted.resized}, as the engine "
        "was started for other sizes than this budget allows"
        for measure in measures
        if _limits(measure, budget, free) != _limits(measure, budget, rules)
        for wanted, given in [
            (_plan_alone(measure, budget, free), _plan_alone(measure, budget, rules))
        ]
        if wanted.resized != given.resized
    )


def plan_request(
    media: Sequence[ImagePlan | VideoPlan],
    prompt_tokens: int,
    max_new_tokens: int,
    rules: PlanningRules,
    *,
    available_bytes: int | None = None,
    degradations: tuple[str, ...] = (),
) -> Plan:
    """Build the plan of a request, once the length of the rendered prompt is known.

    Args:
        media: plan of each picture and video.
        prompt_tokens: length of the rendered prompt.
        max_new_tokens: most tokens of the answer that the caller asked for.
        rules: rules of the model.
        available_bytes: free memory of the device; None if not known.
        degradations: losses so far, in words.
    """
    room_tokens = max(0, rules.context_tokens - prompt_tokens)
    answer_tokens = min(max_new_tokens, room_tokens)
    if 0 < answer_tokens < max_new_tokens:
        degradations += (
            f"max_new_tokens reduced from {max_new_tokens} to {answer_tokens}: prompt and answer "
            f"share a context of {rules.context_tokens} tokens",
        )
    return Plan(
        prompt_tokens=prompt_tokens,
        visual_tokens=sum(plan.tokens for plan in media),
        images=tuple(plan for plan in media if isinstance(plan, ImagePlan)),
        videos=tuple(plan for plan in media if isinstance(plan, VideoPlan)),
        max_new_tokens=answer_tokens,
        context_tokens=rules.context_tokens,
        kv_cache_bytes=_cache_bytes(rules, prompt_tokens, answer_tokens),
        activation_bytes=_activation_bytes(rules, media, prompt_tokens, answer_tokens),
        weight_bytes=rules.weight_bytes,
        available_bytes=available_bytes,
        degradations=degradations,
    )


def _cache_bytes(rules: PlanningRules, prompt_tokens: int, answer_tokens: int) -> int | None:
    if rules.shape is None:
        return None
    return predict_cache_bytes(rules.shape, prompt_tokens, answer_tokens)


def _activation_bytes(
    rules: PlanningRules,
    media: Sequence[ImagePlan | VideoPlan],
    prompt_tokens: int,
    answer_tokens: int,
) -> int | None:
    if rules.shape is None:
        return None
    return predict_activation_bytes(rules.shape, media, rules.family, prompt_tokens, answer_tokens)


def _limits(measure: Measure, budget: PixelBudget, rules: PlanningRules) -> PixelLimits:
    own = measure.part.budget
    chosen = budget if own is None else as_budget(own)
    published = _limits_of(measure, rules.as_published, rules.family)
    limits = apply_budget(chosen, published, rules.family.token_side_px)
    if rules.kept is None:
        return limits
    return limits.within(_limits_of(measure, rules.kept, rules.family))


def _limits_of(measure: Measure, limits: KeptLimits, family: Family) -> PixelLimits:
    """The limits of a picture, or of one frame of a video."""
    if isinstance(measure, ImageMeasure):
        return limits.images
    if family.video_limit_scope == "frame":
        return limits.videos
    with located(measure.where):
        return limits.videos.shared_by(len(chosen_frames(measure)))


def _plan_alone(
    measure: Measure, budget: PixelBudget, rules: PlanningRules
) -> ImagePlan | VideoPlan:
    """The plan of one part by its own budget, including the total of that budget."""
    own = None if measure.part.budget is None else as_budget(measure.part.budget)
    plan = _plan_within(measure, _limits(measure, budget, rules), rules)
    is_native = keeps_native_limits(own or budget) and not _is_exact(measure)
    if isinstance(plan, VideoPlan) and is_native:
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
        if isinstance(measure, ImageMeasure):
            return _plan_image(measure, limits, rules.family)
        check_video_shape(measure.size, rules.family)
        return _plan_video(measure, limits, rules.family)


def _plan_image(measure: ImageMeasure, limits: PixelLimits, family: Family) -> ImagePlan:
    part, side_px = measure.part, family.token_side_px
    shown = padded = crop_size(measure.size, part.crop)
    resized = _asked_size(part, family)
    if resized is None:
        padded = pad_size(shown, family)
        resized = fit_size(padded, limits, side_px)
    return ImagePlan(
        where=measure.where,
        original=measure.size,
        resized=resized,
        tokens=count_tokens(resized, side_px),
        crop=part.crop,
        padded=None if padded == shown else padded,
        orientation=measure.orientation,
    )


def _asked_size(part: ImagePart | VideoPart, family: Family) -> Size | None:
    """The exact size that the user asked for; None if the limits decide the size."""
    if part.height_px is None or part.width_px is None:
        return None
    return exact_size(Size(part.height_px, part.width_px), family.token_side_px)


def chosen_frames(measure: VideoMeasure) -> tuple[int, ...]:
    """Return the indices of the frames of a video that are shown.

    Raises:
        VideoTimingError: no frame lies between its start and end, or frames have no usable times.
    """
    if measure.times_seconds is not None:
        return sample_frames(measure.part, measure.times_seconds)
    return choose_frames(measure.part, times_of(measure))


def _plan_video(measure: VideoMeasure, limits: PixelLimits, family: Family) -> VideoPlan:
    times = times_of(measure)
    chosen = chosen_frames(measure)
    resized = _asked_size(measure.part, family)
    resized = resized or fit_size(measure.size, limits, family.token_side_px)
    return VideoPlan(
        where=measure.where,
        original=measure.size,
        resized=resized,
        frame_indices=chosen,
        timestamps_seconds=tuple(times[index] for index in chosen),
        tokens=_num_groups(len(chosen), family) * count_tokens(resized, family.token_side_px),
        duration_seconds=None if measure.times_seconds is None else times[-1],
    )


def _with_native_size(plan: VideoPlan, rules: PlanningRules) -> VideoPlan:
    """The plan with exactly the size that the checkpoint's own processor gives the frames.

    If the limits are for all frames together, the size depends on the way in which the processor
    rounds the number of frames.
    """
    family = rules.family
    if family.video_limit_scope == "frame":
        return plan
    num_frames = len(plan.frame_indices)
    limits = rules.video_limits
    resized = fit_video_size(
        plan.original,
        num_frames,
        limits if rules.kept is None else limits.within(rules.kept.videos),
        family.token_side_px,
        family.temporal_patch_frames,
    )
    tokens = _num_groups(num_frames, family) * count_tokens(resized, family.token_side_px)
    return replace(plan, resized=resized, tokens=tokens)


def _check_kept(plan: ImagePlan | VideoPlan, kept: KeptLimits, family: Family) -> None:
    """Raise an error if a second resizing, by the engine, would change the size."""
    size = plan.resized
    limits = kept.images if isinstance(plan, ImagePlan) else kept.videos
    if isinstance(plan, ImagePlan) or family.video_limit_scope == "frame":
        again = fit_size(size, limits, family.token_side_px)
    else:
        frames, group = len(plan.frame_indices), family.temporal_patch_frames
        again = fit_video_size(size, frames, limits, family.token_side_px, group)
    if again != size:
        raise BudgetError(
            f"it would be sent at {size}, and the engine's own processor would resize it to "
            f"{again}",
            expected=f"an area of {limits.min_pixels} to {limits.max_pixels} pixels",
            hint="another budget, or other limits for the engine: of a server of vLLM "
            "--mm-processor-kwargs, of from_vllm a larger budget",
        )


def has_native_size(plan: ImagePlan, rules: PlanningRules) -> bool:
    """True if the checkpoint's own processor gives the whole picture the same size."""
    native = fit_size(plan.original, rules.image_limits, rules.family.token_side_px)
    return plan.crop is None and plan.padded is None and plan.resized == native


def _plan_shared(
    measures: Sequence[Measure],
    plans: Sequence[ImagePlan | VideoPlan],
    total: int,
    budget: PixelBudget,
    rules: PlanningRules,
) -> tuple[ImagePlan | VideoPlan, ...]:
    limits = [_limits(measure, budget, rules) for measure in measures]
    groups = [_groups_of(plan, rules.family) for plan in plans]
    least = _least_tokens(measures, plans, budget, rules)
    shares = share_tokens([plan.tokens for plan in plans], least, total)
    return tuple(
        _plan_share(measure, limit, share // count, rules)
        for measure, limit, share, count in zip(measures, limits, shares, groups)
    )


def least_tokens(measures: Sequence[Measure], budget: PixelBudget, rules: PlanningRules) -> int:
    """Return the least tokens of all pictures and frames together, however small a total is."""
    plans = [_plan_alone(measure, budget, rules) for measure in measures]
    least = _least_tokens(measures, plans, budget, rules)
    return sum(min(low, plan.tokens) for low, plan in zip(least, plans))


def _least_tokens(
    measures: Sequence[Measure],
    plans: Sequence[ImagePlan | VideoPlan],
    budget: PixelBudget,
    rules: PlanningRules,
) -> list[int]:
    """The least tokens of each part: its own minimum, or its exact size."""
    token_area = rules.family.token_side_px**2
    return [
        plan.tokens
        if _is_exact(measure)
        else _groups_of(plan, rules.family)
        * math.ceil(_limits(measure, budget, rules).min_pixels / token_area)
        for measure, plan in zip(measures, plans)
    ]


def _plan_share(
    measure: Measure, limits: PixelLimits, max_tokens: int, rules: PlanningRules
) -> ImagePlan | VideoPlan:
    """The plan of a part if each picture, or each group of frames, may take `max_tokens`."""
    side_px = rules.family.token_side_px
    plan = _plan_within(measure, limits.capped(max_tokens * side_px**2), rules)
    if count_tokens(plan.resized, side_px) <= max_tokens or _is_exact(measure):
        return plan
    shown = plan.pixel_map.padded if isinstance(plan, ImagePlan) else measure.size
    resized = shrink_size(shown, max_tokens, side_px)
    tokens = _groups_of(plan, rules.family) * count_tokens(resized, side_px)
    return replace(plan, resized=resized, tokens=tokens)


def _is_exact(measure: Measure) -> bool:
    return measure.part.height_px is not None


def _groups_of(plan: ImagePlan | VideoPlan, family: Family) -> int:
    return 1 if isinstance(plan, ImagePlan) else _num_groups(len(plan.frame_indices), family)


def _num_groups(num_frames: int, family: Family) -> int:
    """The number of groups of frames that share their patches; copies fill up the last group."""
    return math.ceil(num_frames / family.temporal_patch_frames)
