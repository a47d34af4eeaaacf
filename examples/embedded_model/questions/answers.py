"""What is asked about each drawing, and the right answer."""

from __future__ import annotations

import random
from typing import NamedTuple

from ..drawing.documents import Document
from ..drawing.motion import DIRECTIONS, Motion
from ..drawing.pairs import Change
from ..drawing.palette import COLOUR_NAMES, SHAPES
from ..drawing.scenes import Scene, relation
from ..drawing.shapes import Shape
from .english import capitalised
from .tongue import Tongue

SAME_SHARE = 1 / 6
"""How often it is asked of two different pictures whether they are the same: a seventh of the pairs
is, so that both answers are equally frequent."""


class Question(NamedTuple):
    """One question about a drawing.

    Of two things that it compares, `pair` has the names, and the relation if it claims one.
    """

    task: str
    text: str
    answer: str
    pair: tuple[str, ...] = ()


def describe(scene: Scene, tongue: Tongue) -> str:
    """The shapes from left to right; of two, how they lie to each other."""
    shapes = scene.shapes
    if not shapes:
        return tongue.nothing
    if len(shapes) == 2:
        first, second = shapes
        where = relation(first, second)
        if where == "below":
            first, second, where = second, first, "above"
        if where:
            return tongue.two(tongue.named(first), where, tongue.named(second))
    return tongue.listed([tongue.named(shape) for shape in shapes])


def scene_questions(rng: random.Random, scene: Scene, tongue: Tongue) -> list[Question]:
    """All kinds of questions about a scene, each at most a few times, in random order."""
    shapes = scene.shapes
    text = describe(scene, tongue)
    found = [Question(f"describe_{len(shapes)}", tongue.ask(rng, "describe"), text)]
    found.append(Question("count", tongue.ask(rng, "count"), str(len(shapes))))
    if shapes:
        found += _counts(rng, shapes, tongue) + _attributes(rng, shapes, tongue)
    return found


def _counts(rng: random.Random, shapes: list[Shape], tongue: Tongue) -> list[Question]:
    colour = rng.choice([rng.choice(shapes).colour, rng.choice(shapes).colour, *COLOUR_NAMES[:1]])
    if rng.random() < 0.25:
        colour = rng.choice(COLOUR_NAMES)
    kind = rng.choice(shapes).kind if rng.random() < 0.7 else rng.choice(SHAPES)
    of_colour = sum(shape.colour == colour for shape in shapes)
    of_kind = sum(shape.kind == kind for shape in shapes)
    coloured = tongue.ask(rng, "count_colour", colour=tongue.colour(colour))
    formed = tongue.ask(rng, "count_shape", kinds=tongue.several(kind))
    return [
        Question("count_colour", coloured, str(of_colour)),
        Question("count_shape", formed, str(of_kind)),
    ]


def _attributes(rng: random.Random, shapes: list[Shape], tongue: Tongue) -> list[Question]:
    """Colour of a shape that occurs once, shape of a colour that occurs once."""
    found = []
    kinds = [shape.kind for shape in shapes]
    colours = [shape.colour for shape in shapes]
    if single := [shape for shape in shapes if kinds.count(shape.kind) == 1]:
        shape = rng.choice(single)
        question = tongue.ask(rng, "colour", kind=tongue.shape(shape.kind))
        found.append(Question("colour", question, tongue.sentence(tongue.colour(shape.colour))))
    if single := [shape for shape in shapes if colours.count(shape.colour) == 1]:
        shape = rng.choice(single)
        question = tongue.ask(rng, "shape", colour=tongue.colour(shape.colour))
        answer = tongue.sentence(tongue.one(tongue.shape(shape.kind)))
        found.append(Question("shape", question, answer))
    return found


def change_questions(rng: random.Random, change: Change, tongue: Tongue) -> list[Question]:
    """What changed, and whether anything did."""
    found = [Question("compare", tongue.ask(rng, "compare"), tongue.changed(change))]
    if change.what == "same" or rng.random() < SAME_SHARE:
        answer = tongue.truth(change.what == "same")
        found.append(Question("same", tongue.ask(rng, "same"), answer))
    return found


def motion_questions(rng: random.Random, motion: Motion, tongue: Tongue) -> list[Question]:
    """What happens, and for a movement which way, for an event when."""
    found = [Question("video", tongue.ask(rng, "video"), tongue.moves(motion))]
    shape = motion.shape
    names = {"kind": tongue.shape(shape.kind), "colour": tongue.colour(shape.colour)}
    if motion.at is not None:
        question = tongue.ask(rng, motion.what, **names)
        found.append(Question("when", question, tongue.when(motion.at)))
    if motion.what in DIRECTIONS:
        question = tongue.ask(rng, "direction", **names)
        found.append(Question("direction", question, tongue.towards(motion.what)))
    return found


def document_questions(rng: random.Random, document: Document, tongue: Tongue) -> list[Question]:
    """Every printed field, the kind, the whole text."""
    found = [Question("read", tongue.ask(rng, "read"), document.text)]
    for role, value in document.values.items():
        found.append(Question(role, tongue.ask(rng, role) + _only(rng, tongue), value))
    answer = tongue.is_document(document.kind)
    if document.kind:
        question = tongue.ask(rng, "kind") + _only(rng, tongue)
        found.append(Question("kind", question, answer))
        found.append(Question("describe_print", tongue.ask(rng, "describe"), answer))
    elif rng.random() < 0.3:
        found.append(Question("describe_print", tongue.ask(rng, "describe"), answer))
    return found


def _only(rng: random.Random, tongue: Tongue) -> str:
    return tongue.document_only if rng.random() < 0.2 else ""


def menu_questions(rng: random.Random, menu: Document, tongue: Tongue) -> list[Question]:
    """The translation, the price of one item, the text as printed."""
    english = capitalised(", ".join(menu.foods)) + "."
    found = [Question("translate", tongue.ask(rng, "translate"), english)]
    if menu.language != "chinese" and tongue.code == "zh":
        chinese = "、".join(menu.chinese) + "。"
        found.append(Question("translate_zh", tongue.ask(rng, "translate_zh"), chinese))
    if menu.prices:
        index = rng.randrange(len(menu.foods))
        name = (menu.chinese if tongue.code == "zh" else menu.foods)[index]
        question = tongue.ask(rng, "price", food=name) + _only(rng, tongue)
        found.append(Question("price", question, menu.prices[index]))
    if rng.random() < 0.5:
        found.append(Question("read", tongue.ask(rng, "read"), menu.text))
    if rng.random() < 0.15:
        answer = tongue.is_document("menu")
        found.append(Question("describe_print", tongue.ask(rng, "describe"), answer))
    return found


def sign_questions(rng: random.Random, sign: Document, tongue: Tongue) -> list[Question]:
    """The text, and what it is."""
    found = [Question("read", tongue.ask(rng, "read"), sign.text)]
    if rng.random() < 0.08:
        answer = tongue.is_document("print")
        found.append(Question("describe_print", tongue.ask(rng, "describe"), answer))
    return found
