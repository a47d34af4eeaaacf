from __future__ import annotations

import json

import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit import ImagePart, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import AnswerError, MediaNotFoundError, MessageError
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.geometry import Point, Region
from qwenvl_kit.prompts.tool_template import offered_tools
from qwenvl_kit.tasks import (
    Click,
    Done,
    DragTo,
    MoveTo,
    PressKeys,
    Scroll,
    TypeText,
    Wait,
    next_action,
)

SCREEN = PIL.Image.new("RGB", (1280, 720), "white")


def _call(**arguments):
    call = {"name": "computer_use", "arguments": arguments}
    return f"<tool_call>\n{json.dumps(call)}\n</tool_call>"


def _chat(*answers, family="qwen3_vl"):
    backend = ScriptedBackend(list(answers), family=family)
    return VisionChat(backend), backend


def _action(**arguments):
    chat, _ = _chat(_call(**arguments))
    return next_action(chat, SCREEN, "Go.").action


CENTRE = Point(640, 360)
MIDDLE = [500, 500]


@pytest.mark.parametrize(
    ("arguments", "action"),
    [
        ({"action": "left_click", "coordinate": MIDDLE}, Click(CENTRE)),
        ({"action": "left_click"}, Click(None)),
        ({"action": "left_click", "coordinate": [400, 400, 600, 600]}, Click(CENTRE)),
        ({"action": "right_click", "coordinate": MIDDLE}, Click(CENTRE, "right")),
        ({"action": "middle_click", "coordinate": MIDDLE}, Click(CENTRE, "middle")),
        ({"action": "double_click", "coordinate": MIDDLE}, Click(CENTRE, times=2)),
        ({"action": "triple_click", "coordinate": MIDDLE}, Click(CENTRE, times=3)),
        ({"action": "mouse_move", "coordinate": MIDDLE}, MoveTo(CENTRE)),
        ({"action": "left_click_drag", "coordinate": MIDDLE}, DragTo(CENTRE)),
        ({"action": "type", "text": "a\nb"}, TypeText("a\nb")),
        ({"action": "key", "keys": ["ctrl", "c"]}, PressKeys(("ctrl", "c"))),
        ({"action": "key", "keys": "ctrl+c"}, PressKeys(("ctrl", "c"))),
        ({"action": "scroll", "pixels": -300}, Scroll(-300)),
        ({"action": "scroll", "pixels": 5, "coordinate": MIDDLE}, Scroll(5, at=CENTRE)),
        ({"action": "hscroll", "pixels": 40}, Scroll(40, is_horizontal=True)),
        ({"action": "wait", "time": 2}, Wait(2)),
        ({"action": "wait", "time": 1e9}, Wait(60)),
        ({"action": "terminate", "status": "success"}, Done(True)),
        ({"action": "terminate", "status": "failure"}, Done(False)),
        ({"action": "answer", "text": "42"}, Done(True, "42")),
    ],
)
def test_each_call_that_the_families_were_trained_on_is_a_typed_action(arguments, action):
    assert _action(**arguments) == action


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["ctrl", " "], ("ctrl", "space")),
        ([" "], ("space",)),
        (["ctrl+ "], ("ctrl", "space")),
        ("ctrl + c", ("ctrl", "c")),
        ("ctrl++", ("ctrl", "+")),
        ("+", ("+",)),
    ],
)
def test_a_blank_is_a_key(keys, expected):
    assert _action(action="key", keys=keys) == PressKeys(expected)


def test_a_drag_with_four_numbers_is_refused_as_its_beginning_is_not_clear():
    chat, _ = _chat(_call(action="left_click_drag", coordinate=[100, 100, 500, 900]))
    with pytest.raises(AnswerError, match="one place, to which the pointer is dragged"):
        next_action(chat, SCREEN, "Go.")


@pytest.mark.parametrize(
    ("arguments", "action", "warning"),
    [
        (
            {"action": "left_click", "coordinate": MIDDLE, "text": "ctrl"},
            Click(CENTRE),
            "left_click came with text='ctrl'; left out",
        ),
        (
            {"action": "right_click", "keys": ["shift"]},
            Click(None, "right"),
            "right_click came with keys=['shift']; left out",
        ),
        ({"action": "wait", "time": 600}, Wait(60), "wait for 600 s is read as 60 s"),
        ({"action": "wait", "time": -5}, Wait(0), "wait for -5 s is read as 0 s"),
    ],
)
def test_what_an_action_leaves_out_is_told(arguments, action, warning):
    chat, _ = _chat(_call(**arguments))
    step = next_action(chat, SCREEN, "Go.")
    assert step.action == action
    assert step.warnings == (warning,)


def test_fractions_of_the_screen_are_refused_with_the_units_that_are_expected():
    chat, _ = _chat(_call(action="left_click", coordinate=[0.5, 0.5]))
    with pytest.raises(
        AnswerError, match="expected numbers in the units of the screen, up to 1000"
    ):
        next_action(chat, SCREEN, "Go.")


def test_a_call_with_tagged_parameters_is_read_as_one_in_json():
    text = (
        "<tool_call>\n<function=computer_use>\n<parameter=action>\nleft_click\n</parameter>\n"
        "<parameter=coordinate>\n[500, 500]\n</parameter>\n</function>\n</tool_call>"
    )
    chat, _ = _chat(text, family="qwen3_5")
    assert next_action(chat, SCREEN, "Go.").action == Click(CENTRE)


