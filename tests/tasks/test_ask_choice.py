"""A question with options: the probability of each, by its words or by its letter."""

from __future__ import annotations

import PIL.Image
import pytest

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import MessageError, SchemaError
from qwenvl_kit.tasks import ask_choice

GREY = PIL.Image.new("RGB", (64, 48), "grey")
OPTIONS = ["chair", "plant", "window", "tv stand"]
FARTHEST = "Which object, in relation to your current position, holds the farthest placement?"


class Chooser:
    """A backend that writes whatever it is allowed to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.allowed: list[str] = []

    def __call__(self, request: BackendRequest) -> str:
        assert request.constraint is not None
        assert request.constraint.only_answer is not None
        self.asked.append(request.messages[-1].text)
        self.allowed.append(request.constraint.only_answer)
        return request.constraint.only_answer


def test_options_are_offered_and_scored_by_their_letters() -> None:
    chooser = Chooser()
    chat = VisionChat(ScriptedBackend(chooser))
    found = ask_choice(chat, FARTHEST, OPTIONS, GREY, form="letters")
    assert chooser.allowed == ["A", "B", "C", "D"]
    assert set(chooser.asked) == {
        f"{FARTHEST}\nAnswer options:\nA. chair\nB. plant\nC. window\nD. tv stand\n"
        "Answer with the letter of one option."
    }
    assert dict(found.probabilities) == pytest.approx(dict.fromkeys(OPTIONS, 0.25))
    assert found.label == "chair"


def test_long_options_lose_nothing_by_their_length() -> None:
    options = ["Turn Back, Turn Left", "Turn Left"]
    by_letters = ask_choice(
        VisionChat(ScriptedBackend(Chooser())), "Which way?", options, GREY, form="letters"
    )
    by_words = ask_choice(VisionChat(ScriptedBackend(Chooser())), "Which way?", options, GREY)
    assert by_letters.probabilities[options[0]] == pytest.approx(0.5)
    assert by_words.probabilities[options[0]] < 0.5


def test_the_question_is_asked_in_chinese_or_in_words_of_ones_own() -> None:
    chooser = Chooser()
    chat = VisionChat(ScriptedBackend(chooser))
    ask_choice(chat, "哪个最远？", ["椅子", "窗户"], GREY, form="letters", language="zh")
    assert chooser.asked[0] == "哪个最远？\n选项：\nA. 椅子\nB. 窗户\n请回答其中一个选项的字母。"
    ask_choice(chat, "Why?", ["a", "b"], GREY, form="letters", prompt="{choices}! {question}")
    assert chooser.asked[-1] == "A. a\nB. b! Why?"


@pytest.mark.parametrize(
    ("choices", "form", "error"),
    [
        (["a"], "letters", SchemaError),
        ([], "letters", SchemaError),
        ("ab", "letters", SchemaError),
        (["a", "a"], "letters", SchemaError),
        (["a", " "], "letters", SchemaError),
        ([str(at) for at in range(27)], "letters", SchemaError),
        (["a", "b"], "numbers", MessageError),
    ],
)
def test_wrong_choices_are_told(choices: list[str], form: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        ask_choice(VisionChat(ScriptedBackend(["never"])), "Why?", choices, GREY, form=form)  # type: ignore[arg-type]
