"""Where things are: questions whose answers are boxes, as Qwen2-VL writes them.

Coordinates are thousandths of the picture's sides, as its model card says, but in steps of 20, each
of which is one token of this model's vocabulary. Spelled in digits they were not learnt: the last
digits of a place that is known to a cell's tenth are noise, and most of the loss.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from ..drawing.boxes import Box
from ..drawing.canvas import Canvas
from ..drawing.documents import Document
from ..drawing.palette import PAIRS, SHAPES
from ..drawing.scenes import Scene
from ..drawing.shapes import Shape, extent
from ..drawing.typeset import Print
from .answers import Question, plural
from .wordings import ask

NOTHING = "Nothing."
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
    x1, x2 = _span(box.left, box.right, canvas.width)
    y1, y2 = _span(box.top, box.bottom, canvas.height)
    return (
        f"<|object_ref_start|>{name}<|object_ref_end|>"
        f"<|box_start|>({x1},{y1}),({x2},{y2})<|box_end|>"
    )


def _span(low: float, high: float, side: int) -> tuple[int, int]:
    """From and to, in steps, and never nothing."""
    first, last = (
        min(max(round(at / side * PARTS / STEP), 0), PARTS // STEP) for at in (low, high)
    )
    if first == last:
        first, last = (first, last + 1) if first == 0 else (first - 1, last)
    return first * STEP, last * STEP


def shape_places(rng: random.Random, scene: Scene) -> list[Question]:
    """Where one shape is, where all of a kind or colour are, where one is that is not there."""
    shapes = scene.shapes
    found = [_places(rng, "locate_absent", scene, _absent(rng, shapes), ())]
    if shapes:
        names = Counter(shape.name for shape in shapes)
        single = [shape for shape in shapes if names[shape.name] == 1]
        if single:
            shape = rng.choice(single)
            found.append(_places(rng, "locate", scene, f"the {shape.name}", [shape]))
        found.append(_all_alike(rng, scene, rng.choice(shapes)))
        everything = rng.choice(["all shapes", "every shape"])
        found.append(_places(rng, "locate_all", scene, everything, shapes))
        if len(single) >= 2:
            pair = sorted(rng.sample(single, 2), key=lambda shape: shape.x)
            asked = rng.sample(pair, 2)
            what = f"the {asked[0].name} and the {asked[1].name}"
            found.append(_places(rng, "locate_all", scene, what, pair))
    return found


def _all_alike(rng: random.Random, scene: Scene, shape: Shape) -> Question:
    """All shapes of one kind, or of one colour."""
    shapes = scene.shapes
    if rng.random() < 0.6:
        alike = [other for other in shapes if other.kind == shape.kind]
        what = rng.choice([f"all {plural(shape.kind)}", f"every {shape.kind}"])
    else:
        alike = [other for other in shapes if other.colour == shape.colour]
        what = rng.choice([f"all {shape.colour} shapes", f"every {shape.colour} shape"])
    return _places(rng, "locate_all", scene, what, alike)


def _places(
    rng: random.Random, task: str, scene: Scene, what: str, shapes: Sequence[Shape]
) -> Question:
    boxes = [(shape.name, extent(shape)) for shape in shapes]
    return Question(task, ask(rng, "locate", what=what), grounded(scene.canvas, boxes))


def _absent(rng: random.Random, shapes: Sequence[Shape]) -> str:
    """What is asked for and is not there."""
    kinds = {shape.kind for shape in shapes}
    pairs = {shape.pair for shape in shapes}
    if rng.random() < 0.4:
        return f"all {plural(rng.choice([kind for kind in SHAPES if kind not in kinds]))}"
    colour, kind = rng.choice([pair for pair in PAIRS if pair not in pairs])
    return f"the {colour} {kind}"


def print_places(
    rng: random.Random, document: Document, printed: Print, canvas: Canvas
) -> list[Question]:
    """Where a word that is printed once stands, and where the value of a field does."""
    words = [word for line in printed.lines for word in line.words]
    counts = Counter(word.text for word in words)
    found = []
    if single := [word for word in words if counts[word.text] == 1 and len(word.text) > 1]:
        for word in rng.sample(single, min(3, len(single))):
            text = word.text
            what = rng.choice(['the word "{}"', 'the word "{}"', 'the text "{}"', '"{}"'])
            question = ask(rng, "locate", what=what.format(text))
            answer = grounded(canvas, [(text, word.box)])
            found.append(Question("locate_word", question, answer))
    for role, value in document.values.items():
        line = document.line_of(role)
        question = ask(rng, "locate", what=f"the {role}")
        answer = grounded(canvas, [(value, printed.lines[line].value_box)])
        found.append(Question("locate_field", question, answer))
    return found
