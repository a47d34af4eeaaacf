"""English: names, sentences and wordings."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ..drawing.motion import Motion
from ..drawing.pairs import Change
from ..drawing.scenes import Relation
from . import wordings
from .tongue import Tongue, Wordings

NUMBERS = ("no", "one", "two", "three", "four", "five")
CHOOSE = "\nAnswer with one of: "


def capitalised(text: str) -> str:
    """The text with a capital first letter and the rest as it was ("Rote Bete")."""
    return text[:1].upper() + text[1:]


class _English(Tongue):
    def vary(self, rng: random.Random, question: str) -> str:
        """Sometimes without its last mark, or without the capital."""
        if rng.random() < 0.1:
            question = question.rstrip("?.")
        if rng.random() < 0.08:
            question = question[0].lower() + question[1:]
        return question

    def colour(self, colour: str) -> str:
        return colour

    def shape(self, kind: str) -> str:
        return kind

    def several(self, kind: str) -> str:
        return kind + ("es" if kind.endswith("s") else "s")

    def pair(self, colour: str, kind: str) -> str:
        return f"{colour} {kind}"

    def known(self, name: str) -> str:
        return f"the {name}"

    def one(self, name: str) -> str:
        return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"

    def sentence(self, text: str) -> str:
        return capitalised(text) + "."

    def listed(self, names: Sequence[str]) -> str:
        several = [self.one(name) for name in names]
        if len(several) == 1:
            return self.sentence(several[0])
        return self.sentence(f"{', '.join(several[:-1])} and {several[-1]}")

    def side(self, where: Relation) -> str:
        return where

    def stands(self, where: Relation) -> str:
        return self.sentence(f"{where} it")

    def two(self, first: str, where: Relation, second: str) -> str:
        return self.sentence(f"{self.one(first)} {where} {self.one(second)}")

    def changed(self, change: Change) -> str:
        name = f"{change.colour} {change.kind}"
        if change.what == "colour":
            return f"The {change.kind} changed from {change.colour} to {change.became}."
        if change.what == "shape":
            return f"The {name} became {self.one(change.became)}."
        if change.what == "gone":
            return f"The {name} is gone."
        if change.what == "added":
            return self.sentence(f"{self.one(name)} was added")
        return "Nothing changed."

    def moves(self, motion: Motion) -> str:
        does = {
            "still": "does not move",
            "grow": "gets bigger",
            "shrink": "gets smaller",
            "appear": "appears",
            "disappear": "disappears",
        }
        return f"The {motion.shape.name} {does.get(motion.what, f'moves {motion.what}')}."

    def towards(self, direction: str) -> str:
        return self.sentence(direction)

    def when(self, seconds: int) -> str:
        return f"At second {seconds}."

    def document(self, kind: str) -> str:
        return kind

    def is_document(self, kind: str | None) -> str:
        if kind == "print":
            return "Printed text."
        return self.sentence(self.one(kind or "document"))

    def role(self, role: str) -> str:
        return role

    def there_are(self, count: int, kind: str | None) -> str:
        one = kind or "shape"
        name = one if count == 1 else self.several(one)
        return f"There {'is' if count == 1 else 'are'} {NUMBERS[count]} {name}."

    def there_is(self, name: str) -> str:
        return f"There is {self.one(name)}."

    def this_is(self, kind: str) -> str:
        return f"This is {self.one(kind)}."

    def field_is(self, role: str, value: str) -> str:
        return f"The {role} is {value}."

    def all_of(self, rng: random.Random, colour: str | None, kind: str | None) -> str:
        if kind:
            return rng.choice([f"all {self.several(kind)}", f"every {kind}"])
        if colour:
            return rng.choice([f"all {colour} shapes", f"every {colour} shape"])
        return rng.choice(["all shapes", "every shape"])

    def word(self, rng: random.Random, text: str) -> str:
        form = rng.choice(['the word "{}"', 'the word "{}"', 'the text "{}"', '"{}"'])
        return form.format(text)

    def both(self, first: str, second: str) -> str:
        return f"{first} and {second}"


def english(chosen: Wordings = wordings.WORDINGS) -> Tongue:
    """English with some wordings."""
    return _English(
        code="en",
        wordings=chosen,
        hints=wordings.HINTS,
        document_only=wordings.DOCUMENT_ONLY,
        yes="Yes.",
        no="No.",
        nothing="Nothing.",
        unknown="I cannot tell.",
        choose=CHOOSE,
        between=", ",
        stop=".",
    )
