"""The sizes of pictures and videos that vLLM is started for, from the budget.

At its start vLLM runs the vision encoder on the largest picture and video that it may be given, to
know the memory that this takes. Without limits that is a picture of 16,384 visual tokens, whatever
the budget. The limits that are passed here never have vLLM resize what the kit sends: they are the
budget's, or wider.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from qwenvl_kit.budget.limits import (
    PixelLimits,
    apply_budget,
    keeps_native_limits,
    total_tokens,
)
from qwenvl_kit.budget.measures import KeptLimits, PlanningRules
from qwenvl_kit.errors import BudgetError, InputError
from qwenvl_kit.options import PixelBudget

_SCOPES = ("images_kwargs", "videos_kwargs")
_PIXELS = ("min_pixels", "max_pixels")

_SHOWN_GROUPS = 7
"""The groups of frames in the longest video that vLLM counts with at its start, for families whose
limits are for one frame (`_MAX_FRAMES_PER_VIDEO` in qwen2_vl.py of vLLM 0.32: 14 frames). A longer
video of smaller frames is refused if it takes more tokens than that one."""


@dataclass(frozen=True)
class MediaLimits:
    """The sizes of pictures and videos that vLLM is started for.

    Attributes:
        kept: the limits that a plan has to keep.
        arguments: the arguments of `vllm.LLM` that say so; those of the user are in them.
        facts: the same in words.
    """

    kept: KeptLimits
    arguments: Mapping[str, Any]
    facts: Mapping[str, str]


def media_limits(
    rules: PlanningRules, budget: PixelBudget, given: Mapping[str, Any]
) -> MediaLimits:
    """Return the limits to start vLLM with.

    Args:
        rules: the checkpoint's own rules for planning.
        budget: the budget of requests that have none of their own.
        given: the user's arguments for `vllm.LLM`. Sizes in its `mm_processor_kwargs` win.

    Raises:
        BudgetError: sizes that the user gave do not allow what the budget asks for.
        InputError: the user's `mm_processor_kwargs` are not what vLLM takes.
    """
    users = _checked(given.get("mm_processor_kwargs"))
    length = given.get("max_model_len")
    if isinstance(length, int) and 0 < length < rules.context_tokens:  # vLLM refuses what is wrong
        rules = replace(rules, context_tokens=length)
    by_budget = _by_budget(rules, budget, _allows_videos(given))
    images, videos = (
        _users_limits(users, scope, published)
        for scope, published in zip(_SCOPES, (rules.image_limits, rules.video_limits))
    )
    _check_against(budget, images, rules, "pictures")
    if rules.family.video_limit_scope == "frame" and _allows_videos(given):
        _check_against(budget, videos, rules, "frames")
    kept = KeptLimits(images or by_budget.images, videos or by_budget.videos)
    ours = _in_context(by_budget, rules, given.get("max_model_len"))
    sizes = {
        scope: {**(users.get(scope) or {}), "size": _size(limits)}
        for scope, users_limits, limits in (
            (_SCOPES[0], images, ours.images),
            (_SCOPES[1], videos, ours.videos),
        )
        if users_limits is None
    }
    passed = {**users, **sizes}
    return MediaLimits(kept, {"mm_processor_kwargs": passed}, _facts(kept, ours, sizes, rules))


def _by_budget(rules: PlanningRules, budget: PixelBudget, allows_videos: bool) -> KeptLimits:
    """The widest sizes that the kit sends under a budget."""
    family = rules.family
    token_area = family.token_side_px**2
    total = total_tokens(budget, family.token_side_px)

    def widest(published: PixelLimits) -> int:
        area = apply_budget(budget, published, family.token_side_px).max_pixels
        if total is not None:
            area = min(area, total * token_area)
        # A strip keeps one token a side, and may take more than its budget.
        area = max(area, math.ceil(family.max_aspect_ratio) * token_area)
        if family.video_limit_scope == "frame" and allows_videos:
            longest = min(rules.context_tokens, total or rules.context_tokens)
            group = longest // _SHOWN_GROUPS * token_area  # vLLM counts no group beyond the context
            area = max(area, min(group, published.max_pixels))
        return area

    images = widest(rules.image_limits)
    if family.video_limit_scope == "frame":
        return KeptLimits(
            PixelLimits(token_area, images), PixelLimits(token_area, widest(rules.video_limits))
        )
    videos = rules.video_limits.max_pixels
    if total is not None:
        videos = min(videos, total * token_area * family.temporal_patch_frames)
    return KeptLimits(PixelLimits(token_area, images), PixelLimits(token_area, videos))


def _in_context(limits: KeptLimits, rules: PlanningRules, max_model_len: object) -> KeptLimits:
    """The limits without sizes that are longer than the context, which are never sent."""
    if not isinstance(max_model_len, int) or max_model_len < 1:  # vLLM chooses, or refuses it
        return limits
    family = rules.family
    most = max_model_len * family.token_side_px**2
    frames = 1 if family.video_limit_scope == "frame" else family.temporal_patch_frames
    return KeptLimits(limits.images.capped(most), limits.videos.capped(most * frames))


def _checked(given: object) -> Mapping[str, Any]:
    """The user's `mm_processor_kwargs`; empty if there are none."""
    users = _mapping(given, given)
    for part in (users, *(_mapping(users.get(scope), given) for scope in _SCOPES)):
        _mapping(part.get("size"), given)
    return users


