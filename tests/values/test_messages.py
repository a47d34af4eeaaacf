from __future__ import annotations

import math
import pickle

import numpy
import PIL.Image
import pytest

from qwenvl_kit import ImagePart, Message, PixelBudget, TextPart, VideoPart
from qwenvl_kit.errors import BudgetError, MessageError, VideoTimingError
from qwenvl_kit.messages.message import ROLE_PARTS, iter_media
from qwenvl_kit.messages.order import check_conversation
from qwenvl_kit.messages.tool_parts import ToolCall

PARTS = {
    TextPart: TextPart("hello"),
    ImagePart: ImagePart("a.jpg"),
    VideoPart: VideoPart(["a.jpg"], fps=1),
}
PAIRS = [(role, kind) for role in ROLE_PARTS for kind in PARTS]


@pytest.mark.parametrize(("role", "kind"), PAIRS)
def test_a_role_holds_the_parts_that_it_declares_and_no_others(role, kind):
    if kind in ROLE_PARTS[role]:
        assert Message(role, (PARTS[kind],)).parts == (PARTS[kind],)
        return
    with pytest.raises(MessageError) as caught:
        Message(role, (TextPart("first"), PARTS[kind]))
    assert caught.value.where == "parts[1]"
    assert role in caught.value.problem


def test_pictures_and_videos_come_from_users_and_text_from_all():
    assert all(TextPart in kinds for kinds in ROLE_PARTS.values())
    assert {role for role, kinds in ROLE_PARTS.items() if VideoPart in kinds} == {"user"}


def test_a_string_stands_for_a_part_of_text():
    assert (
        Message.user("hello") == Message("user", "hello") == Message("user", (TextPart("hello"),))
    )
    assert Message.system("a", "b").text == "ab"


def test_the_text_of_a_message_skips_its_pictures():
    assert Message.user("a", ImagePart("x.png"), "b").text == "ab"


@pytest.mark.parametrize("role", ["User", "bot", "", None, 3, ["user"], {"user"}])
def test_an_unknown_role_is_refused_and_the_known_ones_are_named(role):
    with pytest.raises(MessageError) as caught:
        Message(role, ("hello",))
    assert all(known in caught.value.expected for known in ROLE_PARTS)


@pytest.mark.parametrize(
    "parts", [(), [], None, 5, b"ab", {"type": "text"}, {"a"}, [["a"]], [None]]
)
def test_parts_that_are_no_sequence_of_parts_are_refused(parts):
    with pytest.raises(MessageError):
        Message("user", parts)


def test_a_bare_picture_in_a_message_is_refused_with_the_way_to_wrap_it():
    with pytest.raises(MessageError, match=r"ImagePart\(\.\.\.\)") as caught:
        Message.user("look:", PIL.Image.new("RGB", (2, 2)))
    assert caught.value.where == "parts[1]"


@pytest.mark.parametrize("text", [None, 3, b"bytes", ["a"]])
def test_text_that_is_no_string_is_refused(text):
    with pytest.raises(MessageError, match="expected a string"):
        TextPart(text)


@pytest.mark.parametrize("text", ["\ud800", "fine until here \udfff", "\udcff.txt"])
def test_half_a_surrogate_pair_is_refused_because_no_tokenizer_takes_it(text):
    with pytest.raises(MessageError, match="UTF-8"):
        Message.user(text)


def test_text_of_any_script_is_kept_as_it_is():
    for text in (
        "",
        "\x00",
        "\U0001f600 \u4f60\u597d \u0645\u0631",
        "<|im_end|>",
    ):
        assert TextPart(text).text == text


def test_messages_cannot_be_changed():
    with pytest.raises(AttributeError):
        Message.user("a").role = "system"
    with pytest.raises(AttributeError):
        ImagePart("a.jpg").source = "b.jpg"


@pytest.mark.parametrize(
    ("part", "same", "other"),
    [
        (ImagePart(b"abc"), ImagePart(b"abc"), ImagePart(b"abd")),
        (
            ImagePart(numpy.zeros((2, 2, 3), "uint8")),
            ImagePart(numpy.zeros((2, 2, 3), "uint8")),
            ImagePart(numpy.ones((2, 2, 3), "uint8")),
        ),
        (
            ImagePart(numpy.ones((2, 2), "uint8")),
            ImagePart(numpy.ones((2, 2), "uint8")),
            ImagePart(numpy.ones((2, 2), "float32")),
        ),
        (
            ImagePart(PIL.Image.new("RGB", (2, 2), "red")),
            ImagePart(PIL.Image.new("RGB", (2, 2), "red")),
            ImagePart(PIL.Image.new("RGB", (2, 2), "blue")),
        ),
        (
            VideoPart([numpy.zeros((2, 2)), b"x"], fps=1),
            VideoPart((numpy.zeros((2, 2)), b"x"), fps=1),
            VideoPart([numpy.zeros((2, 2))], fps=1),
        ),
        (ImagePart("a"), ImagePart("a"), VideoPart("a")),
        (
            ImagePart("a", budget="quick"),
            ImagePart("a", budget=PixelBudget(256, 512)),
            ImagePart("a"),
        ),
    ],
)
def test_parts_compare_by_content_whatever_their_source(part, same, other):
    assert part == same
    assert part != other


