"""Questions of the training are those that the tasks of the package send, to the letter."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import PIL.Image
import pytest
import torch

if not hasattr(torch.optim, "Muon"):
    pytest.skip("the training program needs torch >= 2.9", allow_module_level=True)

from examples.embedded_model.benchmark import boxes_of
from examples.embedded_model.drawing.boxes import Box
from examples.embedded_model.drawing.canvas import Canvas, Grid
from examples.embedded_model.fields import Field, precision, schema_of
from examples.embedded_model.questions.choices import CHOOSE
from examples.embedded_model.questions.places import COORDINATES, grounded
from examples.embedded_model.questions.structures import INSTRUCTION, PAIRS
from examples.embedded_model.questions.wordings import A_NUMBER, WORDINGS, YES_OR_NO
from examples.embedded_model.samples import Options, make_sample
from examples.embedded_model.tokenizer import build_tokenizer
from qwenvl_kit import VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.tasks import (
    ask_yes_no,
    classify,
    count,
    extract,
    judge_description,
    locate,
    translate_text_in_image,
)

PICTURE = PIL.Image.new("RGB", (280, 280), "white")


@dataclass
class Menu:
    @dataclass
    class Item:
        name: str
        price: float

    items: list[Item]


@dataclass
class Receipt:
    total: float | None
    quantity: int
    kind: Literal["invoice", "receipt"]


def sent(task: Callable[..., Any], *args: Any, answer: str = "No") -> str:
    """The question that a task of the package sends first."""
    backend = ScriptedBackend(lambda r: (r.constraint and r.constraint.only_answer) or answer)
    task(VisionChat(backend), *args)
    return backend.requests[0].messages[-1].text


def test_places_are_asked_for_as_locate_asks() -> None:
    asked = sent(locate, PICTURE, "the red circle")
    assert asked == WORDINGS["locate"][0].format(what="the red circle")


def test_statements_are_judged_as_judge_description_asks() -> None:
    asked = sent(judge_description, PICTURE, "A red circle.")
    assert asked == WORDINGS["claim"][0].format(statement="A red circle.")


def test_truths_and_numbers_are_asked_for_as_the_typed_asks_do() -> None:
    assert sent(ask_yes_no, "Is it red?", PICTURE) == f"Is it red?{YES_OR_NO}"
    assert sent(count, PICTURE, "circles", answer="3").endswith(A_NUMBER)


def test_labels_are_offered_as_classify_offers_them() -> None:
    asked = sent(classify, PICTURE, ["red circle", "blue star"])
    question = asked.split("\n", 1)[0]
    assert question in WORDINGS["describe"]
    assert asked == f"{question}{CHOOSE}red circle, blue star."


def test_fields_are_asked_for_as_extract_asks() -> None:
    answer = '{"total": null, "quantity": 1, "kind": "invoice"}'
    asked = sent(extract, PICTURE, Receipt, answer=answer)
    assert asked == (
        f"{INSTRUCTION}\n- total: number or null\n- quantity: whole number\n"
        "- kind: one of invoice, receipt"
    )
    menu = sent(extract, PICTURE, Menu, answer='{"items": []}')
    trained = {
        question.text
        for seed in range(200)
        for question in make_sample(
            random.Random(seed), "menu", Grid(4, 6), Options(small_fonts=True, outliers=0.0)
        ).questions
        if question.task == "extract_items"
    }
    assert trained == {menu}


def test_pairs_are_asked_for_as_translate_text_in_image_asks() -> None:
    assert sent(translate_text_in_image, PICTURE) == PAIRS


@pytest.mark.parametrize("kind", ["scene", "document", "sign"])
def test_a_place_in_an_answer_takes_four_tokens_and_lies_where_the_thing_is(kind: str) -> None:
    tokenizer = build_tokenizer()
    found = 0
    for seed in range(60):
        sample = make_sample(
            random.Random(seed), kind, Grid(4, 6), Options(small_fonts=True, outliers=0.0)
        )
        for question in sample.questions:
            if question.task.startswith("locate") and "box" in question.answer:
                spelled = tokenizer.encode(question.answer).tokens
                boxes = question.answer.count("<|box_start|>")
                assert sum(token in COORDINATES for token in spelled) == 4 * boxes
                found += boxes
    assert found > 20


def test_a_box_is_never_nothing() -> None:
    canvas = Canvas(280, 280, Grid(10, 10))
    for at in (0.0, 3.0, 140.0, 279.0, 280.0):
        (box,) = boxes_of(grounded(canvas, [("a", Box(at, at, at + 1, at + 1))]))
        assert 0 <= box.x1_px < box.x2_px <= 1000
        assert 0 <= box.y1_px < box.y2_px <= 1000


def test_held_out_documents_are_asked_for_by_extract_in_the_words_of_their_question() -> None:
    asked = 0
    for seed in range(40):
        sample = make_sample(
            random.Random(seed), "document", Grid(6, 8), Options(small_fonts=True, outliers=0.0)
        )
        for question in sample.questions:
            if question.task == "extract":
                schema = schema_of(question.text)
                assert sent(extract, PICTURE, schema, answer=question.answer) == question.text
                asked += 1
    assert asked > 10


def test_precision_is_that_of_the_surest_fields() -> None:
    fields = [Field("a", True, 0.9), Field("b", True, 0.8), Field("c", False, 0.1)]
    assert precision(fields, 1.0) == pytest.approx(2 / 3)
    assert precision(fields, 0.66) == 1.0
