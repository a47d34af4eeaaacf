"""The two languages of questions and answers: names, wordings and sentences of each."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..drawing.motion import Motion
from ..drawing.pairs import Change
from ..drawing.scenes import Relation
from ..drawing.shapes import Shape

Wordings = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Tongue(ABC):
    """A language: `wordings` of questions, `hints` that some end with.

    Attributes:
        code: "en" or "zh".
        wordings: the wordings of each question, with names in braces.
        hints: what the package's typed asks append to a question of a task.
        document_only: what `document_qa` appends.
        yes, no, nothing: answers.
        unknown: the answer where nothing tells it.
        choose: what `classify` puts before its labels.
        between: what stands between two labels.
        stop: the full stop.
    """

    code: str
    wordings: Wordings
    hints: Mapping[str, str]
    document_only: str
    yes: str
    no: str
    nothing: str
    unknown: str
    choose: str
    between: str
    stop: str

    def ask(self, rng: random.Random, task: str, **names: str) -> str:
        """A wording of the question of `task`."""
        question = self.vary(rng, rng.choice(self.wordings[task]).format(**names))
        if task in self.hints and rng.random() < 0.3:
            question += self.hints[task]
        return question

    def truth(self, holds: bool) -> str:
        """Yes or no."""
        return self.yes if holds else self.no

    def named(self, shape: Shape) -> str:
        """Colour and kind of a shape."""
        return self.pair(shape.colour, shape.kind)

    def the(self, shape: Shape) -> str:
        """The shape as something known: with an article where there are articles."""
        return self.known(self.named(shape))

    @abstractmethod
    def vary(self, rng: random.Random, question: str) -> str:
        """Sometimes written a little less well."""

    @abstractmethod
    def colour(self, colour: str) -> str:
        """The name of a colour."""

    @abstractmethod
    def shape(self, kind: str) -> str:
        """The name of a shape."""

    @abstractmethod
    def several(self, kind: str) -> str:
        """The name of several of a shape."""

    @abstractmethod
    def pair(self, colour: str, kind: str) -> str:
        """A colour and a shape: a red circle."""

    @abstractmethod
    def known(self, name: str) -> str:
        """With the definite article."""

    @abstractmethod
    def one(self, name: str) -> str:
        """With the indefinite article, or a number and its measure."""

    @abstractmethod
    def sentence(self, text: str) -> str:
        """With a capital and a full stop."""

    @abstractmethod
    def listed(self, names: Sequence[str]) -> str:
        """A sentence of several."""

    @abstractmethod
    def side(self, where: Relation) -> str:
        """A direction, as it stands in a question: left of."""

    @abstractmethod
    def stands(self, where: Relation) -> str:
        """The answer that something is there: Left of it."""

    @abstractmethod
    def two(self, first: str, where: Relation, second: str) -> str:
        """The sentence of two things and their relation."""

    @abstractmethod
    def changed(self, change: Change) -> str:
        """What became of a shape, or that nothing did."""

    @abstractmethod
    def moves(self, motion: Motion) -> str:
        """What happens in a video."""

    @abstractmethod
    def towards(self, direction: str) -> str:
        """The answer which way something moves."""

    @abstractmethod
    def when(self, seconds: int) -> str:
        """The answer when something happens, in seconds from the start."""

    @abstractmethod
    def document(self, kind: str) -> str:
        """The name of a kind of document."""

    @abstractmethod
    def is_document(self, kind: str | None) -> str:
        """What a print is: a kind of document, `menu`, `print`, or a document of no kind."""

    @abstractmethod
    def role(self, role: str) -> str:
        """The name of a field."""

    @abstractmethod
    def there_are(self, count: int, kind: str | None) -> str:
        """The statement that there are so many shapes, or so many of a kind."""

    @abstractmethod
    def there_is(self, name: str) -> str:
        """The statement that something is there."""

    @abstractmethod
    def this_is(self, kind: str) -> str:
        """The statement that this is a document of a kind."""

    @abstractmethod
    def field_is(self, role: str, value: str) -> str:
        """The statement that a field has a value."""

    @abstractmethod
    def all_of(self, rng: random.Random, colour: str | None, kind: str | None) -> str:
        """All shapes, all of a kind, or all of a colour, as something to find."""

    @abstractmethod
    def word(self, rng: random.Random, text: str) -> str:
        """A printed word, as something to find."""

    @abstractmethod
    def both(self, first: str, second: str) -> str:
        """Two things to find."""
