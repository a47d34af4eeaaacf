"""What a plan says is what runs: grids, frames and prompt length, for any mix of media."""

from __future__ import annotations

import numpy
import PIL.Image
import torch
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from qwenvl_kit import ImagePart, Message, PixelBudget, Plan, Region, Request, VideoPart, VisionChat
from qwenvl_kit.backends.local import LocalBackend
from qwenvl_kit.errors import BudgetError
from tests.by_hand import backend_request, batch_of

SIDES = st.one_of(st.integers(1, 40), st.integers(1, 400), st.integers(400, 2500))
PARTS_OF_TEXT = st.sampled_from(["What?", "Compare <|image_pad|> these.", "é 漢字\n", "a" * 50])


@st.composite
def budgets(draw):
    low, high = sorted(draw(st.tuples(st.integers(1, 200), st.integers(1, 200))))
    return draw(
        st.sampled_from(
            [
                PixelBudget(low, high),
                PixelBudget(max_tokens=high),
                PixelBudget(total_tokens=high + 200, max_tokens=high),
                PixelBudget.from_pixels(max_pixels=high * 900),
                PixelBudget(max_tokens=high, max_long_edge_px=40 + high * 3),
            ]
        )
    )


@st.composite
def images(draw):
    width, height = draw(SIDES), draw(SIDES)
    source = PIL.Image.new("L", (width, height))
    settings_ = draw(st.sampled_from(["whole", "exact", "crop", "own budget"]))
    if settings_ == "exact":
        sides = draw(st.integers(1, 300)), draw(st.integers(1, 300))
        return ImagePart(source, height_px=sides[0], width_px=sides[1])
    if settings_ == "crop":
        return ImagePart(source, crop=Region(width // 3, height // 3, width, height))
    return ImagePart(source, budget=draw(budgets()) if settings_ == "own budget" else None)


@st.composite
def videos(draw):
    width, height = draw(st.integers(20, 300)), draw(st.integers(20, 300))
    frames = numpy.zeros((draw(st.integers(1, 9)), height, width, 3), numpy.uint8)
    rate = draw(st.sampled_from([0.5, 1, 2, 29.97]))
    return VideoPart(frames, fps=rate, num_frames=draw(st.sampled_from([None, 1, 3, 4])))


@st.composite
def conversations(draw):
    kinds = st.one_of(images(), images(), videos(), PARTS_OF_TEXT)
    turns = [Message.system("Be brief.")] if draw(st.booleans()) else []
    if draw(st.booleans()):
        turns += [Message.user(draw(images()), "What?"), Message.assistant("A <|im_end|> cat.")]
    return [*turns, Message.user(*draw(st.lists(kinds, min_size=1, max_size=3)), "Well?")]


@given(conversations(), budgets(), st.sampled_from(["refuse", "shrink"]))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_planned_is_what_is_run(
    chat: VisionChat, conversation: list[Message], budget: PixelBudget, fit: str
) -> None:
    request = Request(conversation, budget=budget, fit=fit)  # type: ignore[arg-type]
    try:
        plan = chat._pipeline.plan(chat._pipeline.resolve(request))
    except BudgetError:  # the minimums of the parts are more than the total
        reject()
    prepared = backend_request(chat, request)
    assert prepared.plan == plan
    batch = batch_of(chat, [prepared])
    assert batch["input_ids"].shape[1] == plan.prompt_tokens
    _check_grids(plan, batch, chat)
    kinds = batch["mm_token_type_ids"]
    assert int((kinds > 0).sum()) == plan.visual_tokens


def _check_grids(plan: Plan, batch: dict[str, torch.Tensor], chat: VisionChat) -> None:
    family = chat._backend.rules.family
    side_px, frames = family.patch_side_px, family.temporal_patch_frames
    images = [(1, image.resized) for image in plan.images]
    videos = [(-(-len(video.frame_indices) // frames), video.resized) for video in plan.videos]
    for entries, name in ((images, "image_grid_thw"), (videos, "video_grid_thw")):
        expected = [[t, size.height_px // side_px, size.width_px // side_px] for t, size in entries]
        assert (batch[name].tolist() if name in batch else []) == expected


@st.composite
def shapes(draw):
    """Sizes that every processor takes: no side under one token, no strip beyond 200 to 1."""
    short = draw(st.integers(32, 900))
    longest = min(short * 200, 500_000 // short)
    long = draw(st.integers(short, max(short, longest)))
    return (short, long) if draw(st.booleans()) else (long, short)


@given(shapes())
@settings(max_examples=200, deadline=None)
def test_a_picture_gets_the_size_that_the_checkpoint_gives_it(
    chat: VisionChat, backend: LocalBackend, shape: tuple[int, int]
) -> None:
    picture = PIL.Image.new("RGB", shape)
    (image,) = chat.plan("What?", picture).images
    processor = backend.processor.image_processor
    (grid,) = processor(images=[picture], return_tensors="pt")["image_grid_thw"].tolist()
    assert image.tokens == grid[1] * grid[2] // processor.merge_size**2
    assert image.resized.height_px == grid[1] * processor.patch_size


@given(st.tuples(st.integers(32, 300), st.integers(32, 300)), st.integers(2, 30))
@settings(max_examples=100, deadline=None)
def test_a_video_gets_the_size_that_the_checkpoint_gives_it(
    chat: VisionChat, backend: LocalBackend, shape: tuple[int, int], num_frames: int
) -> None:
    frames = numpy.zeros((num_frames, *shape, 3), numpy.uint8)
    (video,) = chat.plan([Message.user(VideoPart(frames, fps=2), "What?")]).videos
    processor = backend.processor.video_processor
    features = processor(
        videos=[frames], do_sample_frames=False, cap_pixels_per_frame=False, return_tensors="pt"
    )
    (grid,) = features["video_grid_thw"].tolist()
    assert video.tokens == grid[0] * grid[1] * grid[2] // processor.merge_size**2
    assert video.resized.height_px == grid[1] * processor.patch_size
