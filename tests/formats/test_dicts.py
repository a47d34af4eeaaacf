from __future__ import annotations

import pytest

from qwenvl_kit import ImagePart, Message, PixelBudget, TextPart, VideoPart, from_dicts, to_qwen
from qwenvl_kit.errors import BudgetError, InputError, MessageError, VideoTimingError
from qwenvl_kit.formats.dicts import as_messages


def _user(*content):
    return [{"role": "user", "content": list(content)}]


QWEN = {"type": "image", "image": "file:///a.jpg"}
OPENAI = {"type": "image_url", "image_url": {"url": "https://example.com/a.jpg", "detail": "low"}}


def test_the_example_of_qwens_guide_is_taken_as_it_is():
    (message,) = from_dicts(_user(QWEN, {"type": "text", "text": "Describe this image."}))
    assert message == Message.user(ImagePart("file:///a.jpg"), "Describe this image.")


def test_the_example_of_openais_guide_is_taken_as_it_is():
    (message,) = from_dicts(_user({"type": "text", "text": "What is this?"}, OPENAI))
    assert message == Message.user("What is this?", ImagePart("https://example.com/a.jpg"))


def test_both_dialects_mix_with_each_other_and_with_values():
    given = [
        Message.system("Be brief."),
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "user", "content": [QWEN, OPENAI, ImagePart("b.jpg"), "Compare.", TextPart("!")]},
    ]
    assert from_dicts(given) == (
        Message.system("Be brief."),
        Message.user("Hello"),
        Message.assistant("Hi"),
        Message.user(
            ImagePart("file:///a.jpg"),
            ImagePart("https://example.com/a.jpg"),
            ImagePart("b.jpg"),
            "Compare.",
            "!",
        ),
    )


def test_sizes_and_budgets_are_read_under_qwens_names():
    item = {**QWEN, "resized_height": 280, "resized_width": 420, "min_pixels": 1, "max_pixels": 9}
    part = from_dicts(_user(item))[0].parts[0]
    assert (part.height_px, part.width_px) == (280, 420)
    assert part.budget == PixelBudget.from_pixels(1, 9)


def test_a_videos_settings_are_read_under_qwens_names():
    item = {
        "type": "video",
        "video": ["a.png", "b.png"],
        "fps": 2.0,
        "nframes": 4,
        "video_start": 1.0,
        "video_end": 3.0,
        "total_pixels": 10_000,
    }
    assert from_dicts(_user(item))[0].parts[0] == VideoPart(
        ["a.png", "b.png"],
        fps=2.0,
        num_frames=4,
        start_seconds=1.0,
        end_seconds=3.0,
        budget=PixelBudget.from_pixels(total_pixels=10_000),
    )


@pytest.mark.parametrize("timing", [{"sample_fps": 2.0}, {"fps": None, "sample_fps": 2.0}])
def test_the_rate_of_given_frames_may_be_called_sample_fps(timing):
    item = {"type": "video", "video": ["a.png"], **timing}
    assert from_dicts(_user(item))[0].parts[0].fps == 2.0


def test_the_type_may_be_left_out_where_the_key_says_it():
    parts = from_dicts(_user({"text": "a"}, {"image": "b.png"}, {"image_url": "file:///c"}))[
        0
    ].parts
    assert parts == (TextPart("a"), ImagePart("b.png"), ImagePart("file:///c"))


def test_a_key_whose_value_is_none_counts_as_left_out():
    item = {**QWEN, "min_pixels": None, "resized_height": None, "text": None}
    assert from_dicts(_user(item))[0].parts == (ImagePart("file:///a.jpg"),)


