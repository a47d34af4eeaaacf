"""Kinds of replies that a calibrator may tell apart: places, JSON, long texts, and all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from qwenvl_kit.calibration.signals import Scored
from qwenvl_kit.grounding.place_parser import parse_places
from qwenvl_kit.results import Reply

Kind: TypeAlias = Literal["plain", "places", "json", "long"]

KIND_WORDS: dict[Kind, str] = {
    "plain": "without places",
    "places": "with places",
    "json": "in JSON",
    "long": "of many tokens",
}
"""The kinds in words, for errors."""


@dataclass(frozen=True)
class Kinds:
    """The kinds that are told apart.

    Attributes:
        places, json: True if replies with boxes or points, or in JSON, are kinds of their own.
        long_from: number of tokens, the end token included, from which other replies are long.
    """

    places: bool = False
    json: bool = False
    long_from: int | None = None

    @property
    def names(self) -> list[Kind]:
        """All kinds, the plain one first."""
        apart: list[tuple[Kind, bool]] = [
            ("places", self.places),
            ("json", self.json),
            ("long", self.long_from is not None),
        ]
        return ["plain", *(kind for kind, is_apart in apart if is_apart)]

    def kind_of(self, scored: Scored) -> Kind:
        """The kind of a reply; a confidence alone is plain."""
        if not isinstance(scored, Reply):
            return "plain"
        if self.places and parse_places(scored.text).places:
            return "places"
        if self.json and scored.text.lstrip()[:1] in ("{", "["):
            return "json"
        is_long = self.long_from is not None and len(scored.scores) >= self.long_from
        return "long" if is_long else "plain"
