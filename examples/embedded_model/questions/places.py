"""Where things are: questions whose answers are boxes, as Qwen2-VL writes them.

Coordinates are thousandths of the picture's sides, as its model card says, but in steps of 20, each
of which is one token of this model's vocabulary. Spelled in digits they were not learnt: the last
digits of a place that is known to a cell's tenth are noise, and most of the loss.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence

from ..drawing.boxes import Box
from ..drawing.canvas import Canvas
from ..drawing.documents import Document
from ..drawing.palette import PAIRS, SHAPES, TRAINING_PAIRS, Pair
from ..drawing.scenes import Scene
from ..drawing.shapes import Shape, extent
from ..drawing.typeset import Print
from .answers import Question
from .tongue import Tongue

NOTHING = "Nothing."
ATTRIBUTES = {
    "en": "Locate {what} in this image, report the bbox coordinates and the color in JSON format, "
    'like {"bbox_2d": [x1, y1, x2, y2], "label": "...", "color": "..."}.',
    "zh": "定位图中的{what}，以JSON格式输出其bbox坐标和颜色，形如"
    '{"bbox_2d": [x1, y1, x2, y2], "label": "...", "color": "..."}。',
}
"""After Qwen3-VL's cookbook on grounding (`2d_grounding.ipynb`), which asks for attributes so."""
WHERE_TO_LOOK = {
    "en": 'the part that must be seen to answer "{question}"',
    "zh": "回答“{question}”所需要看的部分",
}
"""What `zoom_answer` asks `locate` for."""
POINTS = {
    "en": "Locate {what} in this image with points, and output their coordinates in JSON format, "
    'like {"point_2d": [x, y], "label": "..."}.',
    "zh": '用点定位图中的{what}，以JSON格式输出其坐标，形如{"point_2d": [x, y], "label": "..."}。',
}
STEP = 20
PARTS = 1000
COORDINATES = (
    *(f"({x}," for x in range(0, PARTS + 1, STEP)),
    *(f"{y})" for y in range(0, PARTS + 1, STEP)),
)
"""The left and the right half of a place in an answer, such as `(120,` and `340)`."""


def grounded(canvas: Canvas, found: Sequence[tuple[str, Box]]) -> str:
    """Names with their boxes, in the order given."""
    return "".join(_grounded(canvas, name, box) for name, box in found) or NOTHING


def _grounded(canvas: Canvas, name: str, box: Box) -> str:
    (x1, x2), (y1, y2) = spans(canvas, box)
    return (
        f"<|object_ref_start|>{name}<|object_ref_end|>"
        f"<|box_start|>({x1},{y1}),({x2},{y2})<|box_end|>"
    )


def spans(canvas: Canvas, box: Box) -> tuple[tuple[int, int], tuple[int, int]]:
    """From and to in thousandths of the sides, across and down."""
    return _span(box.left, box.right, canvas.width), _span(box.top, box.bottom, canvas.height)


