"""The model that is part of the package does the main job, offline."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qwenvl_kit import Sampling, VideoPart, VisionChat
from qwenvl_kit.embedded import MODEL_FOLDER
from qwenvl_kit.grounding.boxes import Box
from qwenvl_kit.tasks import (
    classify,
    compare,
    describe,
    document_qa,
    locate,
    read_text,
    translate_text_in_image,
)

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "examples" / "pictures"


@pytest.fixture(scope="module")
def chat() -> VisionChat:
    return VisionChat.from_pretrained()


def plot(shape: str, colour: str, size_inches: tuple[float, float], dpi: int = 100) -> bytes:
    """One filled shape as matplotlib draws it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import patches
    from matplotlib import pyplot as plt

    figure = plt.figure(figsize=size_inches, dpi=dpi)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_aspect("equal")
    axes.set_xlim(0, size_inches[0])
    axes.set_ylim(0, size_inches[1])
    axes.axis("off")
    centre = (size_inches[0] / 2, size_inches[1] / 2)
    radius = min(size_inches) / 4
    drawn = {
        "circle": patches.Circle(centre, radius, color=colour),
        "square": patches.Rectangle(
            (centre[0] - radius, centre[1] - radius), 2 * radius, 2 * radius, color=colour
        ),
        "triangle": patches.RegularPolygon(centre, 3, radius=radius, color=colour),
        "diamond": patches.RegularPolygon(centre, 4, radius=radius, orientation=0.0, color=colour),
    }
    axes.add_patch(drawn[shape])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    return buffer.getvalue()


def test_it_is_small_and_of_the_real_architecture(chat: VisionChat) -> None:
    (weights,) = MODEL_FOLDER.glob("*.safetensors")
    assert weights.stat().st_size <= 16 * 10**6
    config = (MODEL_FOLDER / "config.json").read_text()
    assert "Qwen2VLForConditionalGeneration" in config
    assert chat.report()["family"] == "qwen2_vl"


@pytest.mark.parametrize("colour", ["red", "blue", "green"])
@pytest.mark.parametrize("shape", ["circle", "square", "triangle"])
def test_a_shape_drawn_by_matplotlib_is_described_rightly(
    chat: VisionChat, shape: str, colour: str
) -> None:
    answer = describe(chat, plot(shape, colour, (4.0, 3.0)))
    assert answer.text == f"A {colour} {shape}."


def test_two_shapes_are_described_with_their_relation(chat: VisionChat) -> None:
    answer = describe(chat, PICTURES / "shapes.png")
    assert answer.text == "A red circle left of a blue square."
    assert answer.confidence is not None
    assert answer.confidence > 0.8


def test_two_pictures_are_compared(chat: VisionChat) -> None:
    answer = compare(chat, PICTURES / "before.png", PICTURES / "after.png")
    assert answer.text == "The yellow circle became a square."


def test_a_receipt_is_questioned(chat: VisionChat) -> None:
    questions = ["What is the total?", "What is the date?", "What is the tax?"]
    answers = document_qa(chat, PICTURES / "receipt.png", questions)
    assert [answers[question].text for question in questions] == ["62.50", "2024-03-18", "4.20"]


def test_a_menu_is_translated(chat: VisionChat) -> None:
    answer = translate_text_in_image(chat, PICTURES / "menu.png")
    assert [(pair.source, pair.target) for pair in answer.pairs] == [
        ("Fromage", "Cheese"),
        ("Poulet", "Chicken"),
        ("Pomme", "Apple"),
    ]


def test_shapes_are_found_where_they_are(chat: VisionChat) -> None:
    picture = Image.open(PICTURES / "shapes.png").convert("RGB")
    red, _, blue = np.moveaxis(np.asarray(picture).astype(int), -1, 0)
    for what, inside in (("the red circle", red > blue + 80), ("the blue square", blue > red + 60)):
        rows, columns = np.nonzero(inside)
        shape = Box("", columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        (box,) = locate(chat, picture, what)
        assert box.label == what.removeprefix("the ")
        assert box.overlap(shape) >= 0.5
    assert not locate(chat, picture, "the green star")


def test_a_document_is_of_the_likeliest_kind(chat: VisionChat) -> None:
    kinds = ["invoice", "receipt", "order", "ticket"]
    found = classify(chat, PICTURES / "receipt.png", kinds)
    assert (found.label, found.confidence > 0.9) == ("receipt", True)


def test_print_is_read(chat: VisionChat) -> None:
    assert read_text(chat, PICTURES / "receipt.png").lines[0] == "RECEIPT"


def test_motion_is_seen_in_a_video_of_frames(chat: VisionChat) -> None:
    frames = []
    for step in range(4):
        frame = Image.new("RGB", (140, 112), "white")
        frame.paste("blue", (10 + 28 * step, 40, 40 + 28 * step, 70))
        frames.append(frame)
    reply = chat.ask("Which way does it move?", VideoPart(frames, fps=2))
    assert reply.text == "Right."


def test_it_takes_a_second_turn_about_the_same_picture(chat: VisionChat) -> None:
    conversation = chat.start(system="You are a helpful assistant.")
    conversation.ask("Describe this image.", PICTURES / "shapes.png")
    assert conversation.ask("Which shape is blue?").text == "A square."


@pytest.mark.parametrize("size", [(30, 20), (64, 64), (1200, 500), (300, 1100), (4000, 3000)])
def test_it_takes_pictures_of_any_size(chat: VisionChat, size: tuple[int, int]) -> None:
    picture = Image.open(PICTURES / "shapes.png").resize(size)
    reply = chat.ask("Describe this image.", picture, sampling=Sampling(max_new_tokens=24))
    assert reply.finish_reason == "stop"
    assert reply.usage.visual_tokens < 200


def test_it_is_less_sure_of_what_it_cannot_know(chat: VisionChat) -> None:
    """A photograph's texture against a drawn circle."""
    noise = Image.effect_noise((300, 200), 80).convert("RGB")
    known = chat.ask("Describe this image.", plot("circle", "red", (3.0, 3.0)))
    unknown = chat.ask("Describe this image.", noise)
    assert known.confidence is not None
    assert unknown.confidence is not None
    assert unknown.confidence < known.confidence


def test_the_card_says_plainly_what_it_is() -> None:
    card = (MODEL_FOLDER.parent / "CARD.md").read_text(encoding="utf-8")
    assert "not for photo" in card
    assert "<!-- table:begin -->" in card


@pytest.mark.long
def test_the_quickstart_runs_without_a_network() -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "quickstart.py")],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "A red circle" in done.stdout
    assert "confidence" in done.stdout
