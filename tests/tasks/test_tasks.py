from __future__ import annotations

import json

import PIL.Image
import pytest

from qwenvl_kit import (
    ImagePart,
    Message,
    PixelBudget,
    Sampling,
    TextPart,
    VideoPart,
    VisionChat,
)
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import BudgetError, GenerationError, MediaNotFoundError, MessageError
from qwenvl_kit.tasks import compare, describe, document_qa, read_text, translate_text_in_image
from qwenvl_kit.tasks.document_qa import INSTRUCTION, PAGE_PROMPTS

RED = PIL.Image.new("RGB", (84, 56), "red")
BLUE = PIL.Image.new("RGB", (56, 56), "blue")
TASKS = {
    "describe": describe,
    "read_text": read_text,
    "translate_text_in_image": translate_text_in_image,
    "compare": lambda chat, image, **options: compare(chat, image, BLUE, **options),
}


def _asked(task, *args, answer=" An answer. \n", **options):
    """The task's result, and the one message that it sent."""
    backend = ScriptedBackend([answer])
    result = task(VisionChat(backend), *args, **options)
    (request,) = backend.requests
    (message,) = request.messages
    return result, message, request


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_task_gives_its_answer_without_white_space_around_it(task):
    result, _, _ = _asked(task, RED)
    assert str(result) == result.text == "An answer."
    assert result.reply.text == " An answer. \n"
    assert result.confidence == result.reply.confidence > 0


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_task_passes_on_prompt_sampling_and_budget(task):
    sampling, budget = Sampling(max_new_tokens=7), PixelBudget(4, 5)
    large = PIL.Image.new("RGB", (900, 900))
    _, message, request = _asked(task, large, prompt="Say yes.", sampling=sampling, budget=budget)
    assert message.text == "Say yes."
    assert request.sampling == sampling
    assert request.plan.images[0].tokens <= 5


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_task_refuses_a_bad_picture_with_its_place(task):
    with pytest.raises(MediaNotFoundError) as caught:
        task(VisionChat(ScriptedBackend([])), "/no/such.png")
    assert caught.value.where == "messages[0].parts[0]"


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_task_lets_the_models_failure_through(task):
    with pytest.raises(GenerationError, match="no"):
        task(VisionChat(ScriptedBackend([GenerationError("no")])), RED)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_task_refuses_an_unknown_budget(task):
    with pytest.raises(BudgetError):
        task(VisionChat(ScriptedBackend(["x"])), RED, budget="huge")


def test_a_description_asks_for_the_kind_of_thing_that_it_is_given():
    _, image_message, _ = _asked(describe, RED)
    _, video_message, _ = _asked(describe, VideoPart([RED, RED], fps=1))
    assert "image" in image_message.text
    assert "video" in video_message.text


def test_a_picture_may_be_a_part_with_settings_of_its_own():
    part = ImagePart(RED, height_px=28, width_px=28)
    _, message, request = _asked(describe, part)
    assert message.parts[0] == part
    assert request.plan.images[0].tokens == 1


def test_pictures_are_compared_in_the_order_given():
    _, message, _ = _asked(compare, RED, BLUE, RED)
    assert message.parts[:3] == (ImagePart(RED), ImagePart(BLUE), ImagePart(RED))


def test_text_that_was_read_has_lines_without_empty_ones():
    result, _, _ = _asked(read_text, RED, answer="\n one \n\n  two\r\nthree \n ")
    assert result.lines == ("one", "two", "three")


def test_a_picture_without_text_has_no_lines():
    result, _, _ = _asked(read_text, RED, answer=" \n ")
    assert (result.text, result.lines) == ("", ())


def test_a_translation_names_its_language():
    result, message, _ = _asked(translate_text_in_image, RED, "German")
    assert "German" in message.text
    assert result.target_language == "German"


@pytest.mark.parametrize(
    "prompt", ["Into {language}, {please}!", "100% {language} {", "{0} {language}"]
)
def test_a_prompt_with_other_braces_is_left_alone(prompt):
    _, message, _ = _asked(translate_text_in_image, RED, "German", prompt=prompt)
    assert message.text == prompt.replace("{language}", "German")


def _document_script(request):
    question = request.messages[0].text
    if "fail" in question:
        raise GenerationError("no")
    return f" {question.splitlines()[0][::-1]} "


def _document_chat():
    return VisionChat(ScriptedBackend(_document_script))


def test_each_question_about_a_document_gets_its_own_answer_in_the_order_asked():
    answers = document_qa(_document_chat(), RED, ["cba", "fed", "ihg"])
    assert list(answers) == ["cba", "fed", "ihg"]
    assert [str(answer) for answer in answers.values()] == ["abc", "def", "ghi"]
    assert len(answers) == 3
    assert answers.failures == {}
    assert "fed" in answers


