from __future__ import annotations

import json

import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import AnswerError, MessageError
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.geometry import Point
from qwenvl_kit.messages.message import ImagePart, TextPart
from qwenvl_kit.prompts.tool_template import offered_tools
from qwenvl_kit.tasks import (
    Click,
    Done,
    LongPress,
    OpenApp,
    PressKeys,
    Swipe,
    SystemButton,
    TypeText,
    Wait,
    next_action,
)

PHONE = PIL.Image.new("RGB", (1080, 2400), "white")


def _call(name="mobile_use", **arguments):
    call = {"name": name, "arguments": arguments}
    return f"<tool_call>\n{json.dumps(call)}\n</tool_call>"


def _step(answer, device="mobile", screen=PHONE, family="qwen3_vl", **settings):
    chat = VisionChat(ScriptedBackend([answer], family=family))
    return next_action(chat, screen, "Go.", device=device, **settings)


def _at(x, y):
    return Point(x / 999 * 1080, y / 999 * 2400)


def _near(place, wanted):
    assert place.x_px == pytest.approx(wanted.x_px)
    assert place.y_px == pytest.approx(wanted.y_px)


@pytest.mark.parametrize(
    ("arguments", "action"),
    [
        ({"action": "type", "text": "a\nb"}, TypeText("a\nb")),
        ({"action": "answer", "text": "42"}, Done(True, "42")),
        ({"action": "system_button", "button": "Back"}, SystemButton("Back")),
        ({"action": "system_button", "button": "home"}, SystemButton("Home")),
        ({"action": "wait", "time": 2}, Wait(2)),
        ({"action": "wait", "time": 60}, Wait(60)),
        ({"action": "terminate", "status": "success"}, Done(True)),
        ({"action": "terminate", "status": "failure"}, Done(False)),
        ({"action": "key", "text": "volume_up"}, PressKeys(("volume_up",))),
        ({"action": "open", "text": "File Manager"}, OpenApp("File Manager")),
    ],
)
def test_each_call_of_the_published_tool_is_a_typed_action(arguments, action):
    step = _step(_call(**arguments))
    assert step.action == action
    assert step.warnings == ()


def test_places_of_taps_presses_and_swipes_are_in_pixels_of_the_screenshot():
    click = _step(_call(action="click", coordinate=[250, 600])).action
    assert isinstance(click, Click)
    _near(click.at, _at(250, 600))
    press = _step(_call(action="long_press", coordinate=[250, 600], time=2)).action
    assert isinstance(press, LongPress)
    assert press.seconds == 2
    _near(press.at, _at(250, 600))
    swipe = _step(_call(action="swipe", coordinate=[500, 800], coordinate2=[500, 200])).action
    assert isinstance(swipe, Swipe)
    _near(swipe.start, _at(500, 800))
    _near(swipe.stop, _at(500, 200))


def test_the_answer_of_the_published_notebook_gives_the_pixel_that_it_computes():
    answer = (
        "Thought: To search, I need to click on the search bar at the top of the screen. This will "
        'allow me to type.\nAction: "I tapped on the search bar to begin searching."\n<tool_call>\n'
        '{"name": "mobile_use", "arguments": {"action": "click", "coordinate": [447, 81]}}\n'
        "</tool_call>"
    )
    step = _step(answer, screen=PIL.Image.new("L", (1440, 3120)))
    assert isinstance(step.action, Click)
    at = step.action.at
    assert (round(at.x_px), round(at.y_px)) == (round(447 / 999 * 1440), round(81 / 999 * 3120))
    assert step.said == str(step) == "I tapped on the search bar to begin searching."
    assert step.thought.startswith("To search, I need")
    assert step.thought.endswith("to type.")
    raw = step.reply.raw_text
    start = raw.index("[447")
    assert step.confidence == step.reply.confidence_between(start, start + len("[447, 81]"))


@settings(deadline=None, max_examples=30)
@given(
    family=st.sampled_from(list(FAMILIES)),
    size=st.sampled_from([(1080, 2400), (3840, 2160), (2160, 3840), (101, 997), (720, 1280)]),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
)
def test_a_swipe_ends_where_the_model_points_in_every_family_and_on_every_screen(
    family, size, x, y
):
    def script(request):
        (tool,) = offered_tools(request.messages)
        told = tool["function"]["description"].split("resolution is ")[1].split(".")[0]
        columns, rows = map(int, told.split("x"))
        at = [round(x * columns), round(y * rows)]
        return _call(action="swipe", coordinate=[0, 0], coordinate2=at)

    screen = PIL.Image.new("L", size)
    chat = VisionChat(ScriptedBackend(script, family=family))
    action = next_action(chat, screen, "Go.", device="mobile").action
    assert isinstance(action, Swipe)
    width, height = size
    assert action.start == Point(0, 0)
    assert abs(action.stop.x_px - x * width) <= 1 + width / 500
    assert abs(action.stop.y_px - y * height) <= 1 + height / 500


