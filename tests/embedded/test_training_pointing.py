"""While it learns, the model is shown what the names of a text stand for in the picture."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
import torch

if not hasattr(torch.optim, "Muon"):
    pytest.skip("the training program needs torch >= 2.9", allow_module_level=True)

from examples.embedded_model.batches import FIRST_TOKENS, Batcher
from examples.embedded_model.drawing.boxes import Box
from examples.embedded_model.drawing.canvas import Canvas, Grid
from examples.embedded_model.drawing.motion import EVENTS, FRAMES_A_SECOND, make_motion
from examples.embedded_model.drawing.typeset import Word
from examples.embedded_model.pointing import (
    Comparisons,
    Shown,
    comparison_loss,
    covered,
    glances_of,
    mentions,
    shown_words,
)
from examples.embedded_model.questions.answers import Question, motion_questions
from examples.embedded_model.samples import TONGUES, Options, make_sample
from examples.embedded_model.tokenizer import build_tokenizer

RED, BLUE = Shown("red circle", (0, 0, 200, 200)), Shown("blue circle", (500, 500, 900, 900))
CIRCLES = [RED, BLUE, Shown("circle", RED.corners), Shown("circle", BLUE.corners)]
SMALL = Options(small_fonts=True, outliers=0.0)


def found(text: str, shown: list[Shown]) -> list[tuple[str, tuple[int, int, int, int]]]:
    return sorted(
        (text[mention.start : mention.end], mention.shown.corners)
        for mention in mentions(text, shown)
    )


def test_each_of_two_names_is_what_it_names() -> None:
    text = "Is the red circle left of the blue circle?"
    assert found(text, CIRCLES) == [("blue circle", BLUE.corners), ("red circle", RED.corners)]


def test_what_stands_twice_in_text_and_picture_is_taken_in_order() -> None:
    words = [Shown("Tea", (0, 0, 9, 9)), Shown("4.50", (9, 0, 20, 9)), Shown("Tea", (0, 20, 9, 29))]
    assert [corners for _, corners in found("Tea 4.50\nTea", words)][1:] == [
        (0, 0, 9, 9),
        (0, 20, 9, 29),
    ]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Tea, Tea and Tea", "Tea"),  # which of the three?
        ("14.50", "4.50"),
        ("14.50", "14"),
        ("2031-12-05", "12"),
        ("3,140", "3"),
        ("4.505", "4.50"),
        ("Teapot", "Tea"),
        ("Cafés", "Café"),
        ("İstanbul red", "red"),  # whose letters change their number when they get small
        ("Tea<|box_start|>(520,800),(600,840)<|box_end|>", "520"),
        ('{"bbox_2d": [120, 340, 180, 400]}', "340"),
    ],
)
def test_what_is_not_certain_is_not_pointed_at(text: str, name: str) -> None:
    assert not found(text, [Shown(name, (0, 0, 9, 9))])


def test_a_name_within_chinese_needs_no_space() -> None:
    shown = [
        Shown("红色的圆", RED.corners),
        Shown("VAT", (0, 0, 5, 5)),
        Shown("12", (9, 9, 20, 20)),
    ]
    text = "红色的圆在左边，VAT是12元。"
    assert [name for name, _ in found(text, shown)] == ["12", "VAT", "红色的圆"]


def test_letters_share_the_width_of_a_printed_word() -> None:
    (mention,) = mentions("is 1234.", [Shown("1234", (100, 10, 500, 90), printed=True)])
    assert mention.part(3, 4) == (100, 10, 200, 90)
    assert mention.part(5, 8) == (300, 10, 500, 90)
    (whole,) = mentions("a red circle", [RED])
    assert whole.part(2, 5) == RED.corners


def test_the_cells_are_those_that_the_place_covers() -> None:
    looked = glances_of([(0, 3, (0, 0, 500, 1000), 7)], Grid(1, 4))
    assert looked.cells.tolist() == [[True, True, False, False]]
    assert looked.corners.tolist() == [[0.0, 0.0, 5.0, 10.0]]
    assert looked.labels.tolist() == [7]


def test_a_place_lies_in_the_picture_and_is_never_nothing() -> None:
    words = [Word("a", Box(-3, 5, 2, 9)), Word("b", Box(99.9, 99.9, 104, 104))]
    shown = shown_words(Canvas(100, 100, Grid(2, 2)), words)
    assert [each.corners for each in shown] == [(0, 50, 20, 90), (999, 999, 1000, 1000)]


@pytest.mark.parametrize("kind", ["relations", "scene", "document", "menu", "sign", "page"])
def test_a_batch_points_from_the_ends_of_names_and_from_before_letters(kind: str) -> None:
    batcher = Batcher(build_tokenizer())
    pointed = 0
    for seed in range(6):
        rng = random.Random(seed)
        sample = make_sample(rng, kind, Grid(6, 7), SMALL)
        row, _ = batcher.row(rng, sample, sample.questions[:4], plain=True)
        for at, corners, label in row.glances:
            is_answer = row.targets[at + 1] >= 0
            (token,) = [batcher.tokenizer.decode([row.ids[at + is_answer]]).strip().casefold()]
            left, top, right, bottom = corners
            near = [
                each
                for each in sample.shown
                if (token in each.name.casefold() or not token.isascii())
                and each.corners[0] <= left < right <= each.corners[2]
                and (each.corners[1], each.corners[3], each.label) == (top, bottom, label)
            ]
            assert near, (token, corners, sample.shown)
            assert not covered(corners, sample.grid).all() or not sample.printed
            pointed += 1
    assert pointed > 10


@pytest.mark.parametrize("text", ["分享", "开始", "帮助", "合计：12.50", "Café 4.50"])
def test_tokens_of_a_text_go_from_letter_to_letter_also_within_one(text: str) -> None:
    batcher = Batcher(build_tokenizer())
    ids = batcher.written(text)
    tokens = batcher._tokens(text, ids)
    assert len(tokens) == len(ids)
    assert tokens[0][0] == 0
    assert tokens[-1] == (len(text), len(text))  # the end of the answer
    for (start, end), (following, _) in pairwise(tokens):
        assert start < end
        assert start <= following <= end


def test_yes_and_no_are_read_nowhere() -> None:
    batcher = Batcher(build_tokenizer())
    rng = random.Random(0)
    sample = make_sample(rng, "document", Grid(6, 7), SMALL)
    sample.shown = [Shown("No", (0, 0, 100, 100), printed=True)]
    for answer, is_read in (("No.", False), ("No 12", True)):
        row, _ = batcher.row(rng, sample, [Question("claim", "Is it?", answer)], plain=True)
        assert bool(row.glances) is is_read


@pytest.mark.parametrize("seed", range(12))
def test_an_event_of_a_film_happens_at_the_second_that_the_answer_says(seed: int) -> None:
    rng = random.Random(seed)
    canvas = Canvas(112, 112, Grid(4, 4))
    motion = next(
        each for each in iter(lambda: make_motion(rng, canvas, 16), None) if each.what in EVENTS
    )
    assert motion.at is not None
    assert 0 < motion.at < 8
    names = [[shape.name for shape in frame.shapes] for frame in motion.frames]
    seen = [motion.shape.name in each for each in names]
    assert all(
        shape.name == motion.shape.name
        for frame in motion.frames
        for shape in frame.shapes
        if shape.kind == motion.shape.kind
    )
    first = motion.at * FRAMES_A_SECOND
    assert seen == [(index >= first) == (motion.what == "appear") for index in range(16)]
    english, chinese = (
        next(q for q in motion_questions(rng, motion, tongue) if q.task == "when").answer
        for tongue in TONGUES
    )
    assert (english, chinese) == (f"At second {motion.at}.", f"第{motion.at}秒。")


def test_a_film_of_a_second_has_no_event() -> None:
    rng = random.Random(0)
    canvas = Canvas(112, 112, Grid(4, 4))
    for _ in range(200):
        assert make_motion(rng, canvas, 3).what not in EVENTS


@pytest.mark.parametrize("seed", range(4))
def test_an_answer_that_compares_looks_at_both_names_and_at_the_claimed_relation(
    seed: int,
) -> None:
    batcher = Batcher(build_tokenizer())
    rng = random.Random(seed)
    sample = make_sample(rng, "relations", Grid(6, 7), SMALL)
    compared = [question for question in sample.questions if question.pair]
    row, _ = batcher.row(rng, sample, compared, plain=True)
    assert len(row.comparisons) == FIRST_TOKENS * len(compared)
    for number, question in enumerate(compared):
        found = row.comparisons[FIRST_TOKENS * number : FIRST_TOKENS * (number + 1)]
        first = row.segments.index(number + 1)
        begin = next(at for at in range(first, len(row.ids)) if row.targets[at] >= 0)
        assert [at for at, *_ in found] == list(range(begin - 1, begin - 1 + FIRST_TOKENS))
        (named,) = {tuple(each[1:]) for each in found}
        for place, name in zip(named, question.pair):
            read = batcher.tokenizer.decode(row.ids[first : place + 1])
            assert read.casefold().endswith(name.casefold())
        assert (named[2] >= 0) == (len(question.pair) == 3)


def test_heads_that_look_where_they_should_cost_nothing() -> None:
    wanted = Comparisons.of([(0, 5, 1, 2, 3), (0, 6, 1, 2, -1)])
    seen = torch.zeros(2, 4, 7)
    seen[:, 0, 1] = seen[:, 1, 2] = seen[0, 2, 3] = 1.0
    assert comparison_loss(seen, wanted) == pytest.approx(0.0, abs=1e-6)
    seen[1, 2] = 0.5  # where nothing is claimed, the third head looks where it likes
    assert comparison_loss(seen, wanted) == pytest.approx(0.0, abs=1e-6)
    seen[0, 2, 3] = 0.5
    assert comparison_loss(seen, wanted) > 0.1