@pytest.mark.parametrize(
    ("item", "key"),
    [
        ({**QWEN, "max_pixel": 100}, "max_pixel"),
        ({**QWEN, "details": "low"}, "details"),
        ({"type": "text", "text": "a", "image": "b.png"}, "image"),
        ({**OPENAI, "nframes": 100}, "nframes"),
        ({"type": "image_url", "image_url": {"url": "a", "size": 3}}, "size"),
        ({"type": "video", "video": ["a"], "frames": 3}, "frames"),
    ],
)
def test_an_unknown_key_is_refused_with_its_name_and_place(item, key):
    with pytest.raises(MessageError, match=f"the key {key!r}") as caught:
        from_dicts([{"role": "system", "content": "x"}, *_user("y", item)])
    assert caught.value.where == "messages[1].content[1]"
    assert caught.value.expected


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user"},
        {"content": "a"},
        {},
        {"role": "user", "content": None},
        {"role": "user", "content": 3},
        {"role": "user", "content": b"bytes"},
        {"role": "user", "content": {"type": "text", "text": "a"}},
        {"role": "user", "content": []},
        {"role": "human", "content": "a"},
        {"role": None, "content": "a"},
        {"role": ["user"], "content": "a"},
        {"role": "user", "content": "a", "contents": "b"},
        {"role": "user", "content": [["a"]]},
        {"role": "user", "content": [None]},
        {"role": "user", "content": [{}]},
        {"role": "user", "content": [{"type": "audio", "audio": "a.wav"}]},
        {"role": "user", "content": [{"type": ["text"], "text": "a"}]},
        {"role": "user", "content": [{"type": "image"}]},
        {"role": "user", "content": [{"type": "text", "text": None}]},
        {"role": "user", "content": [{"type": "text", "text": {"value": "a"}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": None}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": b"a"}}]},
        {"role": "assistant", "content": [QWEN]},
        {"role": "system", "content": [{"type": "video", "video": ["a.png"]}]},
        {"role": "user", "content": [{**QWEN, "budget": "quick", "max_tokens": 9}]},
        {1: 2},
        "user: hello",
        None,
        ("user", "hello"),
        3,
        ["role", "content"],
    ],
)
def test_a_dict_of_another_form_is_refused_with_its_place(message):
    with pytest.raises(MessageError) as caught:
        from_dicts([Message.user("fine"), message])
    assert caught.value.where.startswith("messages[1]")
    assert caught.value.expected


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"min_pixels": 0}, BudgetError),
        ({"min_pixels": "many"}, BudgetError),
        ({"min_tokens": 9, "max_tokens": 3}, BudgetError),
        ({"min_tokens": 9, "max_pixels": 300}, BudgetError),
        ({"resized_height": 28}, BudgetError),
        ({"budget": "huge"}, BudgetError),
    ],
)
def test_a_budget_that_contradicts_itself_is_refused_with_its_place(settings, error):
    with pytest.raises(error) as caught:
        from_dicts(_user("x", {**QWEN, **settings}))
    assert caught.value.where.startswith("messages[0].content[1]")


def test_a_time_that_cannot_be_meant_is_refused_with_its_place():
    with pytest.raises(VideoTimingError) as caught:
        from_dicts(_user({"type": "video", "video": ["a.png"], "fps": -2}))
    assert caught.value.where == "messages[0].content[0]"


@pytest.mark.parametrize("messages", [None, 5, "hello", {"role": "user", "content": "a"}])
def test_messages_that_are_no_list_of_messages_are_refused(messages):
    with pytest.raises(MessageError, match="a list of messages"):
        from_dicts(messages)


def test_a_part_with_the_native_budget_keeps_it_in_qwens_dialect():
    """It overrides the request's budget, so it is not the same as no budget."""
    (message,) = to_qwen([Message.user(ImagePart("a.png", budget="native"))])
    assert message["content"] == [{"type": "image", "image": "a.png", "budget": "native"}]


def test_a_question_puts_its_pictures_before_its_text():
    """As in the models' training."""
    video = VideoPart(["c.png"], fps=1)
    assert as_messages("What?", ["a.png", ImagePart("b.png"), video]) == (
        Message.user(ImagePart("a.png"), ImagePart("b.png"), video, "What?"),
    )


@pytest.mark.parametrize(
    "prompt",
    [
        Message.user("hi"),
        {"role": "user", "content": "hi"},
        [Message.user("hi")],
        (Message.user("hi"),),
        "hi",
    ],
)
def test_a_prompt_is_a_question_a_message_or_a_conversation(prompt):
    assert as_messages(prompt) == (Message.user("hi"),)


def test_a_generator_of_messages_is_a_conversation():
    assert as_messages(m for m in [Message.system("x"), Message.user("hi")]) == (
        Message.system("x"),
        Message.user("hi"),
    )


@pytest.mark.parametrize(
    "prompt",
    [None, 5, 1.5, object(), b"bytes", ["hi"], [["hi"]], [], (), {}, {"hi"}, iter("hi"), [[]]],
)
def test_a_prompt_of_another_form_is_refused_as_input(prompt):
    with pytest.raises(MessageError) as caught:
        as_messages(prompt)
    assert caught.value.expected


def test_pictures_beside_a_conversation_are_refused_because_their_place_is_unclear():
    with pytest.raises(InputError, match="inside its messages"):
        as_messages([Message.user("hi")], ["a.png"])


def test_fields_that_a_client_left_empty_are_no_settings():
    message = {
        "role": "user",
        "content": "hi",
        "refusal": None,
        "tool_calls": [],
        "annotations": [],
    }
    assert from_dicts([message]) == (Message.user("hi"),)


def test_a_part_without_a_type_may_have_empty_columns():
    (message,) = from_dicts([{"role": "user", "content": [{"text": None, "image": "a.png"}]}])
    assert message.parts == (ImagePart("a.png"),)
