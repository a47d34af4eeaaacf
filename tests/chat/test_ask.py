from __future__ import annotations

import io
from collections import UserList

import numpy
import PIL.Image
import pytest

from qwenvl_kit import ImagePart, MediaPolicy, Message, PixelBudget, Sampling, VideoPart, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import (
    BudgetError,
    ContextLengthError,
    GenerationError,
    InputError,
    MediaDecodeError,
    MediaSizeError,
    MessageError,
    SamplingError,
)

RED = PIL.Image.new("RGB", (84, 56), "red")


def _chat(*answers, **options):
    return VisionChat(ScriptedBackend(answers or ["A red picture."], **options))


def _echo(request):
    return request.messages[-1].text


def test_a_question_about_a_picture_is_answered():
    reply = _chat().ask("What is this?", RED)
    assert str(reply) == reply.text == "A red picture."
    assert reply.finish_reason == "stop"


def test_pictures_go_before_the_question_in_the_order_given():
    backend = ScriptedBackend(["x"])
    VisionChat(backend).ask("What?", RED, ImagePart(RED, budget="quick"))
    (request,) = backend.requests
    assert request.messages == (
        Message.user(ImagePart(RED), ImagePart(RED, budget="quick"), "What?"),
    )


@pytest.mark.parametrize(
    "prompt",
    [
        Message.user(ImagePart(RED), "Hi"),
        [Message.system("Be brief."), Message.user(ImagePart(RED), "Hi")],
        {"role": "user", "content": [{"type": "image", "image": RED}, {"text": "Hi"}]},
        [{"role": "user", "content": "Hi"}],
        (message for message in [Message.user("Hi")]),
        UserList([Message.user("Hi")]),
    ],
)
def test_a_conversation_is_answered_in_every_form(prompt):
    assert VisionChat(ScriptedBackend(_echo)).ask(prompt).text == "Hi"


def test_the_backend_sees_upright_rgb_pictures_of_the_planned_size():
    backend = ScriptedBackend(["x"])
    picture = PIL.Image.new("LA", (60, 30))
    picture.getexif()[0x0112] = 6
    reply = VisionChat(backend).ask("What?", picture)
    (decoded,) = backend.requests[0].media
    (plan,) = reply.plan.images
    assert (plan.original.width_px, plan.original.height_px) == (30, 60)
    assert decoded.size == (plan.resized.width_px, plan.resized.height_px)
    assert decoded.mode == "RGB"


def test_media_come_in_the_order_in_which_they_stand():
    backend = ScriptedBackend(["x"])
    video = VideoPart([RED, RED, RED], fps=1)
    VisionChat(backend).ask([Message.user(video, ImagePart(RED), "and"), Message.user(video, "?")])
    shapes = [numpy.shape(item) for item in backend.requests[0].media]
    assert [len(shape) for shape in shapes] == [4, 3, 4]  # frames, a picture, frames


def test_usage_counts_what_the_plan_foresaw():
    reply = _chat("one two three").ask("What is this?", RED)
    assert reply.usage.visual_tokens == reply.plan.visual_tokens == 2 * 3
    assert reply.usage.prompt_tokens == reply.plan.prompt_tokens == 6 + 3
    assert reply.usage.completion_tokens == 3


def test_a_plan_is_what_asking_runs():
    chat = _chat()
    assert chat.plan("What?", RED, budget="quick") == chat.ask("What?", RED, budget="quick").plan


def test_planning_decodes_no_picture_and_asks_no_model():
    buffer = io.BytesIO()
    PIL.Image.effect_noise((100, 100), 50).save(buffer, "PNG")
    cut = buffer.getvalue()[:60]
    backend = ScriptedBackend(["x"])
    plan = VisionChat(backend).plan("What?", cut)
    assert plan.images[0].original.area_pixels == 10_000
    assert backend.requests == []
    with pytest.raises(MediaDecodeError):
        VisionChat(backend).ask("What?", cut)


def test_a_plan_that_does_not_fit_says_so_and_asking_refuses_it():
    chat = _chat(context_tokens=10)
    question = "word " * 20
    assert not chat.plan(question).fits
    with pytest.raises(ContextLengthError) as caught:
        chat.ask(question)
    assert "10" in caught.value.expected
    assert caught.value.hint


