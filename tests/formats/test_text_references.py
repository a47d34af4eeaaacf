"""A place of a picture that is written as text is told, as it shows the model nothing."""

from __future__ import annotations

import warnings

import PIL.Image
import pytest

from qwenvl_kit import ImagePart, Message, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import QwenVLKitWarning
from qwenvl_kit.formats import likely_mistakes
from qwenvl_kit.formats.text_references import warnings_of_places

PICTURE = PIL.Image.new("RGB", (56, 56))
PLACES = [
    "<image>\nWhat?",
    "<image>x",
    "What is this? <image>",
    "<image><image>Which is larger?",
    "<image_1> What?",
    "<video>x",
    "<ImageHere>What?",
    "a<|vision_start|><|image_pad|><|vision_end|>What?",
    "<|video_pad|>",
]
TEXTS = [
    "What does the <image> element of SVG do?",
    "Which attributes has a <video> tag?",
    "<video controls src='a'></video>",
    "<video>fallback</video>",
    "What does `<image>` mean?",
    '"<image>"',
    "an image",
    "a < image > b",
    "<|im_end|>",
    "",
]


@pytest.fixture(autouse=True)
def _nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likely_mistakes, "_warned", set())


def _chat() -> VisionChat:
    return VisionChat(ScriptedBackend(lambda request: "A cat."))


@pytest.mark.parametrize("text", PLACES)
def test_a_place_that_is_written_as_text_is_told(text):
    (warning,) = warnings_of_places([Message.user(text)])
    assert warning.startswith("messages[0].parts[0] holds '<")
    assert ("VideoPart(...)" if "video" in text else "ImagePart(...)") in warning


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_that_speaks_of_such_words_is_not_told(text):
    assert warnings_of_places([Message.user(text)]) == ()


def test_a_place_that_a_model_or_a_tool_wrote_is_not_told():
    said = [Message.user("?"), Message.assistant("<image>"), Message.tool("<image>")]
    assert warnings_of_places(said) == ()


@pytest.mark.filterwarnings("ignore::qwenvl_kit.errors.QwenVLKitWarning")
def test_a_place_beside_its_picture_is_told_in_plan_and_reply():
    reply = _chat().ask("Is <image> a cat?", PICTURE)
    (warning,) = reply.warnings
    assert reply.plan.warnings == (warning,)
    assert warning.endswith("leave it out: pictures and videos are shown where their parts stand")


@pytest.mark.filterwarnings("ignore::qwenvl_kit.errors.QwenVLKitWarning")
def test_a_place_in_a_dict_is_told():
    prompt = [{"role": "user", "content": "<image>x"}]
    assert len(_chat().plan(prompt).warnings) == 1


def test_pythons_warning_of_a_place_comes_once_in_a_process():
    chat = _chat()
    with pytest.warns(QwenVLKitWarning, match="<image>") as caught:
        chat.ask("<image>\nWhat?", ImagePart(PICTURE))
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert chat.ask("<image>\nWhat?", ImagePart(PICTURE)).warnings
