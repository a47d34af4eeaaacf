"""Tasks ask in English or Chinese, with prompts that can be seen and replaced."""

from __future__ import annotations

import itertools
import json

import PIL.Image
import pytest

from qwenvl_kit import Sampling, VideoPart, VisionChat
from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import (
    AnswerError,
    GenerationError,
    MediaSizeError,
    MessageError,
    UnsupportedFeatureError,
)
from qwenvl_kit.tasks import (
    ask_number,
    ask_video,
    ask_yes_no,
    chart_to_table,
    classify,
    compare,
    compare_by_aspects,
    count,
    describe,
    document_qa,
    find_differences,
    judge_description,
    read_table,
    read_text,
    write_from_image,
)
from qwenvl_kit.tasks.compare import ASPECTS
from qwenvl_kit.tasks.describe import PROMPTS
from qwenvl_kit.tasks.judge_description import claims_of

RED = PIL.Image.new("RGB", (84, 56), "red")
BLUE = PIL.Image.new("RGB", (56, 56), "blue")


def told(task, *args, answer="3", **options):
    """The task's result, and the text that it sent."""
    backend = ScriptedBackend([answer])
    result = task(VisionChat(backend), *args, **options)
    return result, backend.requests[0].messages[0].text


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    ("task", "args"),
    [
        (describe, (RED,)),
        (compare, (RED, BLUE)),
        (read_text, (RED,)),
        (count, (RED, "3")),
        (write_from_image, (RED,)),
    ],
)
def test_a_task_asks_in_the_language_that_was_chosen(task, args, language):
    _, text = told(task, *args, language=language)
    assert text.isascii() == (language == "en")
    with pytest.raises(MessageError, match="language='fr'"):
        told(task, *args, language="fr")


@pytest.mark.parametrize("value", [3, [3], b"a", {1: 1}])
@pytest.mark.parametrize(
    ("task", "args", "name"),
    [
        (describe, (RED,), "prompt"),
        (describe, (RED,), "focus"),
        (describe, (RED,), "detail"),
        (describe, (RED,), "language"),
        (read_text, (RED,), "form"),
        (read_table, (RED,), "prompt"),
        (compare_by_aspects, (RED, BLUE), "aspects"),
        (write_from_image, (RED,), "style"),
        (document_qa, (RED, ["?"]), "instruction"),
        (classify, (RED, ["a", "b"]), "question"),
        (ask_yes_no, ("?",), "prompt"),
        (ask_number, ("?",), "language"),
    ],
)
def test_an_argument_that_is_no_text_is_refused_by_its_name(task, args, name, value):
    with pytest.raises(MessageError, match=f"{name}="):
        task(VisionChat(ScriptedBackend([])), *args, **{name: value})


@pytest.mark.parametrize("detail", PROMPTS)
def test_a_description_is_as_detailed_as_asked_for_and_pays_attention(detail):
    _, text = told(describe, RED, detail=detail, focus="the {left} side")
    assert text.startswith(PROMPTS[detail]["en"].replace("{kind}", "image"))
    assert text.endswith("Pay attention to the {left} side.")
    _, chinese = told(describe, VideoPart([RED, RED], fps=1), detail=detail, language="zh")
    assert "视频" in chinese
    with pytest.raises(MessageError, match="detail"):
        told(describe, RED, detail="endless")


def test_text_is_read_plain_or_as_markdown():
    assert "Markdown" in told(read_text, RED, form="markdown")[1]
    with pytest.raises(MessageError, match="form"):
        told(read_text, RED, form="html")


def test_things_are_counted_as_a_whole_number():
    result, text = told(count, RED, "red cups", answer="12")
    assert result.value == 12
    assert isinstance(result.value, int)
    assert text == "How many red cups are there?\nAnswer with a number."
    for nothing in ("", " ", None):
        with pytest.raises(MessageError, match="the things to count"):
            told(count, RED, nothing)


def aspect_script(request: BackendRequest) -> str:
    text = request.messages[0].text
    if "fail" in text:
        raise GenerationError("no")
    return text[-20:]


def test_pictures_are_compared_aspect_by_aspect_and_one_that_fails_costs_no_other():
    chat = VisionChat(ScriptedBackend(aspect_script))
    assert list(compare_by_aspects(chat, RED, BLUE)) == list(ASPECTS["en"])
    found = compare_by_aspects(chat, RED, BLUE, aspects=["size", "fail", "size"])
    assert list(found) == ["size"]
    assert list(found.failures) == ["fail"]
    assert list(compare_by_aspects(chat, RED, BLUE, language="zh")) == list(ASPECTS["zh"])
    for nothing in ([], "size"):
        with pytest.raises(MessageError, match="aspects"):
            compare_by_aspects(chat, RED, BLUE, aspects=nothing)


def test_differences_are_a_list_with_confidences():
    answer = json.dumps({"differences": ["the cup", "light"]})
    found, text = told(find_differences, RED, BLUE, answer=answer)
    assert [difference.text for difference in found] == ["the cup", "light"]
    assert all(0 < difference.confidence <= 1 for difference in found)
    assert "- differences: list of text" in text
    assert told(find_differences, RED, BLUE, answer='{"differences": []}')[0] == ()


