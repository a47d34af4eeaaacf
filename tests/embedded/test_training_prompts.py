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
from examples.embedded_model.export import make_processor
from examples.embedded_model.fields import Field, precision, schema_of
from examples.embedded_model.questions import pages, places, tools, wordings_zh
from examples.embedded_model.questions.english import CHOOSE
from examples.embedded_model.questions.places import COORDINATES, grounded
from examples.embedded_model.questions.structures import INSTRUCTION, PAIRS
from examples.embedded_model.questions.wordings import A_NUMBER, WORDINGS, YES_OR_NO
from examples.embedded_model.samples import Options, make_sample
from examples.embedded_model.tokenizer import build_tokenizer
from qwenvl_kit import ImagePart, Message, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.families import family_of
from qwenvl_kit.geometry import Size
from qwenvl_kit.messages.tool_parts import ToolOffer
from qwenvl_kit.plans import ImagePlan
from qwenvl_kit.processing.prompt_encoder import PromptEncoder
from qwenvl_kit.tasks import (
    ask_yes_no,
    classify,
    count,
    extract,
    judge_description,
    locate,
    point_at,
    read_table,
    read_text,
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


def sent(task: Callable[..., Any], *args: Any, answer: str = "No", **named: Any) -> str:
    """The question that a task of the package sends first."""
    backend = ScriptedBackend(lambda r: (r.constraint and r.constraint.only_answer) or answer)
    task(VisionChat(backend), *args, **named)
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
        if question.task == "extract_items" and question.text.isascii()
    }
    assert trained == {menu}


def test_pairs_are_asked_for_as_translate_text_in_image_asks() -> None:
    assert sent(translate_text_in_image, PICTURE) == PAIRS.format(language="English")


def test_chinese_is_asked_as_the_tasks_ask_it() -> None:
    zh = {"language": "zh"}
    asked = sent(locate, PICTURE, "红色的圆", **zh)
    assert asked == wordings_zh.WORDINGS["locate"][0].format(what="红色的圆")
    asked = sent(judge_description, PICTURE, "有一个红色的圆。", **zh)
    assert asked == wordings_zh.WORDINGS["claim"][0].format(statement="有一个红色的圆。")
    asked = sent(ask_yes_no, "有圆吗？", PICTURE, answer="否", **zh)
    assert asked == f"有圆吗？{wordings_zh.YES_OR_NO}"
    assert sent(count, PICTURE, "圆", answer="3", **zh).endswith(wordings_zh.A_NUMBER)
    asked = sent(classify, PICTURE, ["红色的圆", "蓝色的星形"], **zh)
    assert asked == f"图中是什么？{wordings_zh.CHOOSE}红色的圆、蓝色的星形。"
    answer = '{"total": null, "quantity": 1, "kind": "invoice"}'
    assert sent(extract, PICTURE, Receipt, answer=answer, **zh) == (
        f"{wordings_zh.EXTRACT}\n- total: 数字或null\n- quantity: 整数\n"
        "- kind: invoice、receipt之一"
    )
    asked = sent(translate_text_in_image, PICTURE, "英文", **zh)
    assert asked == wordings_zh.PAIRS.format(language="英文")


@pytest.mark.parametrize("code", ["en", "zh"])
def test_pages_and_points_are_asked_as_the_tasks_ask_them(code: str) -> None:
    asked = sent(read_text, PICTURE, form="markdown", language=code)
    assert asked == pages.MARKDOWN[code]
    table = '{"columns": ["a"], "rows": [["b"]]}'
    assert sent(read_table, PICTURE, answer=table, language=code) == pages.TABLE[code]
    asked = places.POINTS[code].replace("{what}", "the star")
    backend = ScriptedBackend(['[{"point_2d": [100, 200], "label": "star"}]'], family="qwen3_vl")
    point_at(VisionChat(backend), PICTURE, "the star", language=code)  # type: ignore[arg-type]
    assert backend.requests[0].messages[-1].text == asked


@pytest.mark.parametrize("code", ["en", "zh"])
def test_the_next_action_is_asked_as_the_package_asks_it(code: str) -> None:
    system, text = tools.asked_action("Open the settings.", ("Click.",), code)
    assert "computer_use" in system
    assert "Open the settings." in text
    assert "Click." in text
    tokens = build_tokenizer().encode(system + text).ids
    assert len(tokens) < 1500


def test_offers_of_tools_are_written_as_the_package_writes_them() -> None:
    message = Message.user(ImagePart(PICTURE), "What is the total in dollars?")
    offer = ToolOffer((tools.FUNCTIONS["convert"],))
    encoder = PromptEncoder(make_processor(), family_of("qwen2_vl"))
    plan = ImagePlan("", Size(280, 280), Size(280, 280), 100)
    sent_ids = encoder.encode_prompt([Message("system", (offer,)), message], (plan,)).ids
    text = build_tokenizer().decode(sent_ids, skip_special_tokens=False)
    expected = tools.offered("", tools.FUNCTIONS["convert"])
    assert text.startswith(f"<|im_start|>system\n{expected}<|im_end|>\n<|im_start|>user\n")


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
            if question.task == "extract" and question.text.startswith(INSTRUCTION):
                schema = schema_of(question.text)
                assert sent(extract, PICTURE, schema, answer=question.answer) == question.text
                asked += 1
    assert asked > 10


def test_precision_is_that_of_the_surest_fields() -> None:
    fields = [Field("a", True, 0.9), Field("b", True, 0.8), Field("c", False, 0.1)]
    assert precision(fields, 1.0) == pytest.approx(2 / 3)
    assert precision(fields, 0.66) == 1.0
