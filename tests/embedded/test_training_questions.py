"""Questions of the training have right answers, which their words do not give away."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
import torch

if not hasattr(torch.optim, "Muon"):
    pytest.skip("the training program needs torch >= 2.9", allow_module_level=True)

from examples.embedded_model import samples
from examples.embedded_model.drawing.canvas import Canvas, Grid, canvas_for, draw_grid
from examples.embedded_model.drawing.documents import make_document
from examples.embedded_model.drawing.pairs import make_pair
from examples.embedded_model.drawing.palette import HELD_OUT_PAIRS
from examples.embedded_model.drawing.related import make_related
from examples.embedded_model.drawing.scenes import Scene, make_scene, relation
from examples.embedded_model.drawing.shapes import extent
from examples.embedded_model.questions import wordings, wordings_zh
from examples.embedded_model.questions.answers import Question, change_questions
from examples.embedded_model.questions.chinese import COLOURS, SHAPES
from examples.embedded_model.questions.choices import print_choices, scene_choices
from examples.embedded_model.questions.places import shape_places
from examples.embedded_model.questions.relations import is_inside, relation_questions
from examples.embedded_model.samples import (
    HELD_OUT_TONGUES,
    KINDS,
    TONGUES,
    Options,
    Sample,
    make_sample,
)
from examples.embedded_model.tokenizer import build_tokenizer

ENGLISH, CHINESE = TONGUES
Rows = dict[tuple[str, str], list[tuple[frozenset[int], bool]]]
WORDS = build_tokenizer()


def scenes(count: int) -> Iterator[tuple[random.Random, Scene]]:
    for seed in range(count):
        rng = random.Random(seed)
        yield rng, make_related(rng, canvas_for(rng, draw_grid(rng, (9, 80), 0.1)))


def truths(count: int) -> Rows:
    """Every question of yes or no about `count` scenes, documents and pairs of pictures."""
    rows: Rows = defaultdict(list)
    for rng, scene in scenes(count):
        alone = make_scene(rng, scene.canvas, rng.choice([1, 2, 3, 3, 4]))
        document = make_document(rng, rng.randint(1, 5), rng.random() < 0.4)
        *_, change = make_pair(rng, scene.canvas)
        for tongue in TONGUES:
            asked = [
                *relation_questions(rng, scene, tongue),
                *scene_choices(rng, alone, tongue),
                *(each._replace(task="print") for each in print_choices(rng, document, tongue)),
                *change_questions(rng, change, tongue),
            ]
            for each in asked:
                if each.answer in (tongue.yes, tongue.no):
                    words = frozenset(WORDS.encode(each.text).ids)
                    rows[each.task, tongue.code].append((words, each.answer == tongue.yes))
    return rows


def guessed(rows: Sequence[tuple[frozenset[int], bool]]) -> float:
    """How often naive Bayes over the words of the question is right on rows that it never saw."""
    half = len(rows) // 2
    seen: dict[bool, Counter[int]] = {True: Counter(), False: Counter()}
    totals = Counter(answer for _, answer in rows[:half])
    for words, answer in rows[:half]:
        seen[answer].update(words)

    def for_yes(word: int) -> float:
        return math.log((seen[True][word] + 1) / (totals[True] + 2)) - math.log(
            (seen[False][word] + 1) / (totals[False] + 2)
        )

    prior = math.log(totals[True] / totals[False])
    right = [(prior + sum(map(for_yes, words)) > 0) == answer for words, answer in rows[half:]]
    return sum(right) / len(right)


@pytest.mark.long
def test_yes_and_no_are_equally_frequent_and_the_words_do_not_tell_which() -> None:
    rows = truths(16_000)
    assert {task for task, _ in rows} == {
        "claim", "claim_relation", "inside", "larger", "print", "relation_yes_no", "same",
        "same_colour", "same_shape",
    }  # fmt: skip
    for task, each in rows.items():
        share = sum(answer for _, answer in each) / len(each)
        assert share == pytest.approx(0.5, abs=0.02), task
        assert guessed(each) < 0.535, task


def test_yes_and_no_are_equally_frequent_in_a_small_draw() -> None:
    for task, each in truths(1200).items():
        if len(each) > 400:
            share = sum(answer for _, answer in each) / len(each)
            assert share == pytest.approx(0.5, abs=0.07), task


@pytest.mark.parametrize("tongue", TONGUES, ids=["en", "zh"])
def test_relations_are_what_the_places_of_the_shapes_say(tongue) -> None:  # type: ignore[no-untyped-def]
    checked: Counter[str] = Counter()
    for rng, scene in scenes(500):
        names = {tongue.named(shape): shape for shape in scene.shapes}
        for each in relation_questions(rng, scene, tongue):
            found = sorted((name for name in names if name in each.text), key=each.text.index)
            checked[each.task] += 1
            if each.task == "which_larger":
                (largest,) = [name for name in found if name in each.answer]
                boxes = {name: extent(names[name]) for name in found}
                areas = {n: (b.right - b.left) * (b.bottom - b.top) for n, b in boxes.items()}
                assert areas[largest] == max(areas.values())
            if each.task == "inside" and each.answer == tongue.yes:
                first, second = (names[name] for name in found)
                assert is_inside(first, second) or is_inside(second, first)
            if each.task == "claim_relation" and each.answer == tongue.yes:
                first, second = (names[name] for name in found)
                where = relation(first, second)
                assert where is not None
                assert tongue.side(where) in each.text
    assert min(checked.values()) > 20


def named_pairs(text: str) -> set[tuple[str, str]]:
    spelled = {
        **{f"{colour} {kind}": (colour, kind) for colour in COLOURS for kind in SHAPES},
        **{f"{COLOURS[c]}的{SHAPES[k]}": (c, k) for c in COLOURS for k in SHAPES},
    }
    return {pair for name, pair in spelled.items() if name in text}


def test_pairs_that_are_kept_out_are_neither_drawn_nor_named_in_training() -> None:
    for rng, scene in scenes(400):
        alone = make_scene(rng, scene.canvas, rng.choice([1, 2, 3, 4]))
        for tongue in TONGUES:
            asked: list[Question] = [
                *relation_questions(rng, scene, tongue),
                *scene_choices(rng, alone, tongue),
                *shape_places(rng, alone, tongue),
            ]
            for each in asked:
                assert not named_pairs(each.text + each.answer) & HELD_OUT_PAIRS
        assert not {shape.pair for shape in (*scene.shapes, *alone.shapes)} & HELD_OUT_PAIRS


def test_wordings_that_are_kept_out_are_never_asked_in_training() -> None:
    for trained, kept in (
        (wordings.WORDINGS, wordings.HELD_OUT),
        (wordings_zh.WORDINGS, wordings_zh.HELD_OUT),
    ):
        assert trained.keys() == kept.keys()
        for task, texts in kept.items():
            assert len(texts) >= 2
            assert len(trained[task]) >= 8
            assert not {_plain(text) for text in texts} & {_plain(text) for text in trained[task]}
    assert HELD_OUT_TONGUES[0].wordings is wordings.HELD_OUT


def _plain(text: str) -> str:
    return text.strip("?？。.").lower()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("tool", "zoom")])
def test_what_cannot_be_seen_is_answered_so_in_the_language_of_the_question(kind: str) -> None:
    told = set()
    for seed in range(30):
        options = Options(small_fonts=True, outliers=1.0)
        sample = make_sample(random.Random(seed), kind, Grid(6, 8), options)
        assert sample.unknown
        for each in sample.questions:
            if each.task == "cannot_tell":
                told.add(each.answer)
                assert each.answer == (ENGLISH if each.text.isascii() else CHINESE).unknown
    assert told == {ENGLISH.unknown, CHINESE.unknown}


def test_each_sample_has_something_to_ask_however_little_its_picture_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw, drawn = samples.DRAWN["screen"], []

    def with_nothing_first(rng: random.Random, canvas: Canvas, options: Options) -> Sample:
        sample = draw(rng, canvas, options)
        drawn.append(sample)
        return replace(sample, questions=[]) if len(drawn) < 3 else sample

    monkeypatch.setitem(samples.DRAWN, "screen", with_nothing_first)
    rng = random.Random(0)
    sample = make_sample(rng, "screen", draw_grid(rng, (20, 40), 0.1), Options(small_fonts=True))
    assert sample.questions
    assert len(drawn) == 3
