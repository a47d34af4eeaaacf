"""Coordinates in an answer, in whichever form a family writes them.

Qwen2-VL writes `<|object_ref_start|>a cup<|object_ref_end|>` and then
`<|box_start|>(x1,y1),(x2,y2)<|box_end|>`; the special tokens may have been left out. Later families
write JSON, such as
`[{"bbox_2d": [x1, y1, x2, y2], "label": "a cup"}]` or `{"point_2d": [x, y], "label": "a cup"}`.
What can be read is taken; what cannot is told.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

_NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_PAIR = re.compile(rf"\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)")
_ARRAY = re.compile(rf"\[\s*({_NUMBER}(?:\s*,\s*{_NUMBER})*)\s*,?\s*\]")
_LABEL = re.compile(r"""['"]label['"]\s*:\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')""")
_SPECIAL_TOKEN = re.compile(r"<\|[a-z_]+\|>")
_AROUND_A_LABEL = " \t\r\n,;:.-*\"'`"


@dataclass(frozen=True)
class WrittenPlace:
    """A place as it is written.

    Attributes:
        label: what it is of; empty if the answer does not say.
        numbers: x and y of a point, or x1, y1, x2, y2 of a box.
        start, stop: where the numbers stand in the text.
    """

    label: str
    numbers: tuple[float, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class WrittenPlaces:
    """All places of an answer, in its order, and what is wrong with it, in words."""

    places: tuple[WrittenPlace, ...]
    warnings: tuple[str, ...]


def parse_places(text: str) -> WrittenPlaces:
    """The boxes and points that an answer holds; never raises."""
    places, warnings = [], []
    found = _in_json(text) if "[" in text else _in_parentheses(text)
    for item in found:
        if isinstance(item, str):
            warnings.append(item)
        elif len(item.numbers) not in (2, 4):
            warnings.append(f"{len(item.numbers)} numbers where a place has 2 or 4")
        elif not all(map(math.isfinite, item.numbers)):
            warnings.append("a coordinate is too large for a number")
        else:
            places.append(item)
    return WrittenPlaces(tuple(places), tuple(dict.fromkeys(warnings)))


def _in_json(text: str) -> Iterator[WrittenPlace | str]:
    """Arrays of numbers, each with the label of the object that it is in."""
    objects = list(_objects(text))
    for start, stop in objects or [(0, len(text))]:
        inside = text[start:stop]
        label = _label(inside) if objects else ""
        arrays = list(_ARRAY.finditer(inside))
        for array in arrays:
            numbers = tuple(float(number.strip()) for number in array[1].split(","))
            yield WrittenPlace(label, numbers, start + array.start(), start + array.end())
        is_whole = inside.endswith("}")
        if objects and is_whole and not arrays and re.search(r"""['"](bbox|point)""", inside):
            yield "coordinates that are no list of numbers"
    if _ends_inside(text):
        yield "the answer ends inside its list of places"


def _objects(text: str) -> Iterator[tuple[int, int]]:
    """Where the innermost objects are; the last may be cut off."""
    opened, is_string, is_escaped = -1, False, False
    for at, character in enumerate(text):
        if is_string:
            is_string = is_escaped or character != '"'
            is_escaped = character == "\\" and not is_escaped
        elif character == '"':
            is_string = opened >= 0
        elif character == "{":
            opened = at
        elif character == "}" and opened >= 0:
            yield opened, at + 1
            opened = -1
    if opened >= 0:
        yield opened, len(text)


def _label(inside: str) -> str:
    found = _LABEL.search(inside)
    if found is None:
        return ""
    quoted = found[1] if found[1] is not None else found[2]
    try:
        return str(json.loads(f'"{quoted}"', strict=False))
    except ValueError:
        return quoted


def _ends_inside(text: str) -> bool:
    """Whether a bracket that was opened is never closed."""
    outside_strings = re.sub(r'"(?:[^"\\]|\\.)*"?', "", text)
    return outside_strings.count("[") > outside_strings.count("]")


def _in_parentheses(text: str) -> Iterator[WrittenPlace | str]:
    """Pairs in parentheses: two that follow one another are a box, one alone is a point."""
    pairs = list(_PAIR.finditer(text))
    label, end, at = "", 0, 0
    while at < len(pairs):
        first = last = pairs[at]
        if at + 1 < len(pairs) and not text[first.end() : pairs[at + 1].start()].strip(", "):
            last = pairs[at + 1]
        label = _SPECIAL_TOKEN.sub("", text[end : first.start()]).strip(_AROUND_A_LABEL) or label
        groups = first.groups() if last is first else (*first.groups(), *last.groups())
        yield WrittenPlace(label, tuple(map(float, groups)), first.start(), last.end())
        end, at = last.end(), at + (1 if last is first else 2)
    if "(" in text[end:] or text[end:].rstrip().endswith(("<|box_start|>", "<|object_ref_end|>")):
        yield "the answer ends inside a place"