def test_calls_in_xml_as_qwen3_5_writes_them_are_read():
    text = (
        "Thought: The list goes on.\nAction: Swipe up.\n<tool_call>\n<function=mobile_use>\n"
        "<parameter=action>\nswipe\n</parameter>\n<parameter=coordinate>\n[500, 800]\n</parameter>"
        "\n<parameter=coordinate2>\n[500, 200]\n</parameter>\n</function>\n</tool_call>"
    )
    step = _step(text, family="qwen3_5")
    assert isinstance(step.action, Swipe)
    assert (step.thought, step.said) == ("The list goes on.", "Swipe up.")


def test_the_prompt_is_that_of_the_published_notebook():
    backend = ScriptedBackend([_call(action="wait", time=1)], family="qwen3_vl")
    earlier = ["I opened the X app\nfrom the home screen.", "I tapped."]
    next_action(VisionChat(backend), PHONE, "Search for tea.", device="mobile", earlier=earlier)
    system, user = backend.requests[0].messages
    assert user.text == (
        "The user query: Search for tea.\nTask progress (You have done the following operation on "
        "the current device): Step 1: I opened the X app from the home screen.; Step 2: I tapped.; "
        "\n"
    )
    assert [type(part) for part in user.parts] == [TextPart, ImagePart]
    assert "1) Thought: one concise sentence" in system.text
    (tool,) = offered_tools([system])
    offered = tool["function"]["parameters"]["properties"]["action"]["enum"]
    assert offered == [
        *("click", "long_press", "swipe", "type", "answer", "system_button", "wait", "terminate")
    ]
    assert "The screen's resolution is 999x999." in tool["function"]["description"]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("device", ["computer", "mobile"])
def test_goal_and_form_are_told_in_the_language_that_was_chosen(device, language):
    backend = ScriptedBackend([_call(f"{device}_use", action="wait", time=1)])
    next_action(VisionChat(backend), PHONE, "Tea.", device=device, language=language)
    system, user = backend.requests[0].messages
    assert "Tea." in user.text
    assert ("任务" in user.text) is ("格式" in system.text) is (language == "zh")