@pytest.mark.parametrize("task", [read_table, chart_to_table])
def test_a_table_has_as_many_cells_in_each_row_as_headings(task):
    answer = json.dumps({"columns": ["a", "b"], "rows": [["1", "2"], ["3"], ["4", "5", "6"]]})
    table, _ = told(task, RED, answer=answer)
    assert table.rows == (("1", "2"), ("3", ""), ("4", "5"))
    assert table.warnings == ("2 of 3 rows have more or fewer than 2 cells",)
    assert table.extraction.confidences["rows[0][1]"] > 0
    assert "a" in str(table)
    assert "<table>" in table._repr_html_()
    empty, _ = told(task, RED, answer='{"columns": [], "rows": []}')
    assert (empty.columns, empty.rows) == ((), ())
    str(empty)


def test_a_table_that_does_not_end_is_told_with_its_reply():
    with pytest.raises(AnswerError, match="cut short") as caught:
        told(read_table, RED, answer='{"columns": ["a"], "rows": [["1"')
    assert caught.value.reply.text.endswith('"1"')


def test_writing_is_by_chance_unless_it_is_said_otherwise():
    backend = ScriptedBackend(["Once."])
    written = write_from_image(VisionChat(backend), RED, style="a poem", num_words=20)
    assert (
        backend.requests[0].messages[0].text == "Write a poem about this image, in about 20 words."
    )
    assert backend.requests[0].sampling.temperature == 0.9
    assert str(written) == "Once."
    for number in (0, -1, 1.5, True):
        with pytest.raises(MessageError, match="num_words"):
            write_from_image(VisionChat(backend), RED, num_words=number)


def test_presets_of_a_document_ask_their_question():
    backend = ScriptedBackend(["A", "B"])
    found = document_qa(VisionChat(backend), RED, ["title", "Who?"], language="en")
    assert list(found) == ["title", "Who?"]
    assert "title of this document" in backend.requests[0].messages[0].text
    chinese = ScriptedBackend(["A"])
    document_qa(VisionChat(chinese), RED, "authors", language="zh")
    assert "作者" in chinese.requests[0].messages[0].text


def test_a_pdf_is_asked_about_by_its_pages():
    import io

    buffer = io.BytesIO()
    RED.save(buffer, "PDF", save_all=True, append_images=[BLUE, RED])
    backend = ScriptedBackend(["A", "B"])
    content = buffer.getvalue()
    found = document_qa(VisionChat(backend), content, ["One?", "Two?"], pages=iter([2, 3]))
    assert found["One?"].pages == (2, 3)
    assert "Page 3:" in backend.requests[0].messages[0].text
    assert [len(request.plan.images) for request in backend.requests] == [2, 2]
    for endless in (itertools.count(1), itertools.repeat(1)):
        with pytest.raises(MediaSizeError):
            document_qa(VisionChat(backend), content, "One?", pages=endless)
    with pytest.raises(MessageError, match="only with a PDF"):
        document_qa(VisionChat(backend), RED, "One?", pages=[1])


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("A red circle. It is big!", ["A red circle.", "It is big!"]),
        ("一个红圆。很大！", ["一个红圆。", "很大！"]),
        ("no mark at all", ["no mark at all"]),
        ("One...\n\n- two", ["One...", "- two"]),
    ],
)
def test_a_description_is_judged_sentence_by_sentence(text, claims):
    assert claims_of(text) == claims


def judge_script(request: BackendRequest) -> str:
    return json.loads(request.constraint.text)[0]


def test_a_judgement_has_accuracy_richness_and_coherence():
    chat = VisionChat(ScriptedBackend(judge_script, logprob=-0.25))
    found = judge_description(chat, RED, "A red cup. A red plate.")
    assert [claim.text for claim in found.claims] == ["A red cup.", "A red plate."]
    assert found.accuracy == pytest.approx(0.5)  # all answers are as probable
    assert found.richness == pytest.approx(4 / 6**0.5)
    assert found.coherence == pytest.approx(0.7788, abs=1e-4)
    for nothing in ("", " . ", None):
        with pytest.raises(MessageError):
            judge_description(chat, RED, nothing)
    silent = VisionChat(ScriptedBackend(judge_script, logprob=None))
    with pytest.raises(UnsupportedFeatureError, match="no log-probabilities"):
        judge_description(silent, RED, "A cup.")


def test_a_video_is_asked_about_in_the_part_and_frames_that_were_chosen():
    backend = ScriptedBackend(["Up."] * 3)
    chat = VisionChat(backend)
    frames = [RED] * 12
    answer = ask_video(chat, frames, "Where to?", fps=2, start_seconds=1, end_seconds=4)
    assert str(answer) == "Up."
    assert answer.timestamps_seconds[0] >= 1
    assert answer.timestamps_seconds[-1] <= 4
    few = ask_video(chat, frames, "Where to?", fps=2, num_frames=4)
    assert len(few.timestamps_seconds) == 4
    part = VideoPart(frames, fps=4)
    assert ask_video(chat, part, "Where to?").timestamps_seconds[-1] == 2.75
    with pytest.raises(MessageError, match="together with a VideoPart"):
        ask_video(chat, part, "Where to?", fps=2)
    with pytest.raises(MessageError, match="a question"):
        ask_video(chat, frames, " ", fps=2)


def test_a_video_that_is_too_long_for_the_context_is_shown_in_fewer_frames():
    chat = VisionChat(ScriptedBackend(["Up."], context_tokens=200))
    large = [PIL.Image.new("RGB", (280, 280))] * 40
    answer = ask_video(chat, large, "Where to?", fps=2, sampling=Sampling(max_new_tokens=20))
    assert answer.reply.plan.degradations
    assert answer.reply.plan.prompt_tokens < 200