def _span(low: float, high: float, side: int) -> tuple[int, int]:
    """From and to, in steps, and never nothing."""
    first, last = (
        min(max(round(at / side * PARTS / STEP), 0), PARTS // STEP) for at in (low, high)
    )
    if first == last:
        first, last = (first, last + 1) if first == 0 else (first - 1, last)
    return first * STEP, last * STEP


def shape_places(
    rng: random.Random, scene: Scene, tongue: Tongue, held_out: bool = False
) -> list[Question]:
    """Where one shape is, where all of a kind or colour are, where one is that is not there."""
    shapes = scene.shapes
    absent = _absent(rng, shapes, tongue, PAIRS if held_out else TRAINING_PAIRS)
    found = [_places(rng, "locate_absent", scene, absent, (), tongue=tongue)]
    if shapes:
        names = Counter(shape.name for shape in shapes)
        single = [shape for shape in shapes if names[shape.name] == 1]
        if single:
            shape = rng.choice(single)
            found.append(_places(rng, "locate", scene, tongue.the(shape), [shape], tongue=tongue))
        found.append(_all_alike(rng, scene, rng.choice(shapes), tongue))
        everything = tongue.all_of(rng, None, None)
        found.append(_places(rng, "locate_all", scene, everything, shapes, tongue=tongue))
        if len(single) >= 2:
            pair = sorted(rng.sample(single, 2), key=lambda shape: shape.x)
            what = tongue.both(*(tongue.the(shape) for shape in rng.sample(pair, 2)))
            found.append(_places(rng, "locate_all", scene, what, pair, tongue=tongue))
    return found


def part_around(rng: random.Random, box: Box, canvas: Canvas) -> Box:
    """A part of the picture, of its proportions, with a box somewhere in it."""
    share = max(
        (box.right - box.left) * 1.1 / canvas.width, (box.bottom - box.top) * 1.1 / canvas.height
    )
    share = min(max(share, rng.uniform(0.35, 0.6)), 1.0)
    wide, high = share * canvas.width, share * canvas.height
    left = rng.uniform(max(box.right - wide, 0), max(min(box.left, canvas.width - wide), 0))
    top = rng.uniform(max(box.bottom - high, 0), max(min(box.top, canvas.height - high), 0))
    return Box(left, top, left + wide, top + high)


def attribute_places(rng: random.Random, scene: Scene, tongue: Tongue) -> list[Question]:
    """Boxes with attributes beside them, and points, in JSON, as the publisher's cookbooks ask.

    A point is the middle of its shape's box.
    """
    if not scene.shapes:
        return []
    shapes, colour, kind = scene.shapes, None, None
    roll = rng.random()
    if roll < 0.3:
        kind = rng.choice(shapes).kind
        shapes = [shape for shape in shapes if shape.kind == kind]
    elif roll < 0.5:
        colour = rng.choice(shapes).colour
        shapes = [shape for shape in shapes if shape.colour == colour]
    what = tongue.all_of(rng, colour, kind)
    found = []
    boxes, points = [], []
    for shape in shapes:
        (x1, x2), (y1, y2) = spans(scene.canvas, extent(shape))
        named = {"label": tongue.shape(shape.kind), "color": tongue.colour(shape.colour)}
        boxes.append({"bbox_2d": [x1, y1, x2, y2], **named})
        x, y = (round((low + high) / 2 / STEP) * STEP for low, high in ((x1, x2), (y1, y2)))
        points.append({"point_2d": [x, y], "label": tongue.named(shape)})
    for task, content, asked in (
        ("locate_json", boxes, ATTRIBUTES[tongue.code]),
        ("locate_points", points, POINTS[tongue.code]),
    ):
        text = asked.replace("{what}", what)
        found.append(Question(task, text, json.dumps(content, ensure_ascii=False)))
    return found


def _all_alike(rng: random.Random, scene: Scene, shape: Shape, tongue: Tongue) -> Question:
    """All shapes of one kind, or of one colour."""
    shapes = scene.shapes
    if rng.random() < 0.6:
        alike = [other for other in shapes if other.kind == shape.kind]
        what = tongue.all_of(rng, None, shape.kind)
    else:
        alike = [other for other in shapes if other.colour == shape.colour]
        what = tongue.all_of(rng, shape.colour, None)
    return _places(rng, "locate_all", scene, what, alike, tongue=tongue)


def _places(
    rng: random.Random,
    task: str,
    scene: Scene,
    what: str,
    shapes: Sequence[Shape],
    *,
    tongue: Tongue,
) -> Question:
    boxes = [(tongue.named(shape), extent(shape)) for shape in shapes]
    answer = grounded(scene.canvas, boxes) if boxes else tongue.nothing
    return Question(task, tongue.ask(rng, "locate", what=what), answer)


def _absent(
    rng: random.Random, shapes: Sequence[Shape], tongue: Tongue, pairs: Sequence[Pair]
) -> str:
    """What is asked for and is not there."""
    kinds = {shape.kind for shape in shapes}
    there = {shape.pair for shape in shapes}
    if rng.random() < 0.4:
        return tongue.all_of(rng, None, rng.choice([kind for kind in SHAPES if kind not in kinds]))
    return tongue.known(tongue.pair(*rng.choice([pair for pair in pairs if pair not in there])))


def print_places(
    rng: random.Random, document: Document, printed: Print, canvas: Canvas, tongue: Tongue
) -> list[Question]:
    """Where a word that is printed once stands, and where the value of a field does."""
    words = [word for line in printed.lines for word in line.words]
    counts = Counter(word.text for word in words)
    found = []
    if single := [word for word in words if counts[word.text] == 1 and len(word.text) > 1]:
        for word in rng.sample(single, min(2, len(single))):
            question = tongue.ask(rng, "locate", what=tongue.word(rng, word.text))
            answer = grounded(canvas, [(word.text, word.box)])
            found.append(Question("locate_word", question, answer))
    for role, value in document.values.items():
        line = document.line_of(role)
        question = tongue.ask(rng, "locate", what=tongue.known(tongue.role(role)))
        answer = grounded(canvas, [(value, printed.lines[line].value_box)])
        found.append(Question("locate_field", question, answer))
        if rng.random() < 0.15:
            what = WHERE_TO_LOOK[tongue.code].format(question=tongue.ask(rng, role))
            found.append(Question("locate_field", tongue.ask(rng, "locate", what=what), answer))
    return found
