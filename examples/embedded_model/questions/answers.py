"""What is asked about each drawing, and the right answer."""

from __future__ import annotations

import random
from typing import NamedTuple

from ..drawing.documents import Document, capitalised
from ..drawing.motion import DIRECTIONS, Motion
from ..drawing.pairs import Change
from ..drawing.palette import COLOUR_NAMES, SHAPES
from ..drawing.scenes import OPPOSITE, Scene, relation
from ..drawing.shapes import Shape
from .wordings import DOCUMENT_ONLY, ask


class Question(NamedTuple):
    """One question about a drawing."""

    task: str
    text: str
    answer: str


def article(name: str) -> str:
    """The name with its article: a red circle, an orange square."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def plural(kind: str) -> str:
    """Several of a shape."""
    return kind + ("es" if kind.endswith("s") else "s")


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    return capitalised(text) + "."


def describe(scene: Scene) -> str:
    """The shapes from left to right; of two, how they lie to each other."""
    shapes = scene.shapes
    if not shapes:
        return "Nothing."
    if len(shapes) == 2:
        first, second = shapes
        where = relation(first, second)
        if where == "below":
            first, second, where = second, first, "above"
        return sentence(f"{article(first.name)} {where} {article(second.name)}")
    names = [article(shape.name) for shape in shapes]
    return sentence(names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}")


def scene_questions(rng: random.Random, scene: Scene) -> list[Question]:
    """All kinds of questions about a scene, each at most a few times, in random order."""
    shapes = scene.shapes
    found = [Question(f"describe_{len(shapes)}", ask(rng, "describe"), describe(scene))]
    found.append(Question("count", ask(rng, "count"), str(len(shapes))))
    if shapes:
        found += _counts(rng, shapes) + _attributes(rng, shapes) + _relations(rng, shapes)
    return found


def _counts(rng: random.Random, shapes: list[Shape]) -> list[Question]:
    colour = rng.choice([rng.choice(shapes).colour, rng.choice(shapes).colour, *COLOUR_NAMES[:1]])
    if rng.random() < 0.25:
        colour = rng.choice(COLOUR_NAMES)
    kind = rng.choice(shapes).kind if rng.random() < 0.7 else rng.choice(SHAPES)
    of_colour = sum(shape.colour == colour for shape in shapes)
    of_kind = sum(shape.kind == kind for shape in shapes)
    return [
        Question("count_colour", ask(rng, "count_colour", colour=colour), str(of_colour)),
        Question("count_shape", ask(rng, "count_shape", kinds=plural(kind)), str(of_kind)),
    ]


def _attributes(rng: random.Random, shapes: list[Shape]) -> list[Question]:
    """Colour of a shape that occurs once, shape of a colour that occurs once."""
    found = []
    kinds = [shape.kind for shape in shapes]
    colours = [shape.colour for shape in shapes]
    if single := [shape for shape in shapes if kinds.count(shape.kind) == 1]:
        shape = rng.choice(single)
        found.append(
            Question("colour", ask(rng, "colour", kind=shape.kind), sentence(shape.colour))
        )
    if single := [shape for shape in shapes if colours.count(shape.colour) == 1]:
        shape = rng.choice(single)
        question = ask(rng, "shape", colour=shape.colour)
        found.append(Question("shape", question, sentence(article(shape.kind))))
    return found


def _relations(rng: random.Random, shapes: list[Shape]) -> list[Question]:
    """Where one shape is from another, and whether it is where the question says."""
    names = [shape.name for shape in shapes]
    single = [shape for shape in shapes if names.count(shape.name) == 1]
    if len(single) < 2:
        return []
    first, second = rng.sample(single, 2)
    where = relation(first, second)
    if where is None:
        return []
    claim = where if rng.random() < 0.5 else OPPOSITE[where]
    asked = {"first": first.name, "second": second.name}
    answer = "Yes." if claim == where else "No."
    return [
        Question("relation", ask(rng, "relation", **asked), sentence(f"{where} it")),
        Question("relation_yes_no", ask(rng, "relation_yes_no", relation=claim, **asked), answer),
    ]


def change_sentence(change: Change) -> str:
    """What became of the shape."""
    name = f"{change.colour} {change.kind}"
    if change.what == "colour":
        return f"The {change.kind} changed from {change.colour} to {change.became}."
    if change.what == "shape":
        return f"The {name} became {article(change.became)}."
    if change.what == "gone":
        return f"The {name} is gone."
    if change.what == "added":
        return sentence(f"{article(name)} was added")
    return "Nothing changed."


def change_questions(rng: random.Random, change: Change) -> list[Question]:
    """What changed, and whether anything did."""
    same = "Yes." if change.what == "same" else "No."
    return [
        Question("compare", ask(rng, "compare"), change_sentence(change)),
        Question("same", ask(rng, "same"), same),
    ]


def motion_sentence(motion: Motion) -> str:
    """What happens in the video."""
    does = {"still": "does not move", "grow": "gets bigger", "shrink": "gets smaller"}
    return f"The {motion.shape.name} {does.get(motion.what, f'moves {motion.what}')}."


def motion_questions(rng: random.Random, motion: Motion) -> list[Question]:
    """What happens, and for a movement which way."""
    found = [Question("video", ask(rng, "video"), motion_sentence(motion))]
    if motion.what in DIRECTIONS:
        shape = motion.shape
        question = ask(rng, "direction", kind=shape.kind, colour=shape.colour)
        found.append(Question("direction", question, sentence(motion.what)))
    return found


def document_questions(rng: random.Random, document: Document) -> list[Question]:
    """Every printed field, the kind, the whole text."""
    found = [Question("read", ask(rng, "read"), document.text)]
    for role, value in document.values.items():
        found.append(Question(role, ask(rng, role) + _only(rng), value))
    if document.kind:
        kind = sentence(article(document.kind))
        found.append(Question("kind", ask(rng, "kind") + _only(rng), kind))
        found.append(Question("describe_print", ask(rng, "describe"), kind))
    elif rng.random() < 0.3:
        found.append(Question("describe_print", ask(rng, "describe"), "A document."))
    return found


def _only(rng: random.Random) -> str:
    return DOCUMENT_ONLY if rng.random() < 0.2 else ""


def menu_questions(rng: random.Random, menu: Document) -> list[Question]:
    """The translation, the price of one item, the text as printed."""
    found = [Question("translate", ask(rng, "translate"), sentence(", ".join(menu.foods)))]
    if menu.prices:
        index = rng.randrange(len(menu.foods))
        question = ask(rng, "price", food=menu.foods[index]) + _only(rng)
        found.append(Question("price", question, menu.prices[index]))
    if rng.random() < 0.5:
        found.append(Question("read", ask(rng, "read"), menu.text))
    if rng.random() < 0.15:
        found.append(Question("describe_print", ask(rng, "describe"), "A menu."))
    return found


def sign_questions(rng: random.Random, sign: Document) -> list[Question]:
    """The text, and what it is."""
    found = [Question("read", ask(rng, "read"), sign.text)]
    if rng.random() < 0.08:
        found.append(Question("describe_print", ask(rng, "describe"), "Printed text."))
    return found