def test_a_question_that_fails_costs_no_other_and_raises_when_it_is_looked_up():
    answers = document_qa(_document_chat(), RED, ["cba", "fail", "fed"])
    assert list(answers) == ["cba", "fed"]
    assert list(answers.failures) == ["fail"]
    with pytest.raises(GenerationError, match="no") as caught:
        _ = answers["fail"]
    assert caught.value.where == "requests[1]"
    with pytest.raises(KeyError):
        _ = answers["never asked"]
    assert "fail" not in answers
    assert answers.get("fail") is None


def test_one_question_may_stand_without_a_list():
    assert str(document_qa(_document_chat(), RED, "cba")["cba"]) == "abc"


def test_a_question_that_is_asked_twice_is_answered_once():
    backend = ScriptedBackend(_document_script)
    answers = document_qa(VisionChat(backend), RED, ["a", "b", "a"])
    assert list(answers) == ["a", "b"]
    assert len(backend.requests) == 2


@pytest.mark.parametrize("pages", [[RED, BLUE], (RED, BLUE)])
def test_the_pages_of_a_document_are_shown_with_their_numbers(pages):
    backend = ScriptedBackend(["x"])
    document_qa(VisionChat(backend), pages, "who?")
    question = f"who?\n{INSTRUCTION}\n{PAGE_PROMPTS['en']}"
    assert backend.requests[0].messages == (
        Message.user(
            TextPart("Page 1:"), ImagePart(RED), TextPart("Page 2:"), ImagePart(BLUE), question
        ),
    )


def test_an_answer_about_several_pages_says_on_which_it_stands_and_how_sure_both_are():
    written = '{"answer": "the second one", "page": 2}'
    backend = ScriptedBackend([written])
    answer = document_qa(VisionChat(backend), [RED, BLUE], "who?")["who?"]
    assert (answer.text, answer.page, answer.pages) == ("the second one", 2, (1, 2))
    assert str(answer) == "the second one"
    at = written.index('"the')
    assert answer.confidence == answer.reply.confidence_between(at, at + len('"the second one",'))
    assert 0 < answer.page_confidence < 1
    schema = json.loads(backend.requests[0].constraint.text)
    assert schema["properties"]["page"]["enum"] == [1, 2, None]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('{"answer": "both", "page": null}', "both"),
        ('{"answer": "cut of', "cut of"),
        ('{"answer": "x", "page": 7}', "x"),
        ("no JSON at all", "no JSON at all"),
        ("[1, 2]", "[1, 2]"),
    ],
)
def test_an_answer_without_a_page_is_kept(written, text):
    answer = document_qa(VisionChat(ScriptedBackend([written])), [RED, BLUE], "who?")["who?"]
    assert (answer.text, answer.page) == (text, None)


def test_the_answer_about_a_single_page_is_free_and_stands_on_it():
    backend = ScriptedBackend(['{"answer": 3}'])
    answer = document_qa(VisionChat(backend), RED, "who?")["who?"]
    assert (answer.text, answer.page, answer.page_confidence) == ('{"answer": 3}', 1, None)
    assert answer.confidence == answer.reply.confidence
    assert backend.requests[0].constraint is None


def test_an_empty_instruction_leaves_the_question_as_it_is():
    backend = ScriptedBackend(["x"])
    document_qa(VisionChat(backend), RED, "who?", instruction="")
    assert backend.requests[0].messages[0].text == "who?"


@pytest.mark.parametrize(
    "questions", [[], (), "", " ", ["fine", "  "], ["fine", None], [3], [b"x"]]
)
def test_questions_that_are_none_are_refused_before_any_is_asked(questions):
    with pytest.raises(MessageError) as caught:
        document_qa(VisionChat(ScriptedBackend([])), RED, questions)
    assert caught.value.expected


@pytest.mark.parametrize("questions", [None, 3, [["nested"]], [{"q": "who?"}]])
def test_questions_of_another_type_are_refused(questions):
    with pytest.raises(MessageError):
        document_qa(VisionChat(ScriptedBackend([])), RED, questions)


def test_a_document_without_pages_is_refused():
    with pytest.raises(MessageError, match="no pages"):
        document_qa(_document_chat(), [], "a")


def test_a_bad_page_fails_every_question_with_its_place():
    answers = document_qa(_document_chat(), [RED, "/no/such.png"], ["a", "b"])
    assert len(answers) == 0
    places = [failure.error.where for failure in answers.failures.values()]
    assert places == [f"requests[{i}].messages[0].parts[3]" for i in range(2)]