PUBLISHED = {
    "a place written as text (vLLM's hermes parser)": (
        _call(action="click", coordinate="[254, 830]"),
        Click(_at(254, 830)),
        (),
    ),
    "numbers written as text": (
        _call(action="click", coordinate=["254", "830"]),
        Click(_at(254, 830)),
        ("a number of coordinate was written as text",),
    ),
    "a place as an object": (
        _call(action="click", coordinate={"x": 254, "y": 830}),
        Click(_at(254, 830)),
        ("coordinate was written as an object",),
    ),
    "JSON after Action: (MobileAgent 182)": (
        'Thought: The icon is there.\nAction: {"action": "click", "coordinate": [254, 830]}',
        Click(_at(254, 830)),
        ("the call stood without <tool_call>",),
    ),
    "a fenced call without its tags": (
        '```json\n{"name": "mobile_use", "arguments": '
        '{"action": "click", "coordinate": [254, 830]}}\n```',
        Click(_at(254, 830)),
        ("the call stood without <tool_call>",),
    ),
    "the action in place of the tool": (
        _call("click", coordinate=[254, 830]),
        Click(_at(254, 830)),
        (
            "a call of 'click', which is no tool that was offered",
            "the call names the action 'click' in place of mobile_use",
        ),
    ),
    "a tap (AndroidWorld)": (
        _call(action="tap", coordinate=[254, 830]),
        Click(_at(254, 830)),
        ("the action 'tap' is read as click",),
    ),
    "both ends in one argument (UI-TARS-desktop 161)": (
        _call(action="swipe", coordinate=[254, 830, 254, 130]),
        Swipe(_at(254, 830), _at(254, 130)),
        ("swipe came with both ends in coordinate",),
    ),
    "a pause without time": (
        _call(action="wait"),
        Wait(1),
        ("wait came without time; 1 second is assumed",),
    ),
    "a status of other words": (
        _call(action="terminate", status="task done"),
        Done(False),
        ("the status 'task done' is read as failure",),
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_call_that_differs_from_the_published_form_is_read_and_told(name):
    answer, action, warnings = PUBLISHED[name]
    step = _step(answer)
    assert step.warnings == warnings
    assert type(step.action) is type(action)
    for part, value in vars(action).items():
        if isinstance(value, Point):
            _near(getattr(step.action, part), value)
        else:
            assert getattr(step.action, part) == value


@pytest.mark.parametrize(
    "answer",
    [
        "Action: click(start_box='=')",  # UI-TARS 78
        "Action: press_home()",  # UI-TARS 104
        "scroll(point='<point>500 500</point>', direction='right')",  # UI-TARS-desktop 900
        _call(action="click", coordinate=None),  # UI-TARS-desktop 33
        _call(action="click", coordinate=[0.25, 0.5]),
        _call(action="swipe", coordinate=[1, 2]),
        _call(action="swipe", direction="up"),
        _call(action="system_button", button="Recents"),
        _call(action="system_button"),
        _call(action="long_press", time=1),
        _call(action="terminate"),
        _call(action="open"),
        _call(action=["click"]),
        _call(action="click", coordinate=[1, [2]]),
        _call(action="click", coordinate={"x": 1}),
        _call(action="click", coordinate=[float("nan"), 1]),
        _call(action="click", coordinate="(" * 9999),
        _call("computer_use", action="click", coordinate=[1, 1]),
        '{"action": "click", "coordinate": [25',
        '{"name": 3, "arguments": {"action": "wait"}}',
        '{"name": "mobile_use", "arguments": {"action": "type", "text": "\\ud800"}}',
        "{" * 5000,
        "Thought:" * 3000,
        "",
        _call(action="answer", text={"a": 1}),
    ],
)
def test_what_is_no_action_is_an_error_with_its_reply_and_never_another(answer):
    with pytest.raises(AnswerError) as caught:
        _step(answer)
    assert caught.value.reply is not None
    assert len(str(caught.value)) < 2000


@settings(deadline=None, max_examples=60)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        ),
        max_leaves=8,
    ),
    st.sampled_from(
        ["click", "swipe", "long_press", "type", "key", "wait", "left_click", "scroll"]
    ),
    st.sampled_from(["computer", "mobile"]),
)
def test_whatever_stands_in_the_arguments_gives_an_action_or_an_error_of_answers(
    value, action, device
):
    names = ("coordinate", "coordinate2", "text", "keys", "time", "pixels")
    try:
        step = _step(_call(f"{device}_use", action=action, **dict.fromkeys(names, value)), device)
    except AnswerError:
        return
    assert step.action is not None


def test_a_plus_sign_is_a_key_and_keys_may_be_joined_by_it():
    def keys(**given):
        return _step(_call("computer_use", action="key", **given), "computer").action

    assert keys(keys=["ctrl+shift+t"]) == PressKeys(("ctrl", "shift", "t"))
    assert keys(keys="ctrl++") == PressKeys(("ctrl", "+"))
    assert keys(keys=["+"]) == PressKeys(("+",))
    assert keys(text="Enter") == PressKeys(("Enter",))


def test_the_thoughts_of_a_thinking_model_are_kept():
    step = _step(f"<think>\nThe field is on top.\n</think>\n\n{_call(action='wait', time=1)}")
    assert step.thought == "The field is on top."
    assert step.said == ""
    assert json.loads(str(step)) == {"action": "wait", "time": 1}


@pytest.mark.parametrize(
    "text",
    ["1) 思考：先打开。\n2) 动作：“打开设置。”\n", "**Thought:** 先打开。\n**Action:** 打开设置。"],
)
def test_labels_may_be_numbered_bold_or_chinese(text):
    step = _step(text + _call(action="wait", time=1))
    assert (step.thought, step.said) == ("先打开。", "打开设置。")


def test_thoughts_in_tags_of_their_own_are_kept():
    # MAI-UI, which is built on Qwen3-VL.
    step = _step(f"<thinking>\nThought: It is on top.\n</thinking>\n{_call(action='wait', time=1)}")
    assert (step.thought, step.said) == ("It is on top.", "")
    step = _step(f"<thinking>先打开。</thinking>\nAction: 打开。\n{_call(action='wait', time=1)}")
    assert (step.thought, step.said) == ("先打开。", "打开。")


def test_a_drag_with_two_places_is_an_error_as_its_beginning_is_not_clear():
    call = _call("computer_use", action="left_click_drag", coordinate=[1, 2], coordinate2=[3, 4])
    with pytest.raises(AnswerError, match="coordinate2"):
        _step(call, "computer")


@pytest.mark.parametrize("device", ["phone", "", None])
def test_an_unknown_device_is_refused_before_anything_is_asked(device):
    backend = ScriptedBackend([])
    with pytest.raises(MessageError, match="computer"):
        next_action(VisionChat(backend), PHONE, "Go.", device=device)
    assert not backend.requests
