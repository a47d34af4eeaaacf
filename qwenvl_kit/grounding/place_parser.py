"""The parser of places in an answer, in every form that the families write.

Qwen2-VL writes `<|object_ref_start|>a cup<|object_ref_end|>` and then
`<|box_start|>(x1,y1),(x2,y2)<|box_end|>`; the special tokens may have been left out. Later families
write JSON, such as `[{"bbox_2d": [x1, y1, x2, y2], "label": "a cup"}]`, and points also as `<points
x1="..." y1="..." alt="a cup">a cup</points>` (cookbooks of Qwen2.5-VL and Qwen3-VL). Places that
can be read are returned; the others give warnings.
"""

from __future__ import annotations

from collections.abc import Iterable

from qwenvl_kit.grounding.json_places import ObjectReader
from qwenvl_kit.grounding.lenient_json import LooseJson
from qwenvl_kit.grounding.point_elements import read_elements
from qwenvl_kit.grounding.prose import (
    read_prose,
    read_tags,
    warn_of_unread,
    without_special_tokens,
)
from qwenvl_kit.grounding.written_places import Spans, WrittenPlace, WrittenPlaces

__all__ = ["WrittenPlace", "WrittenPlaces", "parse_places"]


def parse_places(text: str) -> WrittenPlaces:
    """Parse the boxes, points, outlines and 3D boxes of an answer; never raises.

    Fields of JSON objects and elements come first, as they say that they are places. Only if there
    are none, it reads tags and box tokens, lists of numbers, and numbers in parentheses, as the
    prose around places has numbers, too.
    """
    written = LooseJson(without_special_tokens(text))
    reader = ObjectReader()
    for root in written.roots:
        reader.read(root)
    if "```json" in text and not written.roots:
        reader.warnings.append("a block of JSON that holds none")
    json = Spans([(root.start, root.stop) for root in written.roots])
    _take(read_elements(text, excluded=json), reader)
    for read in (_tags, _lists, _prose):
        if not reader.num_found and not reader.warnings:
            read(text, written, reader)
    if not reader.num_found and not reader.warnings and not written.problems:
        reader.warnings += warn_of_unread(text)
    return WrittenPlaces(
        tuple(sorted(reader.places, key=lambda place: place.start)),
        tuple(dict.fromkeys([*reader.warnings, *written.problems])),
        polygons=tuple(reader.polygons),
        boxes_3d=tuple(reader.boxes_3d),
    )


def _tags(text: str, _: LooseJson, reader: ObjectReader) -> None:
    read_tags(text, reader)


def _lists(_: str, written: LooseJson, reader: ObjectReader) -> None:
    for root in written.roots:
        reader.read_bare(root)


def _prose(text: str, _: LooseJson, reader: ObjectReader) -> None:
    _take(read_prose(text), reader)


def _take(found: Iterable[WrittenPlace | str], reader: ObjectReader) -> None:
    for item in found:
        if isinstance(item, str):
            reader.warnings.append(item)
        else:
            reader.add("flat", item)
