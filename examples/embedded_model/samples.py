"""One training sample: drawn pictures, questions about them, and what every cell shows."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .drawing import documents
from .drawing.augment import damage
from .drawing.boxes import Edges, edge_labels
from .drawing.canvas import Canvas, Grid, canvas_for
from .drawing.motion import make_motion
from .drawing.outliers import photo_like
from .drawing.pages import HELD_OUT_RULES, RULES, print_page
from .drawing.pairs import make_pair, pair_style
from .drawing.palette import COLOURS, SHAPES
from .drawing.related import make_related, related_style
from .drawing.scenes import Scene, by_size, label_cells, make_scene, make_style, render
from .drawing.shapes import extent
from .drawing.typeset import CHARACTERS, SLOTS, cell_characters, choose_face
from .questions.answers import (
    Question,
    change_questions,
    document_questions,
    menu_questions,
    motion_questions,
    scene_questions,
    sign_questions,
)
from .questions import wordings, wordings_zh
from .questions.chinese import chinese
from .questions.choices import print_choices, scene_choices
from .questions.english import english
from .questions.pages import page_questions
from .questions.places import attribute_places, print_places, shape_places
from .questions.relations import relation_questions
from .questions.structures import extraction
from .questions.tongue import Tongue

Labels = NDArray[np.int64]
# Colour and kind have a head each: pairs never seen together are then no class of their own.
HEADS = {
    "colours": 1 + len(COLOURS),
    "kinds": 1 + len(SHAPES),
    "characters": SLOTS * len(CHARACTERS),
    "edges": 4,
    "places": 4,
}
KINDS = ("scene", "relations", "compare", "video", "document", "menu", "sign", "page")
PRINTED = ("document", "menu", "sign", "page")
TONGUES = (english(), chinese())
HELD_OUT_TONGUES = (english(wordings.HELD_OUT), chinese(wordings_zh.HELD_OUT))
# Classes of a cell without a label: photo-like pictures.
UNKNOWN = -100


@dataclass(frozen=True)
class Options:
    """What may be drawn; the held-out parts are for measuring only."""

    held_out_pairs: bool = False
    held_out_fonts: bool = False
    held_out_layouts: bool = False
    held_out_wordings: bool = False
    small_fonts: bool = False
    damage: float = 1.0
    outliers: float = 0.04
    frames: int = 4
    shapes: int | None = None
    lines: int | None = None
    chinese: float = 0.4

    @property
    def tongues(self) -> tuple[Tongue, ...]:
        """The languages of the questions."""
        return HELD_OUT_TONGUES if self.held_out_wordings else TONGUES


@dataclass
class Sample:
    """Pictures in source size (frames, for a video), questions, labels of every cell.

    `edges` are of every cell too: how far those of the shape or word in it are.
    """

    kind: str
    grid: Grid
    pictures: list[Image.Image]
    questions: list[Question]
    labels: list[Labels]
    edges: list[Edges]
    unknown: bool = False

    @property
    def is_video(self) -> bool:
        """Whether the pictures are frames."""
        return self.kind == "video"

    @property
    def printed(self) -> bool:
        """Whether the cells hold characters rather than shapes."""
        return self.kind in PRINTED


def _scene(rng: random.Random, canvas: Canvas, options: Options) -> Sample:
    count = options.shapes or rng.choice([1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4])
    if options.shapes is None and rng.random() < 0.01:
        count = 0
    scene = make_scene(rng, canvas, count, options.held_out_pairs, rng.random() < 0.6)
    style = make_style(rng, [shape.ink for shape in scene.shapes], canvas)
    picture = damage(rng, render(scene, style), options.damage)
    held_out = options.held_out_pairs
    questions = [
        question
        for tongue in options.tongues
        for question in (
            *scene_questions(rng, scene, tongue),
            *shape_places(rng, scene, tongue, held_out),
            *attribute_places(rng, scene, tongue),
            *scene_choices(rng, scene, tongue, held_out),
        )
    ]
    labels, edges = [label_cells(scene)], [_scene_edges(scene)]
    return Sample("scene", canvas.grid, [picture], questions, labels, edges)


def _relations(rng: random.Random, canvas: Canvas, options: Options) -> Sample:
    scene = make_related(rng, canvas, options.held_out_pairs)
    style = related_style(rng, scene, canvas)
    picture = damage(rng, render(scene, style), options.damage)
    questions = [
        question
        for tongue in options.tongues
        for question in relation_questions(rng, scene, tongue)
    ]
    labels, edges = [label_cells(scene)], [_scene_edges(scene)]
    return Sample("relations", canvas.grid, [picture], questions, labels, edges)


def _scene_edges(scene: Scene) -> Edges:
    return edge_labels(scene.canvas, [extent(shape) for shape in by_size(scene.shapes)])


def _compare(rng: random.Random, canvas: Canvas, options: Options) -> Sample:
    first, second, change = make_pair(rng, canvas, options.held_out_pairs)
    style = pair_style(rng, first, second)
    pictures = [damage(rng, render(scene, style), options.damage) for scene in (first, second)]
    labels = [label_cells(first), label_cells(second)]
    edges = [_scene_edges(first), _scene_edges(second)]
    questions = [q for t in options.tongues for q in change_questions(rng, change, t)]
    return Sample("compare", canvas.grid, pictures, questions, labels, edges)


def _video(rng: random.Random, canvas: Canvas, options: Options) -> Sample:
    motion = make_motion(rng, canvas, options.frames, options.held_out_pairs)
    style = make_style(rng, [shape.ink for shape in motion.frames[-1].shapes], canvas)
    seed, strength = rng.getrandbits(32), options.damage
    # The same damage on every frame: one camera, one encoder.
    frames = [damage(random.Random(seed), render(f, style), strength) for f in motion.frames]
    labels = [label_cells(frame) for frame in motion.frames[::2]]
    edges = [_scene_edges(frame) for frame in motion.frames[::2]]
    questions = [q for t in options.tongues for q in motion_questions(rng, motion, t)]
    return Sample("video", canvas.grid, frames, questions, labels, edges)


def _printed(rng: random.Random, canvas: Canvas, options: Options, kind: str) -> Sample:
    is_chinese = rng.random() < options.chinese and not options.small_fonts
    face = choose_face(
        rng,
        options.held_out_fonts,
        options.held_out_layouts,
        accents=kind != "document",
        small=options.small_fonts,
        chinese=is_chinese,
    )
    document, printed = documents.make_print(rng, kind, canvas, face, options.lines, is_chinese)
    questions = [
        question
        for tongue in options.tongues
        for question in (
            *PRINT_QUESTIONS[kind](rng, document, tongue),
            *print_places(rng, document, printed, canvas, tongue),
            *extraction(rng, document, tongue),
            *print_choices(rng, document, tongue),
        )
    ]
    picture = damage(rng, printed.picture, options.damage)
    edges = edge_labels(canvas, [word.box for line in printed.lines for word in line.words])
    return Sample(kind, canvas.grid, [picture], questions, [printed.labels], [edges])


def _page(rng: random.Random, canvas: Canvas, options: Options) -> Sample:
    is_chinese = rng.random() < options.chinese and not options.small_fonts
    small, held_out = options.small_fonts, options.held_out_fonts
    face = choose_face(rng, held_out, False, accents=False, small=small, chinese=is_chinese)
    rules = HELD_OUT_RULES if options.held_out_layouts else RULES
    page, printed = print_page(rng, canvas, face, is_chinese, rules)
    questions = [
        question
        for tongue in options.tongues
        for question in page_questions(rng, page, printed, canvas, tongue)
    ]
    picture = damage(rng, printed.picture, options.damage)
    edges = edge_labels(canvas, [word.box for line in printed.lines() for word in line.words])
    labels = cell_characters(canvas, printed.texts)
    return Sample("page", canvas.grid, [picture], questions, [labels], [edges])


PRINT_QUESTIONS: dict[
    str, Callable[[random.Random, documents.Document, Tongue], list[Question]]
] = {
    "document": document_questions,
    "menu": menu_questions,
    "sign": sign_questions,
}
DRAWN: dict[str, Callable[[random.Random, Canvas, Options], Sample]] = {
    "scene": _scene,
    "relations": _relations,
    "compare": _compare,
    "video": _video,
    "page": _page,
}


def make_sample(
    rng: random.Random, kind: str, grid: Grid, options: Options, canvas: Canvas | None = None
) -> Sample:
    """A sample of `kind` on `grid`, or on a given canvas."""
    canvas = canvas or canvas_for(rng, grid, most=1.4 if kind == "video" else 2.2)
    if kind in DRAWN:
        sample = DRAWN[kind](rng, canvas, options)
    else:
        sample = _printed(rng, canvas, options, kind)
    if rng.random() < options.outliers:
        return unknowable(rng, sample, canvas)
    return sample


def unknowable(rng: random.Random, sample: Sample, canvas: Canvas) -> Sample:
    """The same questions and answers about photo-like pictures, so that each answer is a guess.

    Trained on a few of these, the model spreads its probability over the plausible answers.
    """
    picture = photo_like(rng, canvas)
    pictures = [picture] * len(sample.pictures)
    if sample.kind == "compare":
        pictures[1] = photo_like(rng, canvas)
    blank = [np.full_like(labels, UNKNOWN) for labels in sample.labels]
    nowhere = [np.full_like(edges, np.nan) for edges in sample.edges]
    return replace(sample, pictures=pictures, labels=blank, edges=nowhere, unknown=True)
