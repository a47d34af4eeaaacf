"""Message dicts as other libraries write them are taken as they are, or refused with the reason."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from qwen_vl_utils import smart_resize

from qwenvl_kit import (
    DocumentPart,
    ImagePart,
    Message,
    PixelBudget,
    Size,
    TextPart,
    VideoPart,
    VisionChat,
    from_dicts,
    to_qwen,
)
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import InputError, MessageError, VideoTimingError
from qwenvl_kit.formats.dicts import as_messages
from tests.videos import write_video


def _jpeg() -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (84, 56), "red").save(buffer, "JPEG")
    return buffer.getvalue()


BYTES = _jpeg()
BASE64 = base64.b64encode(BYTES).decode()
URL = f"data:image/jpeg;base64,{BASE64}"
FRAMES = [PIL.Image.new("RGB", (56, 56), shade) for shade in ("red", "green", "blue", "black")]


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("pictures") / "a.jpg"
    path.write_bytes(BYTES)
    return str(path)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("films") / "a.mp4"
    return str(write_video(path, 200, fps=10, width=64, height=64))


def _chat() -> VisionChat:
    return VisionChat(ScriptedBackend(lambda request: "A cat.", context_tokens=32_768))


def _user(*content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(content)}]


def _part(item: Any) -> Any:
    return from_dicts(_user(item))[0].parts[0]


PICTURES: dict[str, dict[str, Any]] = {
    "base64 of transformers": {"type": "image", "base64": BASE64},
    "base64 of transformers as a data URL": {"type": "image", "base64": URL},
    "a URL of transformers": {"type": "image", "url": URL},
    "a URL of qwen-vl-utils": {"type": "image", "image_url": URL},
    "a data URL of Qwen's README": {"type": "image", "image": f"data:image;base64,{BASE64}"},
    "the Responses API": {"type": "input_image", "image_url": URL, "detail": "auto"},
    "OpenAI's chat": {"type": "image_url", "image_url": {"url": URL, "detail": "high"}},
    "a URL that is a text": {"type": "image_url", "image_url": URL},
    "vLLM's name for a picture": {"type": "image_url", "image_url": {"url": URL}, "uuid": "x"},
    "Anthropic's": {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/jpeg", "data": BASE64},
        "cache_control": {"type": "ephemeral"},
    },
    "Anthropic's by URL": {"type": "image", "source": {"type": "url", "url": URL}},
    "LangChain's": {
        "type": "image", "source_type": "base64", "data": BASE64, "mime_type": "image/jpeg"
    },
    "LangChain's by URL": {"type": "image", "source_type": "url", "url": URL},
    "LangChain's of version 1": {"type": "image", "base64": BASE64, "mime_type": "image/jpeg"},
    "a row of datasets": {"type": "image", "image": {"bytes": BYTES, "path": None}},
    "a row of datasets with a name": {"image": {"bytes": BYTES, "path": "train/7.jpg"}},
    "bytes": {"type": "image", "image": BYTES},
    "Amazon's": {"image": {"format": "jpeg", "source": {"bytes": BYTES}}},
    "vLLM's of Pillow": {"type": "image_pil", "image_pil": PIL.Image.new("RGB", (84, 56))},
    "the AI SDK's": {"type": "image", "image": BYTES, "mediaType": "image/jpeg"},
    "LiteLLM's": {"type": "image_url", "image_url": {"url": URL, "format": "image/jpeg"}},
    "ms-swift's": {"type": "image", "image": {"url": URL}},
    "base64 in lines": {"type": "image", "base64": "\n".join(map(str, [BASE64[:40], BASE64[40:]]))},
    "columns that are empty": {"type": "image", "image": BYTES, "text": None, "video": None},
}  # fmt: skip


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_found_under_the_key_of_each_library(name):
    request = _user(PICTURES[name], {"type": "text", "text": "What is this?"})
    plan = _chat().plan(request)
    assert [str(image.original) for image in plan.images] == ["84 x 56 px"]
    assert plan.warnings == ()


@pytest.mark.parametrize("pixels", ["50176", 50176.0, 50176])
def test_limits_and_sizes_may_be_text_as_rates_may(pixels):
    item = {"type": "image", "image": URL, "max_pixels": pixels}
    assert _part(item) == ImagePart(URL, budget=PixelBudget.from_pixels(max_pixels=50176))
    sizes = {"resized_height": "280", "resized_width": 420.0}
    assert _part({"image": URL, **sizes}) == ImagePart(URL, height_px=280, width_px=420)


def test_a_film_has_the_exact_size_that_the_guide_of_qwen_vl_utils_gives_it(film):
    sizes = {"resized_height": 130, "resized_width": "280"}
    item = {"type": "video", "video": f"file://{film}", "fps": 2.0, **sizes}
    part = _part(item)
    assert part == VideoPart(f"file://{film}", fps=2.0, height_px=130, width_px=280)
    (plan,) = _chat().plan(Message.user(part, "?")).videos
    side = ScriptedBackend([]).rules.family.token_side_px
    assert plan.resized == Size(*smart_resize(130, 280, factor=side))
    assert to_qwen([Message.user(part)])[0]["content"][0]["resized_height"] == 130


def test_limits_may_stand_beside_a_url_as_dashscope_has_them():
    item = {"type": "image_url", "image_url": {"url": URL}, "min_pixels": 4, "max_pixels": 900}
    assert _part(item) == ImagePart(URL, budget=PixelBudget.from_pixels(4, 900))


@pytest.mark.parametrize("key", ["url", "path", "image"])
def test_a_picture_on_this_machine_is_named_by_path_or_url(key, picture):
    assert _part({"type": "image", key: picture}) == ImagePart(picture)
    assert _part({"type": "image", "image": {"bytes": None, "path": picture}}) == ImagePart(picture)


@pytest.mark.parametrize("key", ["url", "path", "video", "video_url"])
def test_a_film_is_named_under_the_same_keys(key, film):
    assert _part({"type": "video", key: film}) == VideoPart(film)
    assert _part({"type": "video_url", "video_url": {"url": film}, "fps": 2}).fps == 2


PDF = base64.b64encode(b"%PDF-1.7").decode()
PDF_URL = f"data:application/pdf;base64,{PDF}"
FILES: dict[str, tuple[dict[str, Any], Any]] = {
    "OpenAI's chat": (
        {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF_URL}}, DocumentPart(PDF_URL)
    ),
    "the Responses API": (
        {"type": "input_file", "filename": "a.pdf", "file_data": PDF_URL}, DocumentPart(PDF_URL)
    ),
    "the Responses API by URL": (
        {"type": "input_file", "file_url": "https://a.org/a.pdf"},
        DocumentPart("https://a.org/a.pdf"),
    ),
    "Anthropic's": (
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
            "title": "A",
            "citations": {"enabled": True},
        },
        DocumentPart(PDF_URL),
    ),
    "LangChain's": (
        {"type": "file", "source_type": "base64", "data": PDF, "mime_type": "application/pdf"},
        DocumentPart(b"%PDF-1.7"),
    ),
    "LangChain's of text": ({"type": "file", "source_type": "text", "text": "a"}, TextPart("a")),
    "a picture as a file": (
        {"type": "file", "mediaType": "image/jpeg", "data": URL}, ImagePart(URL)
    ),
    "a film as a file": (
        {"type": "file", "url": "a.mp4", "mime_type": "video/mp4"}, VideoPart("a.mp4")
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_what_it_is_said_to_be(name):
    item, part = FILES[name]
    assert _part(item) == part


TEXTS: list[dict[str, Any]] = [
    {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}},
    {"type": "input_text", "text": "hi"},
    {"type": "output_text", "text": "hi", "annotations": [{"type": "citation"}], "logprobs": []},
    {"type": "refusal", "refusal": "hi"},
    {"type": "text", "text": "hi", "image": None, "index": 0, "id": "x"},
]


@pytest.mark.parametrize("item", TEXTS)
def test_a_text_is_read_without_the_keys_that_change_nothing(item):
    assert _part(item) == TextPart("hi")


MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": "hi", "name": "me", "cache_control": {"type": "ephemeral"}},
    {"role": "user", "content": "hi", "type": "message", "id": "msg_1", "status": "completed"},
    {"role": "user", "content": "hi", "refusal": None, "audio": None, "function_call": None},
    {"role": "user", "content": "hi", "annotations": [{"type": "x"}], "weight": 1, "uuid": "y"},
]


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_is_read_without_the_keys_that_change_nothing(message):
    assert from_dicts([message]) == (Message.user("hi"),)


def test_a_developers_message_is_a_system_message():
    given = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    assert from_dicts(given) == (Message.system("Be brief."), Message.user("hi"))


def test_a_refusal_of_the_model_is_what_it_said():
    refused = {"role": "assistant", "content": None, "refusal": "I cannot."}
    assert from_dicts([refused]) == (Message.assistant("I cannot."),)
    with pytest.raises(MessageError, match="content and a refusal"):
        from_dicts([{**refused, "content": "I can."}])


@pytest.mark.parametrize(
    ("timing", "fps", "is_assumed"),
    [
        ({"sample_fps": "1"}, 1.0, False),
        ({"sample_fps": 2, "raw_fps": 24}, 2.0, False),
        ({"fps": "2.5"}, 2.5, False),
        ({"fps": [4.0]}, 4.0, False),
        ({"fps": 30, "sample_fps": 1}, 1.0, False),
        ({}, 2.0, True),
        ({"raw_fps": 24}, 2.0, True),
        ({"fps": None}, 2.0, True),
    ],
)
def test_frames_have_the_rate_that_qwen_vl_utils_gives_them(timing, fps, is_assumed):
    request = _user({"type": "video", "video": FRAMES, **timing}, {"type": "text", "text": "?"})
    reply = _chat().ask(request)
    (video,) = reply.plan.videos
    assert video.timestamps_seconds == tuple(index / fps for index in range(4))
    assert reply.warnings == reply.plan.warnings
    assert [warning.partition(",")[0] for warning in reply.warnings] == [
        "messages[0].parts[0] has frames without a rate; 2 frames a second are assumed"
    ] * is_assumed


def test_frames_of_a_part_want_their_rate():
    with pytest.raises(VideoTimingError, match="without their times"):
        _chat().plan(Message.user(VideoPart(FRAMES), "?"))


def test_frames_with_times_have_no_other_rate():
    item = {"type": "video", "video": FRAMES, "timestamps_seconds": [0.0, 1.0, 5.0, 6.0]}
    assert _part(item).fps is None


@pytest.mark.parametrize(
    ("timing", "num_frames"),
    [
        ({"fps": 2, "min_frames": 4, "max_frames": 16}, 16),
        ({"max_frames": 768}, 40),
        ({"fps": "0.1", "min_frames": "8"}, 8),
        ({"nframes": 6}, 6),
        ({"num_frames": 6}, 6),
        ({"fps": [1.0]}, 20),
        ({"video_start": 5, "video_end": "10.0", "fps": 2}, 10),
        ({"raw_fps": 10}, 40),
    ],
)
def test_a_film_gives_the_frames_that_qwens_keys_ask_for(timing, num_frames, film):
    request = _user({"type": "video", "video": film, **timing}, {"type": "text", "text": "?"})
    (video,) = _chat().plan(request).videos
    assert len(video.frame_indices) == num_frames


@pytest.mark.parametrize(
    "timing",
    [{"fps": "fast"}, {"fps": "nan"}, {"fps": [1, 2]}, {"fps": True}, {"sample_fps": "-1"},
     {"num_frames": 4, "nframes": 8}, {"max_frames": "many"}],
)  # fmt: skip
def test_a_rate_that_is_no_number_is_refused_with_its_place(timing):
    with pytest.raises(VideoTimingError) as caught:
        from_dicts(_user({"type": "video", "video": FRAMES, **timing}))
    assert caught.value.where == "messages[0].content[0]"
    assert caught.value.expected


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a file on OpenAI's server": ({"type": "input_image", "file_id": "file-1"}, "file_id"),
    "a file on Anthropic's": (
        {"type": "image", "source": {"type": "file", "file_id": "f"}}, "file_id"
    ),
    "sound": ({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}, "no audio"),
    "a file on LangChain's": ({"type": "image", "source_type": "id", "id": "f"}, "file_id"),
    "a file of OpenAI's server": ({"type": "file", "file": {"file_id": "file-1"}}, "file_id"),
    "a file without data": ({"type": "input_file", "filename": "a.pdf"}, "without its data"),
    "a file of a table": (
        {"type": "file", "file": {"file_data": "data:text/csv;base64,YSxi"}}, "text/csv"
    ),
    "a file of sound": ({"type": "file", "data": "AA==", "mime_type": "audio/wav"}, "audio/wav"),
    "a text as document": (
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}},
        "type 'text'",
    ),
    "a call among the content": ({"type": "tool_use", "name": "f", "input": {}}, "tool calls"),
    "features": ({"type": "image_embeds", "image_embeds": "AA"}, "pixels are needed"),
    "two sources": ({"type": "image", "image": "a.png", "url": "b.png"}, "image and url"),
    "a row of datasets without both": ({"image": {"bytes": None, "path": None}}, "keys"),
    "a picture and a film": ({"type": "image", "image": "a", "video": "b"}, "'video'"),
    "no base64": ({"type": "image", "base64": "!!!"}, "no base64"),
    "base64 that is bytes": ({"type": "image", "base64": BYTES}, "type bytes"),
    "a size of frames": ({"type": "video", "video": "a.mp4", "resized_height": 28}, "width_px"),
    "a URL in a URL": ({"type": "image_url", "image_url": {"url": {"url": "a"}}}, "type dict"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_shown_is_refused_by_name_with_its_place(name):
    item, reason = REFUSED[name]
    with pytest.raises(InputError, match=reason) as caught:
        from_dicts(_user({"type": "text", "text": "x"}, item))
    assert caught.value.where == "messages[0].content[1]"
    assert caught.value.expected


@pytest.mark.parametrize(
    ("item", "known"),
    [
        ({"type": "image", "image": "a", "max_pixel": 9}, "max_pixels"),
        ({"type": "image", "image": "a", "resize_height": 9}, "resized_height"),
        ({"type": "video", "video": "a", "samples_fps": 9}, "sample_fps"),
        ({"type": "video", "video": "a", "maxframes": 9}, "max_frames"),
        ({"type": "text", "txt": "a", "text": "b"}, "text"),
        ({"type": "Image", "image": "a"}, "image"),
        ({"type": "video", "video": "a", "video_fps": 2}, "fps"),
    ],
)
def test_an_unknown_key_is_refused_with_the_known_one_that_is_nearest(item, known):
    with pytest.raises(MessageError) as caught:
        from_dicts(_user(item))
    assert caught.value.hint == f"'{known}'"


HIDDEN = "iVBORw0KGgoAAAANSUhEUgAA" * 40


@pytest.mark.parametrize(
    "item",
    [
        {"type": "image", "image": HIDDEN},
        {"type": "image", "base64": HIDDEN + "!"},
        {"type": "image", "image": f"data:image/png;base64,{HIDDEN}!"},
        {"type": "image", "image": {HIDDEN: 1}},
        {"type": HIDDEN},
        {"type": "image", HIDDEN: "a"},
        {"type": "image", "image": "a", HIDDEN: "a"},
        {"type": "image_url", "image_url": {HIDDEN: "a"}},
        {"type": "video", "video": [HIDDEN]},
        {"type": "video", "video": "a", "fps": HIDDEN},
        {"type": "image", "image": "a", "budget": HIDDEN},
        {"role": HIDDEN},
    ],
)
def test_a_strangers_base64_is_repeated_neither_by_an_error_nor_by_a_part(item):
    try:
        told = repr(from_dicts(_user(item)))
    except InputError as error:
        told = f"{error} {error.__cause__!r}"
    assert HIDDEN[:72] not in told


def test_places_for_pictures_are_filled_in_their_order():
    prompt = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "A?"}]},
        {"role": "assistant", "content": "A cat."},
        {"role": "user", "content": [{"type": "video"}, {"type": "image", "text": None}, "B?"]},
    ]
    video = VideoPart("c.mp4", fps=1)
    assert as_messages(prompt, ["a.png", video, ImagePart("b.png", budget="quick")]) == (
        Message.user(ImagePart("a.png"), "A?"),
        Message.assistant("A cat."),
        Message.user(video, ImagePart("b.png", budget="quick"), "B?"),
    )


def test_a_place_keeps_its_settings():
    prompt = {"role": "user", "content": [{"type": "video", "fps": "1", "max_pixels": 9000}, "?"]}
    ((video, _),) = (message.parts for message in as_messages(prompt, [["a.png", "b.png"]]))
    assert video == VideoPart(["a.png", "b.png"], fps=1, budget=video.budget)
    assert video.budget.max_pixels == 9000


def test_filling_places_leaves_the_callers_dicts_as_they_were():
    prompt = _user({"type": "image"}, {"type": "text", "text": "?"})
    as_messages(prompt, ["a.png"])
    assert prompt == _user({"type": "image"}, {"type": "text", "text": "?"})


@pytest.mark.parametrize(
    ("content", "media"),
    [
        ([{"type": "image"}], ["a.png", "b.png"]),
        ([{"type": "image"}, {"type": "image"}], ["a.png"]),
        ([{"type": "image"}], [VideoPart("a.mp4")]),
        ([{"type": "video"}], [ImagePart("a.png")]),
        ([{"type": "image", "max_pixels": 9}], [ImagePart("a.png", budget="quick")]),
        ([{"type": "image", "image": "a.png"}], ["b.png"]),
        (["What?"], ["a.png"]),
    ],
)
def test_places_and_pictures_that_do_not_fit_are_refused(content, media):
    with pytest.raises(MessageError) as caught:
        as_messages([{"role": "user", "content": content}], media)
    assert caught.value.expected


def test_a_place_that_stays_empty_is_refused_with_the_way_to_fill_it():
    with pytest.raises(MessageError, match="'image' is missing") as caught:
        as_messages(_user({"type": "image"}, {"type": "text", "text": "?"}))
    assert caught.value.hint == "chat.ask(messages, image) fills the placeholders of messages"


def test_a_chat_takes_pictures_beside_dicts_with_places():
    backend = ScriptedBackend(["A cat."])
    prompt = _user({"type": "image"}, {"type": "text", "text": "What is this?"})
    VisionChat(backend).ask(prompt, BYTES)
    assert backend.requests[0].messages == (Message.user(ImagePart(BYTES), "What is this?"),)


def test_a_path_object_is_a_source(picture):
    assert _part({"type": "image", "path": Path(picture)}) == ImagePart(Path(picture))


PDF = "data:application/pdf;base64,JVBERi0xLjQ="


@pytest.mark.parametrize(
    "item",
    [
        {"type": "file", "file": {"file_data": PDF, "filename": "report.pdf"}},
        {"type": "input_file", "file_data": PDF, "filename": "report.pdf"},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf",
                                        "data": "JVBERi0xLjQ="}, "title": None},
    ],
    ids=["OpenAI's chat API", "OpenAI's Responses", "Anthropic's"],
)  # fmt: skip
def test_files_of_other_apis_are_documents(item):
    (message,) = from_dicts([{"role": "user", "content": [item]}])
    assert message.parts == (DocumentPart(PDF),)
