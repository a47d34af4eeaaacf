"""The names of JSON fields that hold places and labels.

The names are those of Qwen's cookbooks, of public answers of its models, and of libraries that
train them: `label` (grounding), `text_content` (OCR), `name_en` and `names` (recognition), `desc`,
`category`, `class_name`, `ref`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["flat", "box", "points", "polygon", "box in space"]
"""The kind of a place. "flat" is a box or a point, depending on its number of numbers."""

_PLAIN_NAMES: Mapping[Kind, Sequence[str]] = {
    "box": ("bbox", "box", "bounding box", "bndbox"),
    "points": ("point", "click point", "keypoint", "waypoint", "trajectory", "trajectory point"),
    "polygon": ("poly", "polygon", "quad", "quadrilateral", "quadrangle", "segmentation",
                "contour", "outline", "vertices"),
}  # fmt: skip
_FORMS = (
    "{}", "{}s", "{}es", "{} 2d", "{}s 2d", "{}es 2d", "{} xyxy", "{} coordinates", "{} coords",
)  # fmt: skip
_KINDS: Mapping[str, Kind] = {
    **{
        form.format(name).replace(" ", ""): kind
        for kind, names in _PLAIN_NAMES.items()
        for name in names
        for form in _FORMS
    },
    **{
        form.format(name): "box in space"
        for name in ("bbox", "box", "boundingbox", "bboxes", "boxes")
        for form in ("{}3d", "3d{}")
    },
    "bboxcoordinate": "box",
    "xyxy": "box",
}
_POSITIONS = frozenset({
    "coordinate", "coordinates", "coords", "coordinate2d", "coordinates2d", "position", "location",
    "center", "centre", "centerpoint", "startcoordinate", "endcoordinate", "startbox", "endbox",
    "startpoint", "endpoint",
})  # fmt: skip
"""Names that are coordinates only in an object that has no other coordinates."""

_CORNER = re.compile(
    r"(?:(?:top|upper|bottom|lower|left|right){2}|[tb][lr]|[lr][tb]|min|max|start|end"
    r"|(?:p|pt|point|corner|x)[1-4])(?:corner|point|y[1-4])?"
)
_SIDES = (
    ("x1", "y1", "x2", "y2"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("left", "top", "right", "bottom"),
)
_SIDE_NAMES = frozenset({name for sides in _SIDES for name in sides} | {
    "x", "y", "cx", "cy", "xcenter", "ycenter", "x3", "y3", "x4", "y4",
})  # fmt: skip
_SIZES = frozenset({"w", "h", "width", "height"})

_LABELS = (
    "label", "name", "textcontent", "text", "category", "class", "classname", "categoryname",
    "labelname", "ref", "object", "objectname", "desc", "description", "title", "alt", "type",
    "phrase", "caption", "content", "word", "transcription", "sublabel",
)  # fmt: skip
_LABELS_OF_ALL = frozenset({"label", "name", "category", "class", "classname", "ref", "phrase"})
"""Labels that also hold for the objects inside; a description or a text is only of the whole."""

_LANGUAGES = ("en", "english", "zh", "cn", "chinese")
_IN_A_LANGUAGE = tuple(label + language for label in _LABELS[:4] for language in _LANGUAGES)
_SMALL_WORDS = ("size", "resolution", "shape", "dimension", "width", "height", "color", "colour",
                "rgb", "time", "second", "frame", "score", "confidence", "range", "count", "page",
                "index", "id")  # fmt: skip
"""Parts of names whose numbers are no place."""

_WRAPPERS = frozenset({
    "objects", "object", "results", "result", "detections", "detection", "items", "item", "data",
    "annotations", "annotation", "instances", "instance", "elements", "element", "places", "output",
    "outputs", "answer", "answers", "predictions", "prediction", "image", "images", "list", "found",
    "arguments", "parameters", "properties", "response", "shapes", "regions", "region", "entries",
    "detectedobjects", "attributes", "geometry", "value", "values", "lines", "words", "texts",
})  # fmt: skip
"""Names of fields that only wrap other objects, and are no labels for them."""


def plain_name(name: str) -> str:
    """The name in lower case, with letters and digits only."""
    return "".join(character for character in name.lower() if character.isalnum())


def coordinates_kind(name: str, *, has_others: bool = False) -> Kind | None:
    """The kind of place that a name stands for; None if it is no name of a place."""
    plain = plain_name(name)
    without_number = plain.rstrip("0123456789")
    if not has_others and not _POSITIONS.isdisjoint((plain, without_number)):
        return "flat"
    return _KINDS.get(plain) or _KINDS.get(without_number)


def is_corner(name: str) -> bool:
    """True if a name is that of a corner of a box, such as `top_left` and `p1`."""
    return _CORNER.fullmatch(plain_name(name)) is not None


def sides_named(names: Iterable[str]) -> tuple[tuple[str, ...], bool]:
    """The names that are sides of a box, or x and y of a point; none if there are none.

    Returns:
        The names, and True if their meaning is unclear: x and y next to a width may be a corner or
            the middle.
    """
    by_plain = {plain_name(name): name for name in names}
    for sides in _SIDES:
        if all(side in by_plain for side in sides):
            return tuple(by_plain[side] for side in sides), False
    if "x" in by_plain and "y" in by_plain:
        return (by_plain["x"], by_plain["y"]), not _SIZES.isdisjoint(by_plain)
    return (), False


def is_side(name: str) -> bool:
    """True if a number with this name is a side, or x or y."""
    return plain_name(name) in _SIDE_NAMES


def may_be_coordinates(name: str) -> bool:
    """True if numbers under an unknown name may still be a place."""
    return not any(word in plain_name(name) for word in _SMALL_WORDS)


def label_of(fields: Mapping[str, Any]) -> tuple[str, str | None]:
    """The label of an object, and the name of the field that holds only this label, or None.

    If there are names in several languages, the label is the English one, or the first one. The
    field then stays among the attributes, which hold the other languages.
    """
    by_plain = {plain_name(name): name for name in reversed(list(fields))}
    for plain in (*_LABELS, *(f"{label}s" for label in _LABELS[:2]), *_IN_A_LANGUAGE):
        name = by_plain.get(plain)
        if name is not None and (text := _words(fields[name])):
            is_all = isinstance(fields[name], (str, int)) and plain not in _IN_A_LANGUAGE
            return text, name if is_all else None
    return "", None


def label_of_all(fields: Mapping[str, Any]) -> str:
    """The label of an object, if it also holds for the objects inside."""
    label, name = label_of(fields)
    return "" if name is None or plain_name(name) not in _LABELS_OF_ALL else label


def _words(value: Any) -> str:
    """The words in the value of a field; empty if it holds none."""
    if isinstance(value, str):
        return value.strip().strip("“”")
    if isinstance(value, dict):
        by_plain = {plain_name(name): inside for name, inside in reversed(list(value.items()))}
        first = next((by_plain[name] for name in _LANGUAGES if name in by_plain), None)
        first = by_plain.get("text", next(iter(value.values()), None)) if first is None else first
        return first.strip() if isinstance(first, str) else ""
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def label_by_field(name: str) -> str:
    """The label that a field's name gives to the places inside; empty for a mere wrapper."""
    plain = plain_name(name)
    is_empty = plain in _WRAPPERS or plain.isdigit() or coordinates_kind(name) is not None
    return "" if is_empty else name
