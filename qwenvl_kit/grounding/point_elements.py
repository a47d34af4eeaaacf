"""Points in elements, as later families write them: `<points x1="1" y1="2" alt="a cup">`."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping

from qwenvl_kit.grounding.lenient_json import NUMBER
from qwenvl_kit.grounding.written_places import ENDS_INSIDE, Spans, WrittenPlace

_ELEMENT = re.compile(r"<points?\s([^<>]*)(>|$)(?:([^<]*)</points?>)?")
_ATTRIBUTE = re.compile(r"""([a-z_]+)([0-9]*)\s*=\s*("[^"]*"|'[^']*'|[^\s"'>/]+)""")
_LABELS = ("alt", "label")
_NO_POINT = "a point without x and y"


def read_elements(text: str, excluded: Spans) -> Iterator[WrittenPlace | str]:
    """The points of a text, and warnings about those that cannot be read.

    Args:
        text: the answer.
        excluded: spans of the text in which an element is only part of a label.
    """
    for element in _ELEMENT.finditer(text):
        if element.start() not in excluded:
            yield from _points(element, text)


def _points(element: re.Match[str], text: str) -> Iterator[WrittenPlace | str]:
    given = {
        (found[1], found[2]): found
        for found in _ATTRIBUTE.finditer(text, *element.span(1))
        if _is_ended(found, text)
    }
    label = next((_words(found) for (name, _), found in given.items() if name in _LABELS), "")
    label = label or html.unescape(element[3] or "").strip()
    others = {
        name + index: _words(found)
        for (name, index), found in given.items()
        if name not in ("x", "y", *_LABELS)
    }
    found = [_point(given, index, label, others) for name, index in given if name == "x"]
    yield from (_NO_POINT if point is None else point for point in found)
    if not element[2]:
        yield ENDS_INSIDE
    elif not found:
        yield _NO_POINT


def _point(
    given: Mapping[tuple[str, str], re.Match[str]],
    index: str,
    label: str,
    others: Mapping[str, str],
) -> WrittenPlace | None:
    x, y = given["x", index], given.get(("y", index))
    if y is None or not all(re.fullmatch(NUMBER, _words(side)) for side in (x, y)):
        return None
    start, stop = min(x.start(3), y.start(3)), max(x.end(3), y.end(3))
    return WrittenPlace(label, (float(_words(x)), float(_words(y))), start, stop, others)


def _words(attribute: re.Match[str]) -> str:
    quoted = attribute[3]
    return html.unescape(quoted[1:-1] if quoted[0] in ("'", '"') else quoted).strip()


def _is_ended(attribute: re.Match[str], text: str) -> bool:
    """True if a quote or any later text shows that the attribute is complete."""
    return attribute[3][0] in ("'", '"') or attribute.end() < len(text)
