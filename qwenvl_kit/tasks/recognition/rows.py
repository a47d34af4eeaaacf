"""The fields of one entry of an answer, matched with the fields that were asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qwenvl_kit.grounding.key_names import label_of, plain_name
from qwenvl_kit.grounding.written_places import WrittenField, WrittenPlace

_HOLDERS = frozenset({"attributes", "properties", "attribute", "fields", "details"})
"""Fields whose object holds more fields of the same entry."""


def fields_named(place: WrittenPlace, names: Sequence[str]) -> dict[str, WrittenField]:
    """Return the fields of an entry that were asked for, by the names asked for.

    A name is found whatever its case and its signs between words are, in the entry itself or in an
    object of attributes inside. A name of a label that is missing takes the entry's label.
    """
    by_plain = {plain_name(name): found for name, found in reversed(list(_fields(place)))}
    exact = dict(reversed(list(_fields(place))))
    found = {name: exact.get(name) or by_plain.get(plain_name(name)) for name in names}
    kept = {name: written for name, written in found.items() if written is not None}
    if place.label and not any(label_of({name: "a"})[1] for name in kept):
        missing = next((name for name in names if label_of({name: "a"})[1]), None)
        if missing is not None:
            kept[missing] = WrittenField(place.label, place.start, place.start)
    return {name: kept[name] for name in names if name in kept}


def plain_fields(place: WrittenPlace) -> dict[str, Any]:
    """Return the values of all fields of an entry, those of an object of attributes among them."""
    return {name: written.value for name, written in reversed(list(_fields(place)))}


def key_of(place: WrittenPlace) -> str:
    """Return a text that two entries share only if they say the same."""
    values = {name: written.value for name, written in place.fields.items()}
    return json.dumps([place.numbers, place.label, values], sort_keys=True, default=str)


def _fields(place: WrittenPlace) -> Iterator[tuple[str, WrittenField]]:
    yield from place.fields.items()
    for name, written in place.fields.items():
        if plain_name(name) in _HOLDERS and isinstance(written.value, Mapping):
            for inner, value in written.value.items():
                yield inner, WrittenField(value, written.start, written.stop)
