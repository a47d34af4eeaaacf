"""Fitting of requests that are longer than the context: advice, and smaller media plans."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias, Union

from qwenvl_kit.budget.measures import Measure, PlanningRules, VideoMeasure
from qwenvl_kit.budget.planning import least_tokens, plan_media
from qwenvl_kit.errors import ContextLengthError
from qwenvl_kit.options import PixelBudget
from qwenvl_kit.plans import ImagePlan, Plan, VideoPlan

MediaPlans: TypeAlias = tuple[Union[ImagePlan, VideoPlan], ...]
CountPrompt: TypeAlias = Callable[[MediaPlans], int]
"""A function that returns the length of the rendered prompt in tokens. The length depends on the
number of frames in families that write the time of each group before it."""


def fit_media(
    measures: Sequence[Measure],
    budget: PixelBudget,
    rules: PlanningRules,
    count_prompt: CountPrompt,
    max_new_tokens: int,
) -> tuple[MediaPlans, tuple[str, ...]]:
    """Return media plans that leave room in the context for the answer, and the losses in words.

    The tokens that text and answer leave are shared by `share_tokens`: each picture and frame
    keeps its minimum, and the rest is shared by area. If the minimums alone are too many, videos
    lose frames, each the same share of them. Room is kept for the whole answer, but for at most
    half the context.

    Raises:
        ContextLengthError: one frame of each video and the minimum of each picture are too many.
    """
    natural = plan_media(measures, budget, rules)
    answer_tokens = min(max_new_tokens, max(1, rules.context_tokens // 2))
    if count_prompt(natural) + answer_tokens <= rules.context_tokens:
        return natural, ()
    fitted = _shrink(measures, budget, rules, count_prompt, answer_tokens)
    return fitted, tuple(_losses(natural, fitted))


def advise(
    plan: Plan, measures: Sequence[Measure], budget: PixelBudget, rules: PlanningRules
) -> tuple[str, ...]:
    """Return advice on how to make a request fit, in words; empty if it fits."""
    if not plan.fits_context:
        return tuple(_advise_context(plan, least_tokens(measures, budget, rules)))
    if plan.fits_memory is False:
        return (
            f"a smaller budget, fewer pictures or frames, or a shorter answer: it takes "
            f"{plan.needed_bytes} bytes without the weights, and {plan.available_bytes} are free",
        )
    return ()


def _advise_context(plan: Plan, least: int) -> Iterator[str]:
    text_tokens = plan.prompt_tokens - plan.visual_tokens
    room_tokens = plan.context_tokens - text_tokens - 1
    if plan.visual_tokens and room_tokens >= least:
        yield f"budget=PixelBudget(total_tokens={room_tokens}), the most that leaves one token"
    if plan.visual_tokens:
        yield "fit='shrink', which shrinks pictures and takes fewer frames until all fits"
    for video in plan.videos:
        if len(video.frame_indices) > 1:
            yield f"fewer frames of {video.where}: fps=... or num_frames=..."
    if not plan.visual_tokens or room_tokens < 1:
        yield f"less text: it takes {text_tokens} of {plan.context_tokens} tokens"


def _shrink(
    measures: Sequence[Measure],
    budget: PixelBudget,
    rules: PlanningRules,
    count_prompt: CountPrompt,
    answer_tokens: int,
) -> MediaPlans:
    while True:
        plans = plan_media(measures, replace(budget, total_tokens=None, total_pixels=None), rules)
        text_tokens = count_prompt(plans) - sum(plan.tokens for plan in plans)
        room_tokens = rules.context_tokens - answer_tokens - text_tokens
        least = least_tokens(measures, budget, rules)
        if least <= room_tokens:
            return plan_media(measures, budget, rules, max_tokens=room_tokens)
        thinner = [
            _thinned(measure, plan, max(0, room_tokens) / least)
            for measure, plan in zip(measures, plans)
        ]
        if all(after is before for after, before in zip(thinner, measures)):
            raise ContextLengthError(
                f"text and pictures need at least {text_tokens + least} tokens, and the answer "
                f"{answer_tokens}",
                expected=f"at most the model's context of {rules.context_tokens}",
                hint="less text, fewer pictures, a smaller min_tokens, or a shorter answer",
            )
        measures = thinner


def _thinned(measure: Measure, plan: ImagePlan | VideoPlan, share: float) -> Measure:
    """A video with about this share of its frames, at least one less; a picture is unchanged."""
    if not isinstance(measure, VideoMeasure) or not isinstance(plan, VideoPlan):
        return measure
    num_frames = len(plan.frame_indices)
    if num_frames == 1:
        return measure
    fewer = max(1, min(num_frames - 1, int(num_frames * share)))
    return replace(measure, part=replace(measure.part, num_frames=fewer, min_frames=None))


def _losses(natural: MediaPlans, fitted: MediaPlans) -> Iterator[str]:
    for before, after in zip(natural, fitted):
        if isinstance(before, VideoPlan) and isinstance(after, VideoPlan):
            num_before, num_after = len(before.frame_indices), len(after.frame_indices)
            if num_before != num_after:
                yield f"{before.where}: {num_after} frames instead of {num_before}"
        if before.resized != after.resized:
            yield f"{before.where}: resized to {after.resized} instead of {before.resized}"
