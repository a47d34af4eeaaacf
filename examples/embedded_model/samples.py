"""One training sample: drawn pictures, questions about them, and what every cell shows."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

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
from .drawing.screens import make_screen
from .drawing.shapes import extent
from .drawing.typeset import CHARACTERS, SLOTS, Print, Word, cell_characters, choose_face
from .pointing import Shown, shown_shapes, shown_words
from .questions import wordings, wordings_zh
from .questions.answers import (
    Question,
    change_questions,
    document_questions,
    menu_questions,
    motion_questions,
    scene_questions,
    sign_questions,
)
from .questions.chinese import chinese
from .questions.choices import print_choices, scene_choices
from .questions.english import english
from .questions.pages import page_questions, plain_pages
from .questions.places import attribute_places, part_around, print_places, shape_places, spans
from .questions.relations import relation_questions
from .questions.structures import extraction
from .questions.tongue import Tongue
from .questions.tools import (
    FUNCTIONS,
    LOOK,
    PARTS_SHOWN,
    button_questions,
    call,
    function_call,
    offered,
    screen_question,
)

Labels = NDArray[np.int64]
# Colour and kind have a head each: pairs never seen together are then no class of their own.
HEADS = {
    "colours": 1 + len(COLOURS),
    "kinds": 1 + len(SHAPES),
    "characters": SLOTS * len(CHARACTERS),
    "edges": 4,
    "places": 4,
}
KINDS = (
    "scene",
    "relations",
    "compare",
    "video",
    "document",
    "menu",
    "sign",
    "page",
    "screen",
    "tool",
    "zoom",
)
PRINTED = ("document", "menu", "sign", "page", "screen", "tool", "zoom")
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
    plain_screens: float = 0.5

    @property
    def tongues(self) -> tuple[Tongue, ...]:
        """The languages of the questions."""
        return HELD_OUT_TONGUES if self.held_out_wordings else TONGUES


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation with tools: texts and numbers of pictures, in their order.

    `task` is what the model learns to write there; empty for what it is given.
    """

    role: str
    parts: tuple[str | int, ...]
    task: str = ""


@dataclass
class Sample:
    """Pictures in source size (frames, for a video), questions, labels of every cell.

    `edges` are of every cell too: how far those of the shape or word in it are. `system` is the
    system message that all questions need; a `script` stands for questions where a conversation
    has its own course. `shown` are the names of what a single picture shows.
    """

    kind: str
    grid: Grid
    pictures: list[Image.Image]
    questions: list[Question]
    labels: list[Labels]
    edges: list[Edges]
    unknown: bool = False
    system: str = ""
    script: tuple[Turn, ...] = ()
    shown: list[Shown] = field(default_factory=list)

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
    return _single(scene, "scene", picture, questions)


def _relations(rng: random.Random, canvas: Canvas, options: Options) -> Sample:
    scene = make_related(rng, canvas, options.held_out_pairs)
    style = related_style(rng, scene, canvas)
    picture = damage(rng, render(scene, style), options.damage)
    questions = [
        question
        for tongue in options.tongues
        for question in relation_questions(rng, scene, tongue)
    ]
    return _single(scene, "relations", picture, questions)


def _single(scene: Scene, kind: str, picture: Image.Image, questions: list[Question]) -> Sample:
    """The sample of one picture of shapes."""
    shown = shown_shapes(scene.canvas, scene.shapes, TONGUES)
    labels, edges = [label_cells(scene)], [_scene_edges(scene)]
    return Sample(kind, scene.canvas.grid, [picture], questions, labels, edges, shown=shown)


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
    shapes = (motion.shape, *(shape for frame in motion.frames for shape in frame.shapes))
    style = make_style(rng, sorted({shape.ink for shape in shapes}), canvas)
    seed, strength = rng.getrandbits(32), options.damage
    # The same damage on every frame: one camera, one encoder.
    frames = [damage(random.Random(seed), render(f, style), strength) for f in motion.frames]
    labels = [label_cells(frame) for frame in motion.frames[::2]]
    edges = [_scene_edges(frame) for frame in motion.frames[::2]]
    questions = [q for t in options.tongues for q in motion_questions(rng, motion, t)]
    return Sample("video", canvas.grid, frames, questions, labels, edges)


def _printed(rng: random.Random, canvas: Canvas, options: Options, kind: str) -> Sample:
    return _print(rng, canvas, options, kind)[0]


def _document(
    rng: random.Random, canvas: Canvas, options: Options
) -> tuple[Sample, documents.Document, Print]:
    return _print(rng, canvas, options, "document")


