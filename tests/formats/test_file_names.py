"""A name of a file that stands as text is told, as it shows the model nothing."""

from __future__ import annotations

import warnings

import PIL.Image
import pytest

from qwenvl_kit import ImagePart, Message, Request, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import MediaNotFoundError, QwenVLKitWarning
from qwenvl_kit.formats import likely_mistakes
from qwenvl_kit.formats.file_names import warnings_of_names

NAMES = [
    "photo.jpg",
    '"photo.jpg"',
    "“photo.jpg”",
    " 照片.jpg\n",
    "/home/me/my photo.JPEG",
    "~/a.heic",
    "C:\\Users\\Me\\My Pictures\\a.png",
    "\\\\server\\share\\scan.tif",
    "file:///tmp/a.webp",
    "https://example.com/a.png?size=2#top",
    "s3://bucket/a.gif",
    "Screenshot 2026-01-02 at 10.20.30.png",
    "photo (1).jpg",
    "a.jpg, b.png",
    "a.jpg\nb.jpg",
    "photos/*.jpg",
    "report.pdf",
    "data:image/png;base64,iVBORw0KGgo",
    "iVBORw0KGgo" + "A" * 80 + "==",
    "/9j/" + "A" * 80,
]
TEXTS = [
    "",
    " ",
    ",",
    "What is in photo.jpg",
    "Describe photo.jpg",
    "photo.jpg?",
    "这是什么？photo.jpg",
    "What is a .jpg",
    ".jpg",
    "...jpg",
    "jpg",
    "notes.txt",
    "index.ts",
    "e.g. a.jpg",
    "Compare a.jpg with b.jpg.",
    "a.jpg\n" * 2000,
    "data:,hello",
    "描述这张图片：/data/a.jpg",
    "path=a.png",
    "image:a.png",
    "/9j/ is what a JPEG begins with",
]


@pytest.fixture(autouse=True)
def _nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likely_mistakes, "_warned", set())


def _chat() -> VisionChat:
    return VisionChat(ScriptedBackend(lambda request: "A cat."))


@pytest.mark.filterwarnings("ignore::qwenvl_kit.errors.QwenVLKitWarning")
def test_a_name_beside_a_question_is_told_with_its_cure_in_plan_and_reply():
    prompt = Message.user("photo.jpg", "What is this?")
    (warning,) = _chat().plan(prompt).warnings
    assert warning.startswith("messages[0].parts[0] ")
    assert warning.endswith("write ImagePart('photo.jpg')")
    reply = _chat().ask(prompt)
    assert reply.warnings == reply.plan.warnings == (warning,)
    assert reply.raw_text is None
    assert warning in str(reply.plan)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_any_form_is_told(name):
    assert len(warnings_of_names([Message.user(name, "What is this?")])) == 1


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_that_is_more_than_a_name_is_not_told(text):
    assert warnings_of_names([Message.user(text)]) == ()


def test_a_film_is_to_be_shown_as_a_video():
    (warning,) = warnings_of_names([Message.user("clip.MP4", "What happens?")])
    assert "VideoPart('clip.MP4')" in warning


def test_a_pdf_is_to_be_shown_as_a_document():
    (warning,) = warnings_of_names([Message.user("report.pdf", "What does it say?")])
    assert "DocumentPart('report.pdf')" in warning


def test_a_name_beside_a_picture_may_be_meant_as_text():
    picture = ImagePart(PIL.Image.new("RGB", (56, 56)))
    assert warnings_of_names([Message.user(picture, "photo.jpg")]) == ()


def test_a_name_that_a_model_or_a_tool_wrote_is_not_told():
    said = [Message.user("Where?"), Message.assistant("photo.jpg"), Message.tool("photo.jpg")]
    assert warnings_of_names([Message.system("photo.jpg"), *said]) == ()


def test_the_same_is_told_whether_or_not_the_file_is_there(tmp_path):
    there, missing = tmp_path / "a.png", tmp_path / "b.png"
    PIL.Image.new("RGB", (8, 8)).save(there)
    first, second = (warnings_of_names([Message.user(str(path))]) for path in (there, missing))
    assert [text.replace("a.png", "b.png") for text in first] == list(second)


def test_base64_is_told_by_its_first_characters():
    (warning,) = warnings_of_names([Message.user("iVBORw0KGgo" + "A" * 999)])
    assert "AAAAAAAAAAAAA" not in warning
    assert "ImagePart('iVBORw0KGgo" in warning


def test_neither_data_nor_what_may_be_a_secret_is_repeated():
    names = ["data:image/png;base64," + "A" * 999, "https://me:word@x.org/a.png?token=abc"]
    told = " ".join(warnings_of_names([Message.user(*names)]))
    assert "AAAA" not in told
    assert "word" not in told
    assert "token" not in told


def test_pythons_warning_comes_once_in_a_process_and_points_at_the_call():
    chat = _chat()
    with pytest.warns(QwenVLKitWarning, match=r"ImagePart\('a.jpg'\)") as caught:
        chat.ask(Message.user("a.jpg", "What?"))
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert chat.ask(Message.user("b.jpg", "What?")).warnings


@pytest.mark.filterwarnings("ignore::qwenvl_kit.errors.QwenVLKitWarning")
def test_a_name_in_a_batch_is_told_in_its_own_reply_alone():
    requests = ["Hello", Message.user("a.jpg", "What?"), Request("b.mp4", id="b")]
    replies = _chat().ask_many(requests, on_error="raise")
    assert [len(reply.warnings) for reply in replies] == [0, 1, 1]


@pytest.mark.parametrize("question", ["What is this?", "这是什么？"])
def test_a_question_in_the_place_of_the_picture_is_an_error_with_the_right_order(question):
    with pytest.raises(MediaNotFoundError) as caught:
        _chat().ask("photo.jpg", question)
    assert caught.value.hint == f"the question first: chat.ask({question!r}, 'photo.jpg')"


def test_a_missing_picture_in_its_place_has_the_usual_hint():
    with pytest.raises(MediaNotFoundError) as caught:
        _chat().ask("What is this?", "photo.jpg")
    assert "absolute path" in caught.value.hint
