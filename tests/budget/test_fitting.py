"""A request beyond the context is told what would help, or made to fit."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit import (
    ImagePart,
    Message,
    PixelBudget,
    Request,
    Sampling,
    VideoPart,
    VisionChat,
)
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import BudgetError, ContextLengthError, OutOfMemoryError
from tests.budget.test_planning import SHAPE

FAMILIES = st.sampled_from(["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])


def _chat(context_tokens=1000, family="qwen2_vl"):
    backend = ScriptedBackend(lambda _: "yes", context_tokens=context_tokens, family=family)
    return VisionChat(backend)


def _picture(width, height):
    return PIL.Image.new("L", (width, height))


@st.composite
def conversations(draw):
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        picture = _picture(draw(st.integers(20, 1500)), draw(st.integers(20, 1500)))
        frames = draw(st.one_of(st.none(), st.integers(1, 24)))
        parts.append(ImagePart(picture) if frames is None else VideoPart([picture] * frames, fps=2))
    return [Message.user(*parts, "What is to be seen here?")]


@given(conversations(), FAMILIES, st.integers(60, 1200), st.integers(1, 400))
@settings(max_examples=150, deadline=None)
def test_what_was_shrunk_fits_with_room_for_the_whole_answer(
    conversation, family, context_tokens, answer_tokens
):
    chat = _chat(context_tokens, family)
    sampling = Sampling(max_new_tokens=answer_tokens)
    try:
        plan = chat.plan(conversation, fit="shrink", sampling=sampling)
    except ContextLengthError:  # the least of everything is too much
        assert sum(4 for _ in conversation[0].parts) + answer_tokens > context_tokens / 4
        return
    assert plan.fits
    assert plan.max_new_tokens >= min(answer_tokens, context_tokens // 2)
    natural = chat.plan(conversation, sampling=sampling)
    if natural.prompt_tokens + min(answer_tokens, context_tokens // 2) > context_tokens:
        assert any("instead of" in loss for loss in plan.degradations)
    else:
        assert plan == natural


@given(conversations(), FAMILIES, st.integers(60, 1200))
@settings(max_examples=100, deadline=None)
def test_a_budget_that_a_plan_advises_makes_the_request_fit(conversation, family, context_tokens):
    chat = _chat(context_tokens, family)
    plan = chat.plan(conversation)
    assert plan.fits == (not plan.advice)
    advised = [text for text in plan.advice if "total_tokens" in text]
    if advised:
        total = int(advised[0].partition("total_tokens=")[2].partition(")")[0])
        assert chat.plan(conversation, budget=PixelBudget(total_tokens=total)).fits


def test_a_request_beyond_the_context_is_refused_by_default_with_advice():
    with pytest.raises(ContextLengthError, match=r"fit='shrink'"):
        _chat(300).ask("What?", _picture(1500, 1500))


def test_a_shrunk_reply_says_what_was_given_up():
    video = VideoPart([_picture(500, 500)] * 40, fps=2)
    reply = _chat(110).ask("What?", video, fit="shrink", sampling=Sampling(max_new_tokens=50))
    assert reply.plan.fits
    assert any("frames instead of 40" in loss for loss in reply.plan.degradations)


def test_a_least_number_of_frames_is_given_up_and_told_where_the_context_is_too_short():
    video = VideoPart([_picture(500, 500)] * 40, fps=2, min_frames=30, max_frames=36)
    plan = _chat(110).plan("What?", video, fit="shrink", sampling=Sampling(max_new_tokens=50))
    assert plan.fits
    assert any("frames instead of 36" in loss for loss in plan.degradations)


def test_frames_that_are_left_out_are_left_out_evenly():
    video = VideoPart([_picture(500, 500)] * 40, fps=2)
    plan = _chat(110).plan("What?", video, fit="shrink", sampling=Sampling(max_new_tokens=50))
    indices = plan.videos[0].frame_indices
    gaps = {b - a for a, b in pairwise(indices)}
    assert (indices[0], indices[-1]) == (0, 39)
    assert max(gaps) - min(gaps) <= 1


def test_exact_sizes_are_kept_when_the_rest_is_shrunk():
    exact = ImagePart(_picture(900, 900), height_px=280, width_px=280)
    plan = _chat(400).plan(
        [Message.user(exact, ImagePart(_picture(900, 900)), "What?")],
        fit="shrink",
        sampling=Sampling(max_new_tokens=50),
    )
    assert plan.images[0].tokens == 100
    assert plan.fits


def test_every_entrance_can_shrink():
    chat, big = _chat(300), _picture(1500, 1500)
    sampling = Sampling(max_new_tokens=20)
    assert chat.ask("What?", big, fit="shrink", sampling=sampling).plan.degradations
    assert chat.stream("What?", big, fit="shrink", sampling=sampling).reply.plan.degradations
    given = [Request.about("What?", big, fit="shrink"), Request.about("What?", big)]
    first, second = chat.ask_many(given, sampling=sampling)
    assert first.plan.degradations
    assert isinstance(second.error, ContextLengthError)
    (third,) = chat.ask_many(given[1:], sampling=sampling, fit="shrink")
    assert third.plan.degradations
    answer = chat.start().ask("What?", big, fit="shrink", sampling=sampling)
    assert answer.plan.degradations


def test_what_cannot_be_shrunk_enough_is_refused():
    parts = [ImagePart(_picture(300, 300), budget=PixelBudget(min_tokens=80))] * 5
    with pytest.raises(ContextLengthError, match="text and pictures need at least"):
        _chat(300).plan([Message.user(*parts, "What?")], fit="shrink")


@pytest.mark.parametrize("fit", ["crop", True, 3])
def test_another_word_for_fit_is_refused(fit):
    with pytest.raises(BudgetError, match="'refuse' or 'shrink'"):
        _chat().ask("What?", fit=fit)


class _SmallDevice(ScriptedBackend):
    """A model on a device that has a megabyte left."""

    @property
    def rules(self):
        return replace(super().rules, shape=SHAPE)

    def free_bytes(self):
        return 1_000_000


def test_a_request_that_the_device_has_no_memory_for_is_refused_before_it_runs():
    chat = VisionChat(_SmallDevice(lambda _: "yes"))
    assert chat.plan("Hi", sampling=Sampling(max_new_tokens=10)).fits
    plan = chat.plan("Hi", sampling=Sampling(max_new_tokens=4000))
    assert (plan.fits, plan.fits_context, plan.fits_memory) == (False, True, False)
    assert plan.advice
    with pytest.raises(OutOfMemoryError, match="bytes beside the model"):
        chat.ask("Hi", sampling=Sampling(max_new_tokens=4000))