def _print(
    rng: random.Random, canvas: Canvas, options: Options, kind: str
) -> tuple[Sample, documents.Document, Print]:
    is_chinese = rng.random() < options.chinese and not options.small_fonts
    face = choose_face(
        rng,
        options.held_out_fonts,
        options.held_out_layouts,
        accents=kind != "document",
        small=options.small_fonts,
        chinese=is_chinese,
    )
    document, printed = documents.make_print(
        rng, kind, canvas, face, options.lines, chinese=is_chinese
    )
    questions = [
        question
        for tongue in options.tongues
        for question in (
            *PRINT_QUESTIONS[kind](rng, document, tongue),
            *print_places(rng, document, printed, canvas, tongue),
            *extraction(rng, document, tongue),
            *print_choices(rng, document, tongue),
            *plain_pages(rng, document, tongue),
        )
    ]
    picture = damage(rng, printed.picture, options.damage)
    words = [word for line in printed.lines for word in line.words]
    edges = edge_labels(canvas, [word.box for word in words])
    shown = shown_words(canvas, words)
    sample = Sample(kind, canvas.grid, [picture], questions, [printed.labels], [edges], shown=shown)
    return sample, document, printed


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
    words = [word for line in printed.lines() for word in line.words]
    edges = edge_labels(canvas, [word.box for word in words])
    labels, shown = cell_characters(canvas, printed.texts), shown_words(canvas, words)
    return Sample("page", canvas.grid, [picture], questions, [labels], [edges], shown=shown)


def _screen(rng: random.Random, canvas: Canvas, options: Options) -> Sample:
    is_chinese = rng.random() < options.chinese and not options.small_fonts
    small, held_out = options.small_fonts, options.held_out_fonts
    for _ in range(20):
        face = choose_face(rng, held_out, False, accents=False, small=small, chinese=is_chinese)
        screen = make_screen(rng, canvas, face, is_chinese)
        if screen.buttons:
            break
    tongue = options.tongues[is_chinese if rng.random() < 0.8 else not is_chinese]
    picture = damage(rng, screen.picture, options.damage)
    labels = [cell_characters(canvas, screen.texts)]
    edges = [edge_labels(canvas, [button.box for button in screen.buttons])]
    if not screen.buttons:
        text = Question("read", tongue.ask(rng, "read"), screen.title)
        return Sample("screen", canvas.grid, [picture], [text], labels, edges)
    system, action = screen_question(rng, screen, canvas, tongue)
    questions = [action]
    if rng.random() < options.plain_screens:
        system, questions = "", button_questions(rng, screen, canvas, tongue)
    shown = shown_words(canvas, [Word(button.label, button.box) for button in screen.buttons])
    return Sample(
        "screen", canvas.grid, [picture], questions, labels, edges, system=system, shown=shown
    )


def _tool(rng: random.Random, canvas: Canvas, options: Options) -> Sample:
    """A document, a function that its fields allow, and what it gave."""
    while True:
        sample, document, _ = _document(rng, canvas, options)
        tongue = rng.choice(options.tongues)
        if called := function_call(rng, document.values, tongue):
            break
    name, question, written = called
    others = [each for each in FUNCTIONS if each != name]
    functions = [name, *rng.sample(others, rng.choice([0, 0, 1]))]
    rng.shuffle(functions)
    system = offered("", *(FUNCTIONS[each] for each in functions))
    result = f"{rng.randint(1, 999)}.{rng.randint(0, 99):02d}" if name == "convert" else "OK"
    script = (
        Turn("system", (system,)),
        Turn("user", (0, question)),
        Turn("assistant", (written,), "tool_call"),
        Turn("user", (f"<tool_response>\n{result}\n</tool_response>",)),
        Turn("assistant", (f"{result}{tongue.stop}",), "tool_result"),
    )
    return replace(sample, kind="tool", questions=[], script=script)