def test_an_answer_that_has_less_room_than_asked_is_on_record():
    reply = _chat("a b c d e f", context_tokens=10).ask("one two three", sampling=Sampling())
    assert reply.plan.max_new_tokens == 7
    assert "512 to 7" in reply.plan.degradations[0]


def test_an_answer_ends_at_its_longest_length():
    reply = _chat("a b c d").ask("x", sampling=Sampling(max_new_tokens=2))
    assert (reply.text, reply.finish_reason) == ("a b", "length")


def test_an_answer_ends_at_a_stop_string():
    reply = _chat("a b STOP c").ask("x", sampling=Sampling(stop="STOP"))
    assert (reply.text, reply.finish_reason) == ("a b ", "stop")


def test_confidence_is_none_where_the_backend_gives_no_scores():
    reply = _chat("a b", logprob=None).ask("x")
    assert reply.tokens is None
    assert reply.confidence is None
    assert _chat("a b").ask("x").confidence == pytest.approx(numpy.exp(-0.1))


def test_the_budget_of_a_request_wins_over_the_chats():
    backend = ScriptedBackend(lambda _: "x")
    chat = VisionChat(backend, budget=PixelBudget(4, 8))
    large = PIL.Image.new("RGB", (900, 900))
    assert chat.ask("x", large).usage.visual_tokens <= 8
    assert chat.ask("x", large, budget=PixelBudget(4, 100)).usage.visual_tokens > 8


def test_a_total_is_shared_over_all_pictures_of_a_request():
    large = PIL.Image.new("RGB", (900, 900))
    reply = _chat().ask("x", large, large, large, budget=PixelBudget(total_tokens=90))
    assert reply.usage.visual_tokens <= 90
    assert len({plan.tokens for plan in reply.plan.images}) == 1


def test_a_sampling_reaches_the_backend():
    backend = ScriptedBackend(["x", "x"])
    sampling = Sampling(temperature=0.5, seed=3)
    VisionChat(backend).ask("x", sampling=sampling)
    VisionChat(backend).ask("x")
    assert [r.sampling for r in backend.requests] == [sampling, backend.default_sampling]


@pytest.mark.parametrize("sampling", [{"temperature": 1}, "greedy", 3, {}])
def test_a_sampling_of_another_type_is_refused(sampling):
    with pytest.raises(SamplingError, match="a Sampling"):
        _chat().ask("x", sampling=sampling)


@pytest.mark.parametrize("budget", ["huge", "", 256, 0, False, [256, 512], ()])
def test_an_unknown_budget_is_refused(budget):
    with pytest.raises(BudgetError):
        _chat().ask("x", RED, budget=budget)
    with pytest.raises(BudgetError):
        VisionChat(ScriptedBackend([]), budget=budget)


def test_a_chats_policy_holds_for_all_that_it_opens():
    chat = VisionChat(ScriptedBackend(["x"]), media=MediaPolicy(max_pixels=100))
    with pytest.raises(MediaSizeError) as caught:
        chat.ask("x", ImagePart(PIL.Image.new("RGB", (5, 5))), RED)
    assert caught.value.where == "messages[0].parts[1]"


@pytest.mark.parametrize("error", [GenerationError("no"), RuntimeError("boom")])
def test_what_a_backend_raises_reaches_the_caller(error):
    with pytest.raises(type(error)) as caught:
        _chat(error).ask("x")
    assert str(caught.value) == str(error)


def test_a_script_that_has_run_out_says_so():
    with pytest.raises(GenerationError, match="no more answers"):
        VisionChat(ScriptedBackend([])).ask("x")


def test_asking_changes_nothing_that_the_user_gave():
    array = numpy.full((40, 50, 3), 7, "uint8")
    content = [{"type": "image", "image": array}, {"type": "text", "text": "x"}]
    messages = [{"role": "user", "content": content}]
    _chat().ask(messages)
    assert messages == [{"role": "user", "content": content}]
    assert content[0]["image"] is array
    assert (array == 7).all()


def test_a_picture_beside_a_conversation_is_refused():
    with pytest.raises(MessageError, match="inside its messages"):
        _chat().ask([Message.user("x")], RED)


def test_a_chat_says_what_is_loaded_and_closes_with_its_block():
    with _chat() as chat:
        assert chat.report()["family"] == "qwen2_vl"


def test_a_policy_that_is_none_is_refused_at_once():
    with pytest.raises(InputError, match="MediaPolicy"):
        VisionChat(ScriptedBackend(["yes"]), media="web")