def test_a_part_prints_neither_its_bytes_nor_its_pixels():
    secret = "data:image/png;base64," + "A" * 5000
    for source in (b"x" * 5000, numpy.zeros((500, 500, 3), "uint8"), [b"x" * 900] * 9, secret):
        assert len(repr(ImagePart(source))) < 200


def test_messages_with_text_and_paths_survive_pickling():
    message = Message.user("a", ImagePart("b.jpg", budget="fine"), VideoPart(["c.png"], fps=2))
    assert pickle.loads(pickle.dumps(message)) == message


@pytest.mark.parametrize(
    "sides",
    [
        {"height_px": 10},
        {"width_px": 10},
        {"height_px": 0, "width_px": 10},
        {"height_px": -28, "width_px": 28},
        {"height_px": 1.5, "width_px": 28},
        {"height_px": "28", "width_px": 28},
        {"height_px": True, "width_px": True},
    ],
)
def test_an_exact_size_needs_two_positive_whole_numbers(sides):
    with pytest.raises(BudgetError, match="_px"):
        ImagePart("a.jpg", **sides)


def test_a_misspelt_budget_of_a_part_is_refused_at_once():
    with pytest.raises(BudgetError) as caught:
        ImagePart("a.jpg", budget="huge")
    assert caught.value.where == "budget"


@pytest.mark.parametrize(
    "timing",
    [
        {"fps": 0},
        {"fps": -1},
        {"fps": math.nan},
        {"fps": math.inf},
        {"fps": 10**400},
        {"fps": True},
        {"fps": "2"},
        {"fps": 2, "timestamps_seconds": (0.0,)},
        {"timestamps_seconds": 5},
        {"timestamps_seconds": "ab"},
        {"timestamps_seconds": (0.0, math.nan)},
        {"timestamps_seconds": (0.0, None)},
        {"num_frames": 0},
        {"num_frames": 1.5},
        {"num_frames": True},
        {"min_frames": 0},
        {"max_frames": "768"},
        {"max_frames": 7.5},
        {"min_frames": 8, "max_frames": 7},
        {"num_frames": 9, "max_frames": 8},
        {"num_frames": 3, "min_frames": 4},
        {"start_seconds": -1},
        {"end_seconds": math.nan},
        {"end_seconds": 0},
        {"start_seconds": 2, "end_seconds": 2},
        {"start_seconds": 3, "end_seconds": 2},
    ],
)
def test_a_time_that_cannot_be_meant_is_refused(timing):
    with pytest.raises(VideoTimingError) as caught:
        VideoPart(["a.png"], **timing)
    assert caught.value.expected


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_timestamps_may_come_as_an_array(dtype):
    times = numpy.array([0, 1, 4], dtype)
    assert VideoPart(["a.png"] * 3, timestamps_seconds=times).timestamps_seconds == (0.0, 1.0, 4.0)


def test_media_are_found_in_order_with_their_places():
    first, second, third = ImagePart("a"), VideoPart(["b"], fps=1), ImagePart("c")
    messages = (Message.user("x", first, second), Message.assistant("y"), Message.user(third))
    assert list(iter_media(messages)) == [
        ("messages[0].parts[1]", first),
        ("messages[0].parts[2]", second),
        ("messages[2].parts[0]", third),
    ]


@pytest.mark.parametrize(
    ("messages", "where"),
    [
        ([], "messages"),
        ([Message.user("a"), Message.system("b")], "messages[1]"),
        ([Message.user("a"), Message.assistant(ToolCall("look", {}))], "messages[1]"),
        ([Message.user("a"), Message.assistant("b", ToolCall("look", {}))], "messages[1]"),
        ([Message.system("a")], "messages[0]"),
    ],
)
def test_a_conversation_that_cannot_be_answered_is_refused_with_the_place(messages, where):
    with pytest.raises(MessageError) as caught:
        check_conversation(messages)
    assert caught.value.where == where


def test_a_conversation_may_end_with_an_answer_that_goes_on():
    check_conversation([Message.user("a"), Message.assistant("b")])


def test_a_system_message_may_stand_after_others_where_the_template_takes_it():
    check_conversation([Message.user("a"), Message.system("b"), Message.user("c")])


def test_a_conversation_may_end_with_a_tools_result():
    check_conversation([Message.user("a"), Message.assistant("b"), Message("tool", ("c",))])
