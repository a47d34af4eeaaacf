"""The embedded model reads what other programs than its own drew: a browser, matplotlib, Pillow."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont, features

from qwenvl_kit import VisionChat
from qwenvl_kit.tasks import describe, document_qa, locate, read_text

PICTURES = Path(__file__).parent / "pictures"
"""Pages as Chromium shows them; their source stands beside each."""


@pytest.fixture(scope="module")
def chat() -> VisionChat:
    return VisionChat.from_pretrained()


@pytest.mark.parametrize(
    ("page", "question", "answer"),
    [
        ("receipt.png", "What is the total?", "48.20"),
        ("receipt.png", "What is the date?", "2025-07-14"),
        ("receipt.png", "税额是多少？", "3.60"),
        ("receipt.zh.png", "合计是多少？", "48.20"),
        ("receipt.zh.png", "日期是哪天？", "2025-07-14"),
        ("receipt.zh.png", "What is the quantity?", "12"),
    ],
)
def test_fields_of_a_web_page_are_read_in_either_language(
    chat: VisionChat, page: str, question: str, answer: str
) -> None:
    language = "en" if question.isascii() else "zh"
    answers = document_qa(chat, PICTURES / page, [question], language=language)
    assert answers[question].text == answer


@pytest.mark.parametrize(
    ("page", "lines"),
    [
        ("receipt.png", ("Receipt", "Date: 2025-07-14", "Tax: 3.60", "Total: 48.20")),
        ("receipt.zh.png", ("收据", "日期：2025-07-14", "数量：12", "合计：48.20")),
    ],
)
def test_the_print_of_a_web_page_is_read(
    chat: VisionChat, page: str, lines: tuple[str, ...]
) -> None:
    language = "en" if page == "receipt.png" else "zh"
    assert read_text(chat, PICTURES / page, language=language).lines == lines


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Describe this image.", "A green circle left of an orange square."),
        ("描述这张图片。", "一个绿色的圆在一个橙色的正方形的左边。"),
        ("Is the green circle left of the orange square?", "Yes."),
        ("Is the green circle right of the orange square?", "No."),
        ("绿色的圆在橙色的正方形的左边吗？", "是。"),
        ("橙色的正方形在绿色的圆的左边吗？", "否。"),
    ],
)
def test_shapes_of_a_web_page_are_described_and_compared(
    chat: VisionChat, question: str, answer: str
) -> None:
    assert chat.ask(question, PICTURES / "shapes.png").text == answer


def test_shapes_of_a_web_page_are_found(chat: VisionChat) -> None:
    (box,) = locate(chat, PICTURES / "shapes.png", "the orange square")
    assert box.x1_px == pytest.approx(230, abs=25)
    assert box.y1_px == pytest.approx(70, abs=25)
    assert box.x2_px == pytest.approx(340, abs=25)
    assert box.y2_px == pytest.approx(180, abs=25)


@pytest.mark.skipif(not features.check("freetype2"), reason="Pillow has no font of its own here")
@pytest.mark.parametrize("text", ["Date: 2019-08-23", "Total: 17.45", "Open door"])
def test_print_in_the_font_of_pillow_is_read(chat: VisionChat, text: str) -> None:
    picture = Image.new("RGB", (300, 90), "white")
    font = ImageFont.load_default(32)
    ImageDraw.Draw(picture).text((20, 22), text, font=font, fill="black")
    assert read_text(chat, picture).text == text


@pytest.mark.parametrize(
    ("marker", "answer"),
    [("o", "A red circle."), ("s", "A red square."), ("*", "A red star."), ("D", "A red diamond.")],
)
def test_a_marker_of_matplotlib_is_described(chat: VisionChat, marker: str, answer: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure = plt.figure(figsize=(3.2, 2.4), dpi=100)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.axis("off")
    axes.plot([0.4], [0.6], marker, color="red", markersize=70)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    assert describe(chat, buffer.getvalue()).text == answer
