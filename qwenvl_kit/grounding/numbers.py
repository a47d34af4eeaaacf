"""The numbers of places: which numbers of a list, a text or an object form one place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from qwenvl_kit.grounding.key_names import Kind, is_corner, sides_named
from qwenvl_kit.grounding.lenient_json import NUMBER, Value

_NUMBERS = re.compile(rf"[\s\[(]*{NUMBER}(?:[\s,;\])(]+{NUMBER})*[\s\])]*")
_NUMBER = re.compile(NUMBER)
_BETWEEN = re.compile(r"(?<=[0-9.])[\s,;()\[\]]+(?=[-+.0-9])")

_COUNTS = {"flat": 4, "box": 4, "points": 2, "box in space": 9}
"""The number of numbers in a place of each kind, used if a list of places was cut off."""


def side_numbers(node: Value) -> tuple[tuple[float, ...], Value] | None:
    """The numbers of an object with one field for each side, and their span."""
    names, is_unclear = sides_named(node.value)
    values = [value for name, value in node.fields if name in names]
    numbers = [number(node.value[name]) for name in names]
    if is_unclear or not names or None in numbers:
        return None
    span = Value(min(value.start for value in values), max(value.stop for value in values))
    return tuple(number for number in numbers if number is not None), span


def holds_objects(node: Value) -> bool:
    """True if a list holds an object at any depth."""
    return any(item.opener == "{" or holds_objects(item) for item in node.items)


def corners_in(node: Value) -> tuple[tuple[float, ...], Value] | None:
    """The numbers of an object of corners, such as `top_left` and `bottom_right`.

    Two corners give the numbers of a box, upper left first. None if it is no such object.
    """
    pairs = [_pair(value) for _, value in node.fields]
    sound = [pair for pair in pairs if pair is not None]
    if len(pairs) < 2 or len(sound) < len(pairs) or not all(is_corner(n) for n, _ in node.fields):
        return None
    if len(pairs) > 2:
        return tuple(side for pair in sound for side in pair), node
    xs, ys = zip(*sound)
    return (min(xs), min(ys), max(xs), max(ys)), node


def without_objects(value: Value) -> Value | None:
    """The list with a pair for each `{"x": 1, "y": 2}`; None if it holds other objects."""
    items = []
    for item in value.items:
        pair = _pair(item) if item.opener == "{" and len(item.fields) == 2 else None
        if item.opener == "{" and pair is None:
            return None
        sides = [Value(item.start, item.stop, side) for side in pair or ()]
        one = Value(item.start, item.stop, opener="[", items=sides) if sides else item
        inside = without_objects(one) if one.opener else one
        if inside is None:
            return None
        items.append(inside)
    return Value(value.start, value.stop, value.value, value.is_whole, value.opener, items)


def _pair(value: Value) -> tuple[float, ...] | None:
    """X and y of a point that is written as an object or a list."""
    found = side_numbers(value) if value.opener == "{" else None
    numbers = numbers_of(value) if found is None else found[0]
    return numbers if numbers is not None and len(numbers) == 2 else None


def split(value: Value, kind: Kind) -> Iterator[tuple[tuple[float, ...], Value]]:
    """Yield the numbers of each place in a value; a list of lists holds several places."""
    numbers = numbers_of(value)
    if numbers is not None:
        is_several = kind == "points" and len(numbers) > 2 and len(numbers) % 2 == 0
        for at in range(0, len(numbers), 2 if is_several else len(numbers)):
            yield numbers[at : at + 2] if is_several else numbers, value
        return
    if not value.items or any(map(_is_ambiguous_number, value.items)):
        yield (), value
        return
    inside = [numbers_of(item) for item in value.items]
    are_corners = kind in ("box", "polygon") or (kind == "flat" and len(inside) == 2)
    if are_corners and all(one is not None and len(one) == 2 for one in inside):
        yield tuple(number for one in inside for number in one or ()), value
        return
    for item in value.items:
        yield from split(item, kind)


def _is_ambiguous_number(item: Value) -> bool:
    """True for a number next to lists, or `3 00` without quotes, which may be one number or two."""
    return not item.opener and (number(item.value) is not None or runs_together(item))


def runs_together(item: Value) -> bool:
    """True if several numbers stand side by side without a comma or quotes."""
    is_bare = isinstance(item.value, str) and item.stop - item.start == len(item.value)
    return is_bare and len(numbers_in(item.value)) > 1


def complete_places(value: Value, kind: Kind) -> Iterator[tuple[tuple[float, ...], Value]]:
    """The complete places in a list of places that was cut off."""
    count = _COUNTS.get(kind)
    for item in value.items:
        numbers = numbers_of(item) if item.is_whole and item.opener else None
        if numbers is not None and len(numbers) == count:
            yield numbers, item


def numbers_in(text: str) -> tuple[float, ...]:
    """The numbers of a text that holds only numbers, commas and brackets; otherwise none."""
    if _NUMBERS.fullmatch(text) is None or not _is_separated_alike(text):
        return ()
    return tuple(float(found) for found in _NUMBER.findall(text))


def _is_separated_alike(text: str) -> bool:
    """True if commas separate all numbers, none, or every other pair, as in `1,2 30,40`.

    In `100, 200, 3 00` it is unclear if one or two numbers follow the last comma.
    """
    between = [found[0] for found in _BETWEEN.finditer(text)]
    has_comma = [any(mark in parting for mark in ",;()[]") for parting in between]
    is_paired = len(between) % 2 == 1 and len(set(has_comma[::2]) | set(has_comma[1::2])) == 2
    is_alternating = len(set(has_comma[::2])) == len(set(has_comma[1::2])) == 1
    return len(set(has_comma)) < 2 or (is_paired and is_alternating)


def numbers_of(node: Value) -> tuple[float, ...] | None:
    """The numbers of a list of numbers, or of a text of numbers; None for other values."""
    if node.opener in ("[", "("):
        numbers = [number(item.value) for item in node.items if item.is_whole]
        is_all = numbers and len(numbers) == len(node.items)
        if is_all and not any(number is None for number in numbers):
            return tuple(number for number in numbers if number is not None)
        (only,) = node.items if len(node.items) == 1 else (None,)
        return None if only is None or only.opener else numbers_of(only)
    found = numbers_in(node.value) if isinstance(node.value, str) else ()
    return found if len(found) > 1 else None


def number(value: Any) -> float | None:
    """The number of a value, also if it is written as a text; None if it is no number."""
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value.strip()) else None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
