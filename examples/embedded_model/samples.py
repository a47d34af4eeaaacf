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
from .drawing.pairs import make_pair, pair_style
from .drawing.palette import COLOURS, SHAPES
from .drawing.scenes import Scene, label_cells, make_scene, make_style, render
from .drawing.shapes import extent
from .drawing.typeset import CHARACTERS, SLOTS, choose_face
from .questions.answers import (
    Question,
    change_questions,
    document_questions,
    menu_questions,
    motion_questions,
    scene_questions,
    sign_questions,
)
from .questions.choices import print_choices, scene_choices
from .questions.places import print_places, shape_places
from .questions.structures import extraction

Labels = NDArray[np.int64]
# Colour and kind have a head each: pairs never seen together are then no class of their own.
HEADS = {
    "colours": 1 + len(COLOURS),
    "kinds": 1 + len(SHAPES),
    "characters": SLOTS * len(CHARACTERS),
    "edges": 4,
    "places": 4,
}
KINDS = ("scene", "compare", "video", "document", "menu", "sign")
# Classes of a cell without a label: photo-like pictures.
UNKNOWN = -100


@dataclass(frozen=True)
class Options:
    """What may be drawn; the held-out parts are for measuring only."""

    held_out_pairs: bool = False
    held_out_fonts: bool = False
    held_out_layouts: bool = False
    small_fonts: bool = False
    damage: float = 1.0
    outliers: float = 0.04
    frames: int = 4
    shapes: int | None = None
    lines: int | None = None


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
        return self.kind in PRINT_QUESTIONS


def _scene(rng: random.Random, canvas: Canvas, options: Options) -> Sample:
    count = options.shapes or rng.choice([1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4])
    if options.shapes is None and rng.random() < 0.01:
        count = 0
    scene = make_scene(rng, canvas, count, options.held_out_pairs, rng.random() < 0.6)
    style = make_style(rng, [shape.ink for shape in scene.shapes], canvas)
    picture = damage(rng, render(scene, style), options.damage)
    questions = scene_questions(rng, scene) + shape_places(rng, scene) + scene_choices(rng, scene)
    labels, edges = [label_cells(scene)], [_scene_edges(scene)]
    return Sample("scene", canvas.grid, [picture], questions, labels, edges)


def _scene_edges(scene: Scene) -> Edges:
    return edge_labels(scene.canvas, [extent(shape) for shape in scene.shapes])


def _compare(rng: random.Random, canvas: Canvas, options: Options) -> Sample:
    first, second, change = make_pair(rng, canvas, options.held_out_pairs)
    style = pair_style(rng, first, second)
    pictures = [damage(rng, render(scene, style), options.damage) for scene in (first, second)]
    labels = [label_cells(first), label_cells(second)]
    edges = [_scene_edges(first), _scene_edges(second)]
    return Sample("compare", canvas.grid, pictures, change_questions(rng, change), labels, edges)


def _video(rng: random.Random, canvas: Canvas, options: Options) -> Sample:
    motion = make_motion(rng, canvas, options.frames, options.held_out_pairs)
    style = make_style(rng, [shape.ink for shape in motion.frames[-1].shapes], canvas)
    seed, strength = rng.getrandbits(32), options.damage
    # The same damage on every frame: one camera, one encoder.
    frames = [damage(random.Random(seed), render(f, style), strength) for f in motion.frames]
    labels = [label_cells(frame) for frame in motion.frames[::2]]
    edges = [_scene_edges(frame) for frame in motion.frames[::2]]
    return Sample("video", canvas.grid, frames, motion_questions(rng, motion), labels, edges)


def _printed(rng: random.Random, canvas: Canvas, options: Options, kind: str) -> Sample:
    face = choose_face(
        rng,
        options.held_out_fonts,
        options.held_out_layouts,
        accents=kind != "document",
        small=options.small_fonts,
    )
    document, printed = documents.make_print(rng, kind, canvas, face, options.lines)
    questions = PRINT_QUESTIONS[kind](rng, document) + print_places(rng, document, printed, canvas)
    questions += extraction(rng, document) + print_choices(rng, document)
    picture = damage(rng, printed.picture, options.damage)
    edges = edge_labels(canvas, [word.box for line in printed.lines for word in line.words])
    return Sample(kind, canvas.grid, [picture], questions, [printed.labels], [edges])


PRINT_QUESTIONS: dict[str, Callable[[random.Random, documents.Document], list[Question]]] = {
    "document": document_questions,
    "menu": menu_questions,
    "sign": sign_questions,
}
DRAWN: dict[str, Callable[[random.Random, Canvas, Options], Sample]] = {
    "scene": _scene,
    "compare": _compare,
    "video": _video,
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
