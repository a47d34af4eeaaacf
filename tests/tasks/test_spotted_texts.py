"""Texts of a picture one by one: with boxes where the family grounds, as far as an answer goes."""

from __future__ import annotations

import json

import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import MessageError
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.tasks import read_text, translate_text_in_image

PAGE = PIL.Image.new("RGB", (1000, 500), "white")
LINES = [
    {"bbox_2d": [100, 200, 500, 400], "text_content": "Total 5.00"},
    {"bbox_2d": [0, 0, 1000, 100], "text_content": 'a "b"'},
]


def _read(answer, family="qwen3_vl", **options):
    backend = ScriptedBackend([answer], family=family)
    found = read_text(VisionChat(backend), PAGE, form="lines", **options)
    return found, backend.requests[0]


def test_lines_come_with_their_boxes_and_confidences():
    found, request = _read(json.dumps(LINES))
    first, second = found.text_lines
    assert (first.text, second.text) == ("Total 5.00", 'a "b"')
    assert (first.box.x1_px, first.box.y1_px) == (100, 100)
    assert (first.box.x2_px, first.box.y2_px) == (500, 200)
    assert first.box.label == "Total 5.00"
    assert 0 < first.confidence < 1
    assert 0 < first.box.confidence < 1
    assert found.text == 'Total 5.00\na "b"'
    assert found.lines == ("Total 5.00", 'a "b"')
    assert found.warnings == ()
    assert request.constraint is not None
    assert "bbox_2d" in request.messages[0].text


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_asked_for_boxes_as_it_grounds(family):
    item = {"text_content": "A"}
    grounds = FAMILIES[family].box_format == "json"
    found, request = _read(json.dumps([{**LINES[0], **item} if grounds else item]), family)
    (line,) = found.text_lines
    assert line.text == "A"
    assert (line.box is not None) is grounds
    assert ("bbox_2d" in request.constraint.text) is grounds
    assert ("bbox_2d" in request.messages[0].text) is grounds


def test_an_answer_that_is_cut_off_keeps_what_there_is_and_says_so():
    found, _ = _read(json.dumps(LINES)[:-7])
    assert [line.text for line in found.text_lines] == ["Total 5.00", "a "]
    assert found.text_lines[1].confidence is None
    cut_before_a_word, _ = _read(json.dumps(LINES)[:-11])
    assert len(cut_before_a_word.text_lines) == 1
    assert found.warnings == ("the answer ended early (stop); there may be more",)


@pytest.mark.parametrize(
    "numbers", [[1, 2, 3], [5, 5, 5, 5], "here", None, [1, 2, 3, "4"], [True, 1, 2, 3]]
)
def test_a_line_without_a_sound_box_keeps_its_text(numbers):
    found, _ = _read(json.dumps([{"bbox_2d": numbers, "text_content": "A"}]))
    (line,) = found.text_lines
    assert (line.text, line.box) == ("A", None)


@settings(deadline=None)
@given(st.one_of(st.text(), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
).map(json.dumps)))  # fmt: skip
def test_an_answer_of_any_form_is_kept_whole(answer):
    found, _ = _read(answer)
    assert found.reply.text == answer
    if not found.text_lines:
        assert found.text == answer.strip()


def test_the_language_of_the_prompt_may_be_chosen_and_the_prompt_replaced():
    _, chinese = _read("[]", language="zh")
    assert "逐行" in chinese.messages[0].text
    _, own = _read("[]", prompt="OCR with {fields}")
    assert own.messages[0].text.startswith("OCR with - bbox_2d")
    with pytest.raises(MessageError, match="language"):
        _read("[]", language="fr")


PAIRS = {"texts": [{"source": "Ente", "target": "Duck"}, {"source": "Brot", "target": "Bread"}]}


def _translated(answer, *args, family="qwen2_vl", **options):
    backend = ScriptedBackend([answer], family=family)
    found = translate_text_in_image(VisionChat(backend), PAGE, *args, **options)
    return found, backend.requests[0]


def test_each_text_is_translated_beside_what_it_says():
    found, request = _translated(json.dumps(PAIRS))
    assert [(pair.source, pair.target) for pair in found.pairs] == [
        ("Ente", "Duck"),
        ("Brot", "Bread"),
    ]
    assert all(0 < pair.source_confidence < 1 for pair in found.pairs)
    assert all(0 < pair.target_confidence < 1 for pair in found.pairs)
    assert str(found) == found.text == "Duck\nBread"
    assert (found.target_language, found.warnings) == ("English", ())
    assert request.messages[0].text == (
        "Translate each text in this image into English, as JSON:\n"
        "- texts: list of objects:\n  - source: text\n  - target: text"
    )
    assert "bbox_2d" not in request.constraint.text


def test_a_family_that_grounds_says_where_each_text_stands():
    pairs = [{"bbox_2d": [100, 200, 500, 400], **pair} for pair in PAIRS["texts"]]
    found, request = _translated(json.dumps({"texts": pairs}), "German", family="qwen3_vl")
    assert found.pairs[0].box.region.x2_px == 500
    assert found.pairs[0].box.label == "Ente"
    assert "into German" in request.messages[0].text


@pytest.mark.parametrize("answer", ["Duck, bread.", "[]", "{}", '{"texts": 3}', '{"texts": [7]}'])
def test_an_answer_without_pairs_is_kept_as_it_is(answer):
    found, _ = _translated(answer)
    assert (found.text, found.pairs) == (answer, ())


@pytest.mark.parametrize("language", ["", " ", None, 3])
def test_a_translation_into_nothing_is_refused_before_anything_is_asked(language):
    backend = ScriptedBackend([])
    with pytest.raises(MessageError):
        translate_text_in_image(VisionChat(backend), PAGE, language)
    assert not backend.requests


def test_a_box_that_is_none_is_told_and_its_text_is_kept():
    found, _ = _read('[{"bbox_2d": [1, 2, 3], "text_content": "Total"}]')
    assert found.text == "Total"
    assert found.text_lines[0].box is None
    assert "no list of four numbers" in found.warnings[0]
