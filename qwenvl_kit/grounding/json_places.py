"""Places in JSON objects: their coordinates, labels and attributes, at any depth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from qwenvl_kit.grounding.key_names import (
    Kind,
    coordinates_kind,
    is_side,
    label_by_field,
    label_of,
    label_of_all,
    may_be_coordinates,
    sides_named,
)
from qwenvl_kit.grounding.lenient_json import Value
from qwenvl_kit.grounding.numbers import (
    complete_places,
    corners_in,
    holds_objects,
    number,
    numbers_of,
    runs_together,
    side_numbers,
    split,
    without_objects,
)
from qwenvl_kit.grounding.written_places import WrittenField, WrittenPlace

_LONGEST = 60
"""The most characters of an answer that a warning quotes."""

_UNCLEAR = "x and y with a width or a height: it is unclear if they are a corner or the middle"

_NOT_SEPARATED = "some numbers have a comma between them, others have not"

_Group: TypeAlias = tuple[Kind, tuple[float, ...], Value]
"""The kind of a place, its numbers, and the value that holds them."""


class ObjectReader:
    """Collects the places of the objects in an answer, in its order.

    Attributes:
        places: boxes and points.
        polygons: outlines.
        boxes_3d: boxes in 3D space.
        warnings: messages about places that could not be read.
    """

    def __init__(self) -> None:
        self.places: list[WrittenPlace] = []
        self.polygons: list[WrittenPlace] = []
        self.boxes_3d: list[WrittenPlace] = []
        self.warnings: list[str] = []

    @property
    def num_found(self) -> int:
        """The number of places of all kinds."""
        return len(self.places) + len(self.polygons) + len(self.boxes_3d)

    def read(self, node: Value) -> None:
        """Read all places in an object or a list."""
        self._read(node, label="", is_detail=False)

    def read_bare(self, node: Value, label: str = "") -> None:
        """Read lists of numbers outside of objects; a text next to a list is its label."""
        numbers = numbers_of(node)
        if numbers is None:
            words = [item.value for item in node.items if isinstance(item.value, str)]
            if any(map(runs_together, node.items)):
                self.warnings.append(_NOT_SEPARATED)
            for item in node.items:
                if item.opener == "[":
                    self.read_bare(item, words[0] if len(words) == 1 else label)
        elif len(numbers) in (2, 4) and node.is_whole:
            self.places.append(WrittenPlace(label, numbers, node.start, node.stop))
        elif len(numbers) > 1 and node.is_whole:
            self.warnings.append(f"{len(numbers)} numbers where a place has 2 or 4")

    def _read(self, node: Value, *, label: str, is_detail: bool) -> None:
        """Read a value; `is_detail` is True inside of an object that is a place already."""
        if node.opener == "{":
            self._object(node, label, is_detail)
        for item in node.items:
            before = self._state
            inherited = label if node.opener == "[" else ""
            self._read(item, label=inherited, is_detail=is_detail)
            is_entry = item.opener == "{" and node.opener == "[" and item.is_whole
            is_known = is_detail or before != self._state
            if is_entry and not is_known:
                self._warn_without_place(item)
        if node.opener == "[" and any(item.opener == "{" for item in node.items):
            words = [item.value for item in node.items if isinstance(item.value, str)]
            found = [f"words among the entries of a list: {_short(word)}" for word in words]
            self.warnings += () if is_detail else found

    def _warn_without_place(self, item: Value) -> None:
        label, _ = label_of(item.value)
        if label:
            self.warnings.append(f"an entry without coordinates: {_short(label)}")

    def _object(self, node: Value, inherited: str, is_detail: bool) -> None:
        before = self._state
        found, read = self._coordinates(node)
        self._add_all(node, found, inherited, read)
        above = "" if found else label_of_all(node.value) or inherited
        for name, value in node.fields:
            if name not in read and value.opener:
                label = above if found else above or label_by_field(name)
                self._read_field(name, value, label, is_detail or bool(found))
        if before == self._state and not read and not is_detail and node.is_whole:
            self._warn_of_unknown(node)

    def _read_field(self, name: str, value: Value, label: str, is_detail: bool) -> None:
        before = len(self.places)
        self._read(value, label=label, is_detail=is_detail)
        if coordinates_kind(name, has_others=True) in ("box", "polygon") and any(
            len(place.numbers) == 2 for place in self.places[before:]
        ):
            self.warnings.append(f"points under {_short(name)}")

    @property
    def _state(self) -> tuple[int, int]:
        """A value that changes with every place and every warning."""
        return self.num_found, len(self.warnings)

    def _coordinates(self, node: Value) -> tuple[list[_Group], set[str | None]]:
        """The numbers of each place of an object, and the names of the fields that hold them."""
        found: list[_Group] = []
        read: set[str | None] = set()
        named = [value for name, value in node.fields if coordinates_kind(name, has_others=True)]
        has_others, has_place = bool(named), any(value.opener for value in named)
        for name, value in node.fields:
            kind = coordinates_kind(name, has_others=has_others)
            if has_place and _is_mere_value(value):  # `"points": 12` of a player with a box
                continue
            groups = None if kind is None else self._groups(name, kind, value)
            if kind is not None and groups is not None:
                read.add(name)
                found += [(_kind_of(kind, *group), *group) for group in groups]
        names, is_unclear = sides_named(node.value)
        if found or not names:
            return found, read
        sides = side_numbers(node)
        if sides is not None:
            return [("flat", *sides)], read | set(names)
        if is_unclear:
            self.warnings.append(_UNCLEAR)
        return [], read

    def _groups(
        self, name: str, kind: Kind, value: Value
    ) -> list[tuple[tuple[float, ...], Value]] | None:
        """The numbers of each place in a field; None if the value holds objects instead."""
        if value.opener == "{":
            sides = side_numbers(value) or (None if kind == "points" else corners_in(value))
            return None if sides is None else [sides]
        if holds_objects(value):
            pairs = None if kind in ("flat", "points") else without_objects(value)
            if pairs is None:
                return None
            value = pairs
        if not value.is_whole:
            return list(complete_places(value, kind))
        if value.value in (None, "", []):
            self.warnings.append(f"nothing under {_short(name)}")
            return []
        groups = list(split(value, kind))
        sound = [group for group in groups if group[0]]
        if len(sound) < len(groups):
            self.warnings.append(f"coordinates that are no list of numbers, under {_short(name)}")
        return sound

    def _add_all(
        self, node: Value, found: Sequence[_Group], inherited: str, read: set[str | None]
    ) -> None:
        own, label_field = label_of(node.value)
        label, left_out = own or inherited, read | {label_field}
        attributes = {name: item for name, item in node.value.items() if name not in left_out}
        if not attributes.get("label", True):
            del attributes["label"]
        fields = {
            name: WrittenField(node.value[name], value.start, value.stop)
            for name, value in node.fields
            if name not in read and name in node.value
        }
        each = next((item for item in attributes.values() if _are_labels(item, len(found))), None)
        for index, (kind, numbers, at) in enumerate(found):
            words = label if each is None else each[index]
            self.add(kind, WrittenPlace(words, numbers, at.start, at.stop, attributes, fields))

    def add(self, kind: Kind, place: WrittenPlace) -> None:
        """Add a place if its numbers are valid; otherwise add a warning."""
        count = len(place.numbers)
        if not all(abs(number) < float("inf") for number in place.numbers):
            self.warnings.append("a coordinate is too large for a number")
        elif kind == "box in space":
            self._add_if(self.boxes_3d, place, count == 9, "a box in space has 9")
        elif kind == "polygon":
            is_one = count >= 6 and count % 2 == 0
            self._add_if(self.polygons, place, is_one, "a polygon has x and y of 3 corners or more")
        elif kind == "points":
            self._add_if(self.places, place, count == 2, "a point has 2")
        else:
            self._add_if(self.places, place, count in (2, 4), "a place has 2 or 4")
            if kind == "box" and count == 2:
                self.warnings.append("a point under the name of a box")

    def _add_if(
        self, to: list[WrittenPlace], place: WrittenPlace, is_sound: bool, rule: str
    ) -> None:
        if is_sound:
            to.append(place)
        else:
            of = f": {_short(place.label)}" if place.label and to is self.boxes_3d else ""
            self.warnings.append(f"{len(place.numbers)} numbers where {rule}{of}")

    def _warn_of_unknown(self, node: Value) -> None:
        """Warn about numbers that may be a place, but stand under an unknown name."""
        for name, value in node.fields:
            numbers = _all_numbers(value) if value.opener else []
            if len(numbers) > 1 and may_be_coordinates(name):
                shown = f"numbers under {_short(name)}, which is no known name of a place"
                self.warnings.append(shown)
        sides = [name for name, value in node.fields if is_side(name) and number(value.value)]
        if len(sides) > 1:
            names = ", ".join(map(_short, sides))
            self.warnings.append(f"{names}: these are not the sides of a known kind of place")


def _kind_of(kind: Kind, numbers: tuple[float, ...], at: Value) -> Kind:
    """The kind of a place; a box that lists each of its corners is an outline."""
    num_corners = max(len(at.items), len(at.fields))
    is_outline = kind == "box" and len(numbers) == 2 * num_corners > 4
    return "polygon" if is_outline else kind


def _is_mere_value(value: Value) -> bool:
    """True for words, a number alone and null, which are no place."""
    plain = value.value
    if value.opener or not isinstance(plain, str):
        return not value.opener
    return number(plain) is not None or any(map(str.isalpha, plain))


def _all_numbers(node: Value) -> list[float]:
    own = numbers_of(node)
    return list(own) if own else [number for item in node.items for number in _all_numbers(item)]


def _are_labels(value: Any, count: int) -> bool:
    """True if a field has one label for each of several places."""
    is_list = count > 1 and isinstance(value, list) and len(value) == count
    return is_list and all(isinstance(item, str) for item in value)


def _short(words: str) -> str:
    return repr(words if len(words) <= _LONGEST else f"{words[:_LONGEST]}...")