def _zoom(rng: random.Random, canvas: Canvas, options: Options) -> Sample:
    """A document, the part of it where the answer stands, and the answer."""
    while True:
        sample, document, printed = _document(rng, canvas, options)
        if document.values:
            break
    tongue = rng.choice(options.tongues)
    role = rng.choice(list(document.values))
    question = tongue.ask(rng, role)
    part = part_around(rng, printed.lines[document.line_of(role)].value_box, canvas)
    (x1, x2), (y1, y2) = spans(canvas, part)
    corners = round(part.left), round(part.top), round(part.right), round(part.bottom)
    crop = sample.pictures[0].crop(corners)
    blank = [np.full_like(labels, UNKNOWN) for labels in sample.labels]
    nowhere = [np.full_like(edges, np.nan) for edges in sample.edges]
    answer = document.values[role]
    if rng.random() < 0.5:
        text = PARTS_SHOWN[tongue.code].format(question=question)
        script: tuple[Turn, ...] = (
            Turn("user", (0, 1, text)),
            Turn("assistant", (answer,), "zoomed"),
        )
    else:
        label = tongue.known(tongue.role(role))
        look = {"bbox_2d": [x1, y1, x2, y2], "label": label, "img_idx": 0}
        script = (
            Turn("system", (offered(LOOK[tongue.code], FUNCTIONS["image_zoom_in_tool"]),)),
            Turn("user", (0, question)),
            Turn("assistant", (call("image_zoom_in_tool", look),), "zoom_call"),
            Turn("user", ("<tool_response>\n", 1, "\n</tool_response>")),
            Turn("assistant", (answer,), "zoomed"),
        )
    return replace(
        sample,
        kind="zoom",
        pictures=[*sample.pictures, crop],
        labels=[*sample.labels, *blank],
        edges=[*sample.edges, *nowhere],
        questions=[],
        script=script,
    )


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
    "screen": _screen,
    "tool": _tool,
    "zoom": _zoom,
}


FREE = (
    "describe", "colour", "shape", "relation", "read", "compare", "video", "direction", "kind",
    "total", "tax", "date", "quantity", "number", "name", "translate", "price", "which", "page",
    "markdown", "when", "zoomed",
)  # fmt: skip
"""Beginnings of the tasks whose answer may be that it cannot be told: no form is asked for."""
ABSENT = 0.12
"""Of the pictures, so many are asked for what is on pictures of another kind."""
PRINT_ROLES = ("total", "tax", "date", "quantity", "number", "name", "price", "read")
SHAPE_ROLES = ("colour", "shape", "direction")


def make_sample(
    rng: random.Random, kind: str, grid: Grid, options: Options, canvas: Canvas | None = None
) -> Sample:
    """A sample of `kind` on `grid`, or on a given canvas."""
    canvas = canvas or canvas_for(rng, grid, most=1.4 if kind == "video" else 2.2)
    sample = _drawn(rng, kind, canvas, options)
    while not (sample.questions or sample.script):  # a small picture may show nothing to ask about
        sample = _drawn(rng, kind, canvas, options)
    if not sample.script and rng.random() < options.outliers:
        return unknowable(rng, sample, canvas, options)
    if sample.questions and not sample.system and rng.random() < ABSENT:
        sample.questions.append(_absent(rng, sample, rng.choice(options.tongues)))
    return sample


def _drawn(rng: random.Random, kind: str, canvas: Canvas, options: Options) -> Sample:
    if kind in DRAWN:
        return DRAWN[kind](rng, canvas, options)
    return _printed(rng, canvas, options, kind)


def _absent(rng: random.Random, sample: Sample, tongue: Tongue) -> Question:
    """A question about what the picture does not show."""
    there = {question.task.removeprefix("page_") for question in sample.questions}
    roles: tuple[str, ...] = SHAPE_ROLES if sample.printed else PRINT_ROLES
    if sample.kind == "document" and rng.random() < 0.6:
        roles = tuple(role for role in documents.FIELDS if role not in there) or SHAPE_ROLES
    role = rng.choice(roles)
    food = rng.choice(documents.foods())
    names = {
        "kind": tongue.shape(rng.choice(SHAPES)),
        "colour": tongue.colour(rng.choice(list(COLOURS))),
        "food": food["chinese" if tongue.code == "zh" else "english"],
    }
    return Question("cannot_tell", tongue.ask(rng, role, **names), tongue.unknown)


def unknowable(rng: random.Random, sample: Sample, canvas: Canvas, options: Options) -> Sample:
    """The same questions about photo-like pictures: what can be told is that it cannot be told.

    Where a form is asked for, such as yes or no or JSON, the answers stay, so that each is a guess:
    trained on a few of these, the model spreads its probability over the plausible answers.
    """
    picture = photo_like(rng, canvas)
    pictures = [picture] * len(sample.pictures)
    if sample.kind == "compare":
        pictures[1] = photo_like(rng, canvas)
    blank = [np.full_like(labels, UNKNOWN) for labels in sample.labels]
    nowhere = [np.full_like(edges, np.nan) for edges in sample.edges]
    # What is Chinese is answered in Chinese.
    english, chinese = options.tongues
    questions = [
        Question(
            "cannot_tell",
            question.text,
            (english if question.text.isascii() else chinese).unknown,
        )
        if question.task.startswith(FREE) and "\n" not in question.text
        else question
        for question in sample.questions
    ]
    return replace(
        sample,
        pictures=pictures,
        labels=blank,
        edges=nowhere,
        questions=questions,
        unknown=True,
    )