def _mapping(value: object, given: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    raise InputError(
        f"mm_processor_kwargs={given!r} was given",
        expected='a mapping, such as {"max_pixels": 401408} or {"images_kwargs": {"size": '
        '{"shortest_edge": 3136, "longest_edge": 401408}}}',
    )


def _users_limits(
    users: Mapping[str, Any], scope: str, published: PixelLimits
) -> PixelLimits | None:
    """The limits that the user gave for pictures or videos; None if there are none.

    Settings of a scope win over those for both, and pixels over sizes, as in vLLM
    (`_resolve_mm_processor_kwargs` and `_get_vision_size` of vLLM 0.32).
    """
    parts = (users, users.get(scope) or {})
    sizes: dict[str, Any] = {}
    pixels: dict[str, Any] = {}
    for part in parts:
        sizes.update(part.get("size") or {})
        pixels.update({name: part[name] for name in _PIXELS if part.get(name) is not None})
    low = pixels.get("min_pixels", sizes.get("shortest_edge"))
    high = pixels.get("max_pixels", sizes.get("longest_edge"))
    if low is None and high is None:
        return None
    for value in (low, high):
        if value is not None and (type(value) is not int or value < 1):
            raise InputError(
                f"mm_processor_kwargs has an area of {value!r} pixels",
                expected="a whole number above 0",
            )
    limits = PixelLimits(
        published.min_pixels if low is None else low, published.max_pixels if high is None else high
    )
    if limits.min_pixels > limits.max_pixels:
        raise InputError(
            f"mm_processor_kwargs allow {limits.min_pixels} to {limits.max_pixels} pixels, the "
            "checkpoint's own limit where they leave one out",
            expected="a least area that is not above the most",
        )
    return limits


def _check_against(
    budget: PixelBudget, given: PixelLimits | None, rules: PlanningRules, what: str
) -> None:
    """Raise an error if the user's own sizes do not allow what the budget asks for."""
    if given is None or keeps_native_limits(budget):
        return
    side_px = rules.family.token_side_px
    asked = apply_budget(budget, rules.image_limits, side_px)
    if asked.max_pixels <= given.max_pixels and given.min_pixels <= asked.max_pixels:
        return
    raise BudgetError(
        f"the budget allows {what} of {asked.min_pixels} to {asked.max_pixels} pixels, and with "
        f"mm_processor_kwargs vLLM would resize them to {given.min_pixels} to {given.max_pixels}",
        expected="limits for vLLM that are at least as wide as the budget",
        hint="leave min_pixels, max_pixels and size out, which are then taken from the budget; or "
        f"budget=PixelBudget(max_tokens={given.max_pixels // side_px**2})",
    )


def _allows_videos(given: Mapping[str, Any]) -> bool:
    """True if a prompt may have a video: `limit_mm_per_prompt` does not say 0."""
    limit = given.get("limit_mm_per_prompt")
    video = limit.get("video") if isinstance(limit, Mapping) else None
    count = video.get("count") if isinstance(video, Mapping) else video
    return count != 0


def _size(limits: PixelLimits) -> dict[str, int]:
    """The limits as processors of transformers take them: areas in pixels, despite their names."""
    return {"shortest_edge": limits.min_pixels, "longest_edge": limits.max_pixels}


def _facts(
    kept: KeptLimits, ours: KeptLimits, sizes: Mapping[str, Any], rules: PlanningRules
) -> dict[str, str]:
    """The limits in words, and where they come from."""
    family = rules.family
    token_area = family.token_side_px**2
    facts: dict[str, str] = {}
    for scope, name, asked, own, what in (
        (_SCOPES[0], "image_limits", kept.images, ours.images, "a picture"),
        (_SCOPES[1], "video_limits", kept.videos, ours.videos, f"a {family.video_limit_scope}"),
    ):
        is_ours = scope in sizes
        limits = own if is_ours else asked
        origin = "by budget and context" if is_ours else "by mm_processor_kwargs"
        frames = family.temporal_patch_frames if what == "a video" else 1
        facts[name] = (
            f"{limits.min_pixels} to {limits.max_pixels} pixels for {what}, at most "
            f"{limits.max_pixels // (token_area * frames)} visual tokens, {origin}"
        )
    return facts