@settings(deadline=None)
@given(
    family=st.sampled_from(list(FAMILIES)),
    width=st.integers(200, 4000),
    height=st.integers(200, 3000),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
)
def test_a_place_that_the_model_points_at_is_clicked_at_within_a_step(family, width, height, x, y):
    wanted = Point(x * width, y * height)
    screen = PIL.Image.new("L", (width, height))

    def script(request):
        (plan,) = request.plan.images
        (tool,) = offered_tools(request.messages)
        told = tool["function"]["description"].split("resolution is ")[1].split(".")[0]
        columns, rows = map(int, told.split("x"))
        seen = (plan.resized.width_px, plan.resized.height_px)
        by_thousandths = FAMILIES[family].coordinates == "thousandths"
        assert (columns, rows) == ((1000, 1000) if by_thousandths else seen)
        at = [round(x * columns), round(y * rows)]
        return _call(action="left_click", coordinate=at)

    step = next_action(VisionChat(ScriptedBackend(script, family=family)), screen, "Click.")
    assert isinstance(step.action, Click)
    assert abs(step.action.at.x_px - wanted.x_px) <= 1 + width / 1000
    assert abs(step.action.at.y_px - wanted.y_px) <= 1 + height / 1000


def test_a_place_in_a_part_of_the_screen_is_one_of_the_whole():
    chat, _ = _chat(_call(action="left_click", coordinate=MIDDLE))
    part = ImagePart(SCREEN, crop=Region(640, 0, 1280, 360))
    assert next_action(chat, part, "Go.").action == Click(Point(960, 180))


def test_a_place_beyond_the_screen_is_brought_back_with_a_warning():
    chat, _ = _chat(_call(action="left_click", coordinate=[1400, -20]))
    step = next_action(chat, SCREEN, "Go.")
    assert step.action == Click(Point(1280, 0))
    assert step.warnings == ("coordinates beyond the picture",)


def test_what_the_model_says_and_how_sure_it_is_of_the_place_are_kept():
    chat, _ = _chat(f"I open the menu. {_call(action='left_click', coordinate=MIDDLE)}")
    step = next_action(chat, SCREEN, "Go.")
    assert step.said == str(step) == "I open the menu."
    raw = step.reply.raw_text
    start = raw.index("[500")
    assert step.confidence == step.reply.confidence_between(start, start + len("[500, 500]"))
    assert 0 < step.confidence < 1


def test_a_chat_without_scores_has_no_confidence():
    chat = VisionChat(
        ScriptedBackend([_call(action="left_click", coordinate=MIDDLE)], logprob=None)
    )
    assert next_action(chat, SCREEN, "Go.").confidence is None


def test_the_first_of_several_actions_is_taken_and_the_others_are_told():
    chat, _ = _chat(_call(action="wait", time=1) + _call(action="answer", text="x"))
    step = next_action(chat, SCREEN, "Go.")
    assert step.action == Wait(1)
    assert step.warnings == ("1 more actions were called and ignored",)


def test_earlier_steps_are_told_in_their_order():
    chat, backend = _chat(_call(action="type", text="hello"), _call(action="answer", text="done"))
    first = next_action(chat, SCREEN, "Say hello.")
    next_action(chat, SCREEN, "Say hello.", earlier=["I clicked on\nthe field.", first])
    text = backend.requests[1].messages[-1].text
    assert "Step 1: I clicked on the field.\nStep 2: " in text
    assert '{"action": "type", "text": "hello"}' in text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_goal_is_told_in_the_language_that_was_chosen(language):
    chat, backend = _chat(_call(action="wait", time=0))
    next_action(chat, SCREEN, "Buy {milk}.", earlier=["x"], language=language)
    text = backend.requests[0].messages[-1].text
    assert "Buy {milk}." in text
    assert ("操作" in text) is (language == "zh")


@pytest.mark.parametrize(
    "answer",
    [
        "I do not know.",
        '<tool_call>{"name": "other", "arguments": {"action": "wait"}}</tool_call>',
        _call(action="fly"),
        _call(action="type"),
        _call(action="type", text=3),
        _call(action="left_click", coordinate="here"),
        _call(action="left_click", coordinate=[1]),
        _call(action="left_click", coordinate=[True, False]),
        _call(action="left_click", coordinate=[10**400, 1]),
        _call(action="mouse_move"),
        _call(action="key", keys=[]),
        _call(action="key", keys=[1]),
        _call(action="scroll", pixels="far"),
        _call(),
    ],
)
def test_an_answer_that_is_no_action_is_an_error_with_its_reply(answer):
    chat, _ = _chat(answer)
    with pytest.raises(AnswerError) as caught:
        next_action(chat, SCREEN, "Go.")
    assert caught.value.reply.raw_text or caught.value.reply.text == answer


def test_an_action_whose_call_is_cut_off_is_told_as_such():
    chat, _ = _chat('<tool_call>{"name": "computer_use", "arguments": {"action": "le')
    with pytest.raises(AnswerError, match=r'"action": "le.*unreadable: it is cut off'):
        next_action(chat, SCREEN, "Go.")


@pytest.mark.parametrize("goal", ["", "  ", None, 3])
def test_a_step_without_a_goal_is_refused_before_anything_is_asked(goal):
    chat, backend = _chat()
    with pytest.raises(MessageError):
        next_action(chat, SCREEN, goal)
    assert not backend.requests


@pytest.mark.parametrize("earlier", ["clicked", 3, [3]])
def test_earlier_steps_that_are_none_are_refused(earlier):
    chat, backend = _chat()
    with pytest.raises(MessageError):
        next_action(chat, SCREEN, "Go.", earlier=earlier)
    assert not backend.requests


def test_a_screenshot_that_is_not_there_is_named():
    chat, _ = _chat()
    with pytest.raises(MediaNotFoundError):
        next_action(chat, "/no/such.png", "Go.")
