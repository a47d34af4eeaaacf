"""Values that nobody makes on purpose are shown all the same, in few bytes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy
import PIL.Image
import pytest

from qwenvl_kit import Failure, ImagePart, TokenAlternative, TokenScore, VideoPart
from qwenvl_kit.errors import MediaError
from qwenvl_kit.grounding.boxes import Box
from qwenvl_kit.grounding.drawing import drawing_of
from qwenvl_kit.messages.tool_parts import ToolCall
from qwenvl_kit.results import Results
from tests.display.samples import PLAN, RED, SURE, reply_of, said, token

FILM = PLAN.videos[0]
VALUES: dict[str, Callable[[], object]] = {
    "no text": lambda: said(""),
    "spaces": lambda: reply_of(token("   ", 0.3)),
    "no tokens": lambda: replace(SURE, tokens=()),
    "no alternatives": lambda: reply_of(TokenScore("x", None, -3.0)),
    "impossible": lambda: reply_of(
        TokenScore("x", 1, -math.inf, (TokenAlternative("y", 1, -math.inf),))
    ),
    "more than certain": lambda: reply_of(TokenScore("x", 1, 1e-3)),
    "no number": lambda: reply_of(TokenScore("x", 1, math.nan)),
    "emoji of many parts": lambda: said("👨‍👩‍👧‍👦 🏳️‍🌈 क्षि שלום مرحبا"),
    "line ends of all kinds": lambda: said("a\r\n\tb\r\x0b\x0c\x85\u2028c"),
    "LaTeX": lambda: said(r"\begin{tabular}{c} $x_1$ & 2 \\ \hline \end{tabular}"),
    "a call": lambda: replace(SURE, tool_calls=(ToolCall("f", {"a": "<b>", "b": [1] * 10**5}),)),
    "long warnings": lambda: replace(SURE, warnings=("w" * 9999,) * 1000),
    "long samples": lambda: replace(SURE, samples=("s" * 10**4,) * 1000),
    "a long error": lambda: Failure(0, MediaError("x" * 10**6)),
    "100,000 results": lambda: Results([SURE] * 100_000),
    "no results": Results,
    "a film without frames": lambda: replace(FILM, frame_indices=(), timestamps_seconds=()),
    "a film of 768 frames": lambda: replace(
        FILM, frame_indices=(1,) * 768, timestamps_seconds=(0.5,) * 768
    ),
    "an array": lambda: VideoPart(numpy.zeros((4, 8, 8, 3), numpy.uint8), fps=1),
    "frames without a rate": lambda: VideoPart([RED, RED]),
    "a name with a line end": lambda: ImagePart("a\n.png"),
}


@pytest.mark.parametrize("name", VALUES)
def test_an_odd_value_is_shown_in_few_bytes(name: str) -> None:
    value = VALUES[name]()
    assert len(repr(value)) < 1000
    assert len(value._repr_html_().encode()) < 60_000  # type: ignore[attr-defined]


def test_thoughts_of_five_million_characters_are_cut() -> None:
    assert len(replace(SURE, thinking="t" * 5_000_000)._repr_html_()) < 800_000


@pytest.mark.parametrize("mode", ["I;16", "P", "1", "CMYK", "LA", "F"])
@pytest.mark.parametrize("left", [math.nan, -math.inf, -1e30, 49.5])
def test_odd_boxes_are_drawn_on_odd_pictures(mode: str, left: float) -> None:
    drawing = drawing_of(PIL.Image.new(mode, (50, 40)), [Box("a", left, 1, 1e30, 9)])
    assert drawing.image.size == (50, 40)


def test_a_label_larger_than_its_picture_is_left_out() -> None:
    assert drawing_of(PIL.Image.new("RGB", (1, 1)), [Box("a", 0, 0, 1, 1)]).num_lost == 1
