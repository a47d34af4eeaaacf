"""Extraction with evidence: every value with its page and its box, in the original's pixels."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import dataclass, field
from typing import Any, Literal, Union

import PIL.Image
import PIL.ImageDraw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit import DocumentPart, ImagePart, Region, VideoPart, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.calibration import Calibrator
from qwenvl_kit.errors import (
    AnswerError,
    GenerationError,
    InputError,
    MessageError,
    UnsupportedFeatureError,
)
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.tasks import Evidence, EvidencedExtraction, Extraction, extract, stream_extract
from qwenvl_kit.tasks.extract.evidence_form import EvidenceForm
from tests.media.test_pages import pdf_of

PAGE = PIL.Image.new("RGB", (1400, 700), "white")
TALL = PIL.Image.new("RGB", (560, 1120), "white")
JSON_FAMILIES = [name for name, family in FAMILIES.items() if family.box_format == "json"]
TOKEN_FAMILIES = [name for name, family in FAMILIES.items() if family.box_format != "json"]


@dataclass
class Item:
    name: str
    price: float


@dataclass
class Invoice:
    number: str
    total: float
    items: list[Item]
    due: str | None = None


@dataclass
class Small:
    total: float
    date: str | None = None


def _leaf(value, box=None, **more):
    return {"value": value, **more, "bbox_2d": box}


INVOICE = {
    "number": _leaf("A-7", [100, 100, 300, 200]),
    "total": _leaf(62.5, [500, 800, 700, 900]),
    "items": [
        {"name": _leaf("Pen", [0, 300, 100, 350]), "price": _leaf(2.5, [900, 300, 1000, 350])},
        {"name": _leaf("Ink", None), "price": _leaf(60, [900, 400, 1000, 450])},
    ],
    "due": _leaf(None, None),
}


def _found(answers, wanted=Invoice, source=PAGE, family="qwen3_vl", **options):
    written = [a if isinstance(a, (str, Exception)) else json.dumps(a) for a in answers]
    backend = ScriptedBackend(written, family=family)
    return extract(VisionChat(backend), source, wanted, evidence=True, **options), backend


def _sides(box):
    return tuple(round(side) for side in (box.x1_px, box.y1_px, box.x2_px, box.y2_px))


# What is asked, and what comes of it


def test_each_value_has_its_box_in_pixels_of_the_original_and_its_confidence():
    found, backend = _found([INVOICE])
    assert isinstance(found, EvidencedExtraction)
    assert isinstance(found, Extraction)
    assert found.value == Invoice("A-7", 62.5, [Item("Pen", 2.5), Item("Ink", 60)])
    assert list(found.evidence) == [
        "number", "total", "items[0].name", "items[0].price", "items[1].name", "items[1].price",
        "due",
    ]  # fmt: skip
    total = found.evidence["total"]
    assert (total.value, total.page, total.found) == (62.5, 1, True)
    assert _sides(total.box) == (700, 560, 980, 630)
    assert total.box.label == "total"
    assert 0 < total.confidence <= 1
    assert 0 < total.box.confidence <= 1
    assert list(found.confidences) == list(found.evidence)
    assert len(backend.requests) == 1


def test_a_value_that_stands_nowhere_is_told_and_a_null_is_not_missing():
    found, _ = _found([INVOICE])
    assert found.missing == ("items[1].name",)
    assert not found.evidence["items[1].name"].found
    assert not found.evidence["due"].found
    assert "missing='items[1].name'" in repr(found)


@pytest.mark.parametrize("family", JSON_FAMILIES)
def test_one_constrained_answer_has_values_and_boxes_in_each_family_that_writes_boxes_in_json(
    family,
):
    found, backend = _found([{"total": _leaf(5, [140, 70, 280, 140]), "date": None}],
                            Small, family=family)  # fmt: skip
    (request,) = backend.requests
    assert "bbox_2d" in request.constraint.text
    assert "bbox_2d" in request.messages[0].text
    assert "page" not in json.loads(request.constraint.text)["properties"]["total"]["properties"]
    plan = request.plan.images[0]
    shown = plan.resized
    unit = 1000 if FAMILIES[family].coordinates == "thousandths" else None
    across = plan.original.width_px / (unit or shown.width_px)
    down = plan.original.height_px / (unit or shown.height_px)
    assert _sides(found.evidence["total"].box) == (
        round(140 * across), round(70 * down), round(280 * across), round(140 * down),
    )  # fmt: skip


@pytest.mark.parametrize("family", JSON_FAMILIES)
def test_a_box_is_mapped_by_the_size_of_its_own_page(family):
    answer = {
        "total": _leaf(5, [100, 100, 200, 200], page=1),
        "date": _leaf("May", [100, 100, 200, 200], page=2),
    }
    found, backend = _found([answer], Small, [PAGE, TALL], family)
    message = backend.requests[0].messages[0]
    assert "Page 1:" in message.text
    assert "Page 2:" in message.text
    total, date = found.evidence["total"], found.evidence["date"]
    assert (total.page, date.page) == (1, 2)
    for evidence, plan in zip((total, date), backend.requests[0].plan.images):
        thousandths = FAMILIES[family].coordinates == "thousandths"
        shown = 1000 if thousandths else plan.resized.width_px
        assert evidence.box.x1_px == pytest.approx(100 * plan.original.width_px / shown, abs=0.01)
    assert found.pages == (1, 2)


@pytest.mark.parametrize("family", TOKEN_FAMILIES)
def test_a_family_with_box_tokens_locates_each_text_afterwards_once(family):
    answers = [
        {"number": "A-7", "total": 2.5, "items": [{"name": "Pen", "price": 2.5}], "due": None},
        "<|object_ref_start|>A-7<|object_ref_end|><|box_start|>(100,100),(300,200)<|box_end|>",
        "2.5(900,300),(1000,350)2.5(500,800),(700,900)",
        "nothing here",
    ]
    found, backend = _found(answers, family=family)
    first, *later = backend.requests
    assert "bbox_2d" not in first.constraint.text
    assert [request.messages[0].text for request in later] == [
        'Find the text "A-7" in this image with grounding.',
        'Find the text "2.5" in this image with grounding.',
        'Find the text "Pen" in this image with grounding.',
    ]
    assert _sides(found.evidence["number"].box) == (140, 70, 420, 140)
    assert _sides(found.evidence["total"].box) == (1260, 210, 1400, 245)
    assert _sides(found.evidence["items[0].price"].box) == (700, 560, 980, 630)
    assert found.evidence["items[0].price"].box.label == "items[0].price"
    assert found.missing == ("items[0].name",)
    assert len(found.replies) == 3


@pytest.mark.parametrize("family", TOKEN_FAMILIES)
def test_a_family_with_box_tokens_tells_the_page_in_its_answer(family):
    answers = [
        {"total": {"value": 5, "page": 2}, "date": {"value": "May", "page": None}},
        "5(0,0),(500,500)",
    ]
    found, backend = _found(answers, Small, [PAGE, TALL], family)
    assert backend.requests[1].messages[0].parts[0] == ImagePart(TALL)
    assert _sides(found.evidence["total"].box) == (0, 0, 280, 560)
    assert found.evidence["total"].page == 2
    assert found.missing == ("date",)


def test_a_text_that_stands_in_more_places_than_values_gives_the_first_and_says_so():
    answers = [{"total": 5, "date": None}, "5(0,500),(100,600)5(0,0),(100,100)"]
    found, _ = _found(answers, Small, family="qwen2_vl")
    assert _sides(found.evidence["total"].box) == (0, 0, 140, 70)
    assert "total: 2 places have its text; the first is given" in found.warnings


def test_what_need_not_be_printed_is_located_by_its_description():
    schema = {
        "type": "object",
        "properties": {
            "paid": {"type": "boolean", "description": "the stamp PAID"},
            "kind": {"enum": ["bill", "receipt"]},
        },
        "required": ["paid", "kind"],
    }
    answers = [{"paid": True, "kind": "bill"}, "x(0,0),(100,100)", "x(0,0),(100,100)"]
    _, backend = _found(answers, schema, family="qwen2_vl")
    asked = [request.messages[0].text for request in backend.requests[1:]]
    assert asked == [
        "Find the stamp PAID in this image with grounding.",
        "Find kind in this image with grounding.",
    ]


def test_a_failed_look_costs_the_place_of_its_value_alone():
    answers = [
        {"total": 5, "date": "May"}, GenerationError("no"), "May(0,0),(100,100)",
    ]  # fmt: skip
    found, _ = _found(answers, Small, family="qwen2_vl")
    assert found.value == Small(5, "May")
    assert found.evidence["date"].found
    assert found.missing == ("total",)
    assert any("a later look failed" in warning for warning in found.warnings)


def test_a_chinese_prompt_asks_for_evidence_in_chinese():
    _, backend = _found([{"total": _leaf(5), "date": None}], Small, language="zh")
    assert "检测框" in backend.requests[0].messages[0].text
    _, backend = _found([{"total": 5, "date": None}, "5(0,0),(9,9)"], Small, family="qwen2_vl",
                        language="zh")  # fmt: skip
    assert backend.requests[1].messages[0].text == "框出图中文字“5”的位置。"


def test_a_prompt_of_ones_own_keeps_the_request_for_evidence():
    _, backend = _found([{"total": _leaf(5), "date": None}], Small, prompt="Fields:\n{fields}")
    text = backend.requests[0].messages[0].text
    assert text.startswith("Fields:\n- total: number\n- date: text or null\nWrite each value")


# Types


@dataclass
class Card:
    value: str
    bbox_2d: list[int]


@dataclass
class Odd:
    value: int
    page: int
    bbox_2d: list[int]
    card: Card | None
    either: Union[Item, str, None]
    named: dict[str, float]
    pair: tuple[str, int]
    free: dict[str, Any]
    kind: Literal["a", "b"] = "a"
    tags: list[str] = field(default_factory=list)


def test_types_of_every_form_are_unfolded_also_those_with_the_names_of_evidence():
    box = [1, 2, 30, 40]
    answer = {
        "value": _leaf(1, box), "page": _leaf(2, box), "bbox_2d": [_leaf(n, box) for n in (5, 6)],
        "card": {"value": _leaf("v", box), "bbox_2d": [_leaf(7, box)]},
        "either": {"name": _leaf("Pen", box), "price": _leaf(1.5, box)},
        "named": {"x": _leaf(0.5, box)}, "pair": [_leaf("p", box), _leaf(9, box)],
        "free": _leaf({"k": [1, 2]}, box), "kind": _leaf("b", box), "tags": [_leaf("t", box)],
    }  # fmt: skip
    found, _ = _found([answer], Odd)
    assert found.value == Odd(
        1, 2, [5, 6], Card("v", [7]), Item("Pen", 1.5), {"x": 0.5}, ("p", 9),
        {"k": [1, 2]}, "b", ["t"],
    )  # fmt: skip
    assert all(evidence.found for evidence in found.evidence.values())
    assert {"card.value", "card.bbox_2d[0]", "either.name", "named.x", "pair[1]", "free"} <= set(
        found.evidence
    )
    assert found.warnings == ()


@pytest.mark.parametrize("either", [_leaf("text", [0, 0, 9, 9]), None])
def test_of_several_types_the_one_that_was_written_is_read(either):
    @dataclass
    class Either:
        either: Union[Item, str, None]

    found, _ = _found([{"either": either}], Either)
    assert found.value.either == (either and "text")
    assert found.evidence["either"].found is (either is not None)


def test_a_list_and_a_number_may_be_wanted_by_themselves():
    found, _ = _found([{"value": [_leaf("a", [0, 0, 9, 9]), _leaf("b")]}], list[str])
    assert found.value == ["a", "b"]
    assert found.missing == ("[1]",)
    found, _ = _found([{"value": _leaf(4, [0, 0, 9, 9])}], int)
    assert (found.value, found.evidence[""].found) == (4, True)


SIMPLE = st.one_of(st.text(max_size=8), st.integers(-999, 999), st.none(), st.booleans())
NAMES = st.sampled_from(["value", "page", "bbox_2d", "total", "名"])


def _schema_and_value(depth: int) -> st.SearchStrategy[tuple[dict, Any]]:
    """A JSON schema, with a value that follows it."""
    text = st.tuples(st.just({"type": "string"}), st.text(max_size=8))
    number = st.tuples(st.just({"type": ["integer", "null"]}), st.none() | st.integers(-99, 99))
    if depth == 0:
        return text | number
    inner = _schema_and_value(depth - 1)
    objects = st.dictionaries(NAMES, inner, min_size=1, max_size=3).map(
        lambda fields: (
            {
                "type": "object",
                "properties": {name: schema for name, (schema, _) in fields.items()},
                "required": list(fields),
            },
            {name: value for name, (_, value) in fields.items()},
        )
    )
    lists = st.tuples(inner, st.integers(0, 2)).map(
        lambda pair: ({"type": "array", "items": pair[0][0]}, [pair[0][1]] * pair[1])
    )
    nullable = st.tuples(objects, st.booleans()).map(
        lambda pair: (
            {"anyOf": [pair[0][0], {"type": "null"}]},
            pair[0][1] if pair[1] else None,
        )
    )
    return st.one_of(text, number, objects, lists, nullable)


def _with_evidence(schema, value):
    """The value as a model writes it: with its evidence."""
    if "anyOf" in schema:
        return None if value is None else _with_evidence(schema["anyOf"][0], value)
    if schema.get("type") == "object":
        return {
            name: _with_evidence(part, value[name]) for name, part in schema["properties"].items()
        }
    if schema.get("type") == "array":
        return [_with_evidence(schema["items"], item) for item in value]
    return _leaf(value, [1, 2, 3, 4])


@settings(max_examples=150, deadline=None)
@given(_schema_and_value(3))
def test_a_value_of_any_type_survives_its_evidence(pair):
    schema, value = pair
    wrapped = schema if schema.get("type") == "object" else None
    answer = _with_evidence(schema, value)
    form = EvidenceForm(schema, "en", None, pages=[1], has_boxes=True)
    reply = VisionChat(ScriptedBackend([json.dumps(answer if wrapped else {"value": answer})])).ask(
        "?"
    )
    read = form.read(reply)
    assert read.value == value
    assert read.warnings == ()
    assert all(one.numbers == (1, 2, 3, 4) or one.value is None for one in read.written)


@settings(max_examples=60, deadline=None)
@given(st.recursive(SIMPLE, lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(NAMES, inner, max_size=3), max_leaves=12))  # fmt: skip
def test_no_answer_of_a_server_without_constraints_raises_anything_but_an_answer_error(answer):
    form = EvidenceForm(Invoice, "en", None, pages=[1, 2], has_boxes=True)
    reply = VisionChat(ScriptedBackend([json.dumps({**INVOICE, "due": answer})])).ask("?")
    with contextlib.suppress(AnswerError):
        assert form.read(reply).value.total == 62.5


# Answers that are not as they should be


def test_plain_values_of_a_server_without_constraints_are_kept_and_told():
    found, _ = _found([{"total": 5, "date": "May"}], Small)
    assert found.value == Small(5, "May")
    assert found.missing == ("total", "date")
    assert "total: a value without its evidence" in found.warnings


@pytest.mark.parametrize("box", [[], [1, 2, 3], [[1, 2, 3, 4]], ["1", "2", "3", "4"], "1 2 3 4",
                                 {"x": 1}, [True, 2, 3, 4], [533, 132, 457],
                                 [245, [234, 543, 542, 244]], [0, 5, 17, 10**400],
                                 [1, 2, 3, 4, 1], [None] * 4, -1e300])  # fmt: skip
def test_a_box_that_is_none_is_told(box):
    found, _ = _found([{"total": _leaf(5, box), "date": None}], Small)
    assert found.value.total == 5
    assert found.missing == ("total",)
    assert "total: a box that is no list of four numbers" in found.warnings


def test_a_box_outside_its_page_or_around_most_of_it_is_told():
    answer = {
        "total": _leaf(5, [2000, 2000, 3000, 3000]), "date": _leaf("May", [0, 0, 1000, 900]),
    }  # fmt: skip
    found, _ = _found([answer], Small)
    assert found.missing == ("total",)
    assert "total: a box outside the picture" in found.warnings
    assert "date: its box takes up most of the page" in found.warnings


@pytest.mark.parametrize("page", [None, 0, 3, "1", 1.0, True])
def test_a_page_that_was_not_shown_is_no_page(page):
    answer = {"total": _leaf(5, [0, 0, 100, 100], page=page), "date": None}
    found, _ = _found([answer], Small, [PAGE, TALL])
    assert found.evidence["total"].page is None
    assert found.missing == ("total",)
    assert "total: a box without its page" in found.warnings


def test_an_answer_that_is_cut_short_is_an_answer_error_with_its_reply():
    with pytest.raises(AnswerError, match="cut short") as caught:
        _found([json.dumps(INVOICE)[:90]])
    assert caught.value.reply.text


def test_a_backend_without_scores_gives_evidence_without_confidence():
    backend = ScriptedBackend([json.dumps(INVOICE)], family="qwen3_vl", logprob=None)
    found = extract(VisionChat(backend), PAGE, Invoice, evidence=True)
    assert found.evidence["total"].confidence is None
    assert found.evidence["total"].box.confidence is None
    assert found.confidence is None
    assert found._repr_html_()


# Confidence


def test_the_confidence_is_that_of_the_chats_calibrator():
    backend = ScriptedBackend([json.dumps(INVOICE)] * 2, family="qwen3_vl")
    chat = VisionChat(backend)
    raw = extract(chat, PAGE, Invoice, evidence=True)
    assert raw.evidence["total"].confidence == raw.confidences["total"]
    chat.calibrator = Calibrator("isotonic", "product", points=((0.0, 0.2), (1.0, 0.6)))
    found = extract(chat, PAGE, Invoice, evidence=True)
    expected = 0.2 + 0.4 * raw.confidences["total"]
    assert found.evidence["total"].confidence == pytest.approx(expected)
    assert found.confidences == raw.confidences


def test_the_spans_of_values_in_other_scripts_hold_their_own_tokens():
    answer = {"total": _leaf(5, [0, 0, 9, 9]), "date": _leaf("静脉 注射 😀", [0, 0, 9, 9])}
    text = json.dumps(answer, ensure_ascii=False)
    found, _ = _found([text], Small)
    date = found.reply.tokens_between(text.index('"静'), text.index('😀"') + 2)
    assert [token.text for token in date] == [' "静脉', " 注射", ' 😀",']
    assert found.evidence["date"].confidence == pytest.approx(math.exp(-0.3))


# The second look


def _verified(value, seen, box=(100, 100, 300, 200), **options):
    answers = [{"total": _leaf(5), "date": _leaf(value, list(box))}, *seen]
    return _found(answers, Small, verify=True, **options)


def test_a_second_look_reads_the_box_in_the_originals_pixels_and_confirms_the_value():
    found, backend = _verified("18 March", ["Date: 18 March"])
    part = backend.requests[1].messages[0].parts[0]
    assert part.source is PAGE
    assert part.crop == Region(121, 51, 438, 158)  # 140, 70, 420, 140 and a quarter of its height
    date = found.evidence["date"]
    assert (date.read_back, date.is_confirmed, date.found) == ("Date: 18 March", True, True)
    assert len(backend.requests) == 2  # a value without a box is not looked at
    assert len(found.replies) == 1


def test_a_box_that_reads_something_else_does_not_hold_the_value():
    found, _ = _verified("18 March", ["Total 9.00"])
    date = found.evidence["date"]
    assert (date.is_confirmed, date.found) == (False, False)
    assert date.box is not None
    assert "date" in found.missing
    assert "reads &#x27;Total 9.00&#x27;" in found._repr_html_()


def test_a_second_look_that_fails_leaves_the_value_unconfirmed():
    found, _ = _verified("18 March", [GenerationError("no")])
    date = found.evidence["date"]
    assert (date.read_back, date.is_confirmed, date.found) == (None, None, True)
    assert any("a later look failed" in warning for warning in found.warnings)


def test_a_second_look_that_is_cut_short_tells_nothing():
    found, _ = _verified("18 March", ["x " * 400])
    assert found.evidence["date"].is_confirmed is None
    assert "date: the second look was cut short (length)" in found.warnings


def test_yes_or_no_is_read_back_without_a_verdict():
    @dataclass
    class Paid:
        paid: bool

    found, _ = _found([{"paid": _leaf(True, [0, 0, 99, 99])}, "PAID"], Paid, verify=True)
    assert found.evidence["paid"].read_back == "PAID"
    assert found.evidence["paid"].is_confirmed is None
    assert found.evidence["paid"].found


def test_a_second_look_stays_within_the_part_of_a_page_that_was_shown():
    crop = Region(200, 100, 600, 300)
    answers = [{"total": _leaf(5, [0, 0, 1000, 500]), "date": None}, "5"]
    found, backend = _found(answers, Small, ImagePart(PAGE, crop=crop), verify=True)
    assert _sides(found.evidence["total"].box) == (200, 100, 600, 200)
    assert backend.requests[1].messages[0].parts[0].crop == Region(200, 100, 600, 225)


# Sources


def test_a_pdf_gives_its_page_numbers_and_pixels():
    document = DocumentPart(pdf_of("red", "lime", "blue"), pages=(2, 3))
    answer = {"total": _leaf(5, [0, 0, 500, 500], page=3), "date": None}
    found, backend = _found([answer], Small, document)
    assert found.pages == (2, 3)
    assert found.evidence["total"].page == 3
    size = backend.requests[0].plan.images[1].original
    assert found.evidence["total"].box.x2_px == pytest.approx(size.width_px / 2)
    assert found.draw(3).size == (size.width_px, size.height_px)


def test_a_video_is_refused_with_a_hint():
    with pytest.raises(UnsupportedFeatureError, match="video") as caught:
        _found([INVOICE], source=VideoPart([PAGE, PAGE], fps=1))
    assert caught.value.hint


def test_no_pages_are_refused():
    with pytest.raises(MessageError, match="no pictures"):
        _found([INVOICE], source=[])


def test_verify_needs_evidence():
    chat = VisionChat(ScriptedBackend([]))
    with pytest.raises(InputError, match="verify"):
        extract(chat, PAGE, Invoice, verify=True)


def test_a_stream_gives_no_evidence_and_says_at_once_what_does():
    chat = VisionChat(ScriptedBackend([]))
    with pytest.raises(UnsupportedFeatureError, match="stream_extract") as caught:
        stream_extract(chat, PAGE, Invoice, evidence=True)
    assert "extract(..., evidence=True)" in caught.value.hint


def test_without_evidence_an_extraction_is_what_it_was():
    plain = {"total": 5, "date": None}
    chat = VisionChat(ScriptedBackend([json.dumps(plain)], family="qwen3_vl"))
    found = extract(chat, PAGE, Small, evidence=False)
    assert type(found) is Extraction
    assert found.value == Small(5)


# What nobody would send on purpose


@dataclass
class Empty:
    pass


def test_a_type_without_fields_and_one_of_any_fields_are_read():
    found, _ = _found([{"value": {}, "bbox_2d": None}], Empty)
    assert found.value == Empty()
    found, _ = _found([{"a": _leaf(1.5, [0, 0, 9, 9])}], dict[str, float])
    assert found.evidence["a"].found
    found, _ = _found([{"value": {"a": [1, None]}, "bbox_2d": [0, 0, 9, 9]}], dict[str, Any])
    assert found.value == {"a": [1, None]}
    assert found.evidence[""].found


def test_hundreds_of_items_have_a_box_each():
    items = [{"name": _leaf(f"n{at}", [at, at, at + 9, at + 9]), "price": _leaf(at)}
             for at in range(300)]  # fmt: skip
    text = json.dumps({**INVOICE, "items": items}).replace(", ", ",").replace(": ", ":")
    found, _ = _found([text])
    assert len(found.evidence) == 603
    assert _sides(found.evidence["items[299].name"].box) == (419, 209, 431, 216)
    assert len(found._repr_html_()) < 400_000
    assert len(repr(found)) < 400


def test_a_value_may_be_as_long_as_a_page():
    long = "word " * 900
    found, _ = _verified(long, [long.upper()])
    assert found.evidence["date"].is_confirmed
    answers = [{"total": 5, "date": long}, "5(0,0),(9,9)", "word(0,0),(500,500)"]
    _, backend = _found(answers, Small, family="qwen2_vl")
    assert len(backend.requests[2].messages[0].text) < 160


def test_one_picture_twice_is_two_pages():
    answer = {"total": _leaf(5, [0, 0, 9, 9], page=2), "date": None}
    found, _ = _found([answer], Small, [PAGE, PAGE])
    assert (found.evidence["total"].page, found.pages) == (2, (1, 2))


@pytest.mark.parametrize("wrong", ["", "fr", None])
def test_a_language_without_prompts_is_refused(wrong):
    with pytest.raises(MessageError, match="language"):
        _found([INVOICE], language=wrong)


def test_a_page_of_one_pixel_and_one_that_is_turned_are_drawn(tmp_path):
    answer = {"total": _leaf(5, [0, 0, 1000, 1000]), "date": None}
    found, _ = _found([answer], Small, PIL.Image.new("RGB", (1, 1)))
    assert found.draw().size == (1, 1)
    path = tmp_path / "turned.jpg"
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PAGE.save(path, exif=exif)
    found, _ = _found([answer], Small, path)
    assert found.draw().size == (700, 1400)
    assert _sides(found.evidence["total"].box) == (0, 0, 700, 1400)


# Drawing


def test_the_page_is_drawn_with_a_box_at_each_value():
    found, _ = _found([INVOICE])
    drawn = found.draw()
    assert drawn.size == PAGE.size
    assert drawn.getpixel((700, 600)) != (255, 255, 255)
    assert found.draw(1).tobytes() == drawn.tobytes()
    assert PAGE.getpixel((700, 600)) == (255, 255, 255)


def test_several_pages_are_drawn_as_a_sheet_and_each_by_its_number():
    answer = {"total": _leaf(5, [0, 0, 500, 500], page=2), "date": _leaf("x", [0, 0, 9, 9], page=1)}
    found, _ = _found([answer], Small, [PAGE, TALL])
    assert found.draw(2).size == TALL.size
    assert found.draw().width > max(found.draw(1).resize((640, 320)).width, 640)
    with pytest.raises(MessageError, match="page=3"):
        found.draw(3)


def test_a_page_that_is_gone_is_told_in_the_notebook(tmp_path):
    path = tmp_path / "page.png"
    PAGE.save(path)
    found, _ = _found([INVOICE], source=path)
    path.unlink()
    html = found._repr_html_()
    assert "cannot be shown" in html
    assert "62.5" in html


def test_what_a_model_writes_is_no_markup_in_a_notebook():
    answer = {"total": _leaf(5), "date": _leaf("<script>alert(1)</script>", [0, 0, 9, 9])}
    found, _ = _found([answer], Small)
    assert "<script>" not in found._repr_html_()


def test_evidence_goes_into_json():
    found, _ = _found([INVOICE])
    written = json.loads(json.dumps(found.to_dict()))
    assert written["total"]["box"] == pytest.approx([700, 560, 980, 630])
    assert written["items[1].name"]["found"] is False


def test_evidence_shows_itself_in_a_line():
    found, _ = _found([INVOICE])
    shown = repr(found.evidence["total"])
    assert shown.startswith("Evidence(62.5, confidence=")
    assert shown.endswith("page=1, box=700, 560, 980, 630 px, found=True)")
    assert repr(Evidence(None, None, None, None)) == "Evidence(None, found=False)"
