"""Places in text that is not JSON: box tokens, tags, and numbers in parentheses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from qwenvl_kit.grounding.json_places import ObjectReader
from qwenvl_kit.grounding.key_names import Kind
from qwenvl_kit.grounding.lenient_json import NUMBER
from qwenvl_kit.grounding.numbers import numbers_in
from qwenvl_kit.grounding.written_places import ENDS_INSIDE, Spans, WrittenPlace

_IN_PARENTHESES = re.compile(rf"\(\s*({NUMBER}(?:\s*,\s*{NUMBER})+)\s*\)")
_BEGUN = re.compile(r"\(\s*[-+0-9][-+0-9.,\s]*$|(?:<\|box_start\|>|<\|object_ref_end\|>)\s*$")
_SPECIAL_TOKEN = re.compile(r"<\| ?[a-z_]+ ?\|>")
_BOX_TOKENS = re.compile(r"<\| ?box_start ?\|>[^<]*(?:<\|box_end\|>)?")
_INNER_LIST = re.compile(r"\[[^\[\]]*\]")
_LIKE_A_PLACE = re.compile(
    r"(?:bbox|(?:box|point|poly|quad)_2d|box_start ?\|>|<points?\b)[^0-9\n]{0,12}[0-9]"
    r"|(?:bounding box|bbox|x1)\b[^0-9]{0,40}[0-9]+(?:[^0-9\n]{1,6}[0-9]+){3}",
    re.IGNORECASE,
)
_TAG = re.compile(r"</?[a-z_]+>")
_TAGGED = re.compile(
    r"<(?:\|(quad)_start\||(box|bbox|quad|points?))>([^<]*)"
    r"(?:<(?:\|quad_end\||/(?:box|bbox|quad|points?))>|$)"
)
_LONGEST = 40
"""The most characters of an answer that a warning quotes."""

_AROUND_A_LABEL = " \t\r\n,;:.-*\"'`()[]{}"


def without_special_tokens(text: str) -> str:
    """The text with spaces in place of special tokens, so that all positions stay the same."""
    return _SPECIAL_TOKEN.sub(lambda found: " " * len(found[0]), text)


def read_tags(text: str, reader: ObjectReader) -> None:
    """Read numbers between `<box>` and `</box>`, and outlines after `<|quad_start|>`."""
    end = 0
    for found in _TAGGED.finditer(text):
        kind: Kind = "polygon" if "quad" in (found[1], found[2]) else "flat"
        label = _label_before(text, end, found.start())
        spans = list(_spans_of(found))
        for start, stop in spans:
            reader.add(kind, WrittenPlace(label, numbers_in(text[start:stop]), start, stop))
        if not spans:
            reader.warnings.append(f"no numbers between <{found[1] or found[2]}> and its end")
        end = found.end()


def _spans_of(tagged: re.Match[str]) -> Iterator[tuple[int, int]]:
    """The spans of the numbers of each place; a list of lists holds several places."""
    if "[[" in tagged[3]:
        inner = _INNER_LIST.finditer(tagged.string, *tagged.span(3))
        yield from (found.span() for found in inner if numbers_in(found[0]))
    elif numbers_in(tagged[3]):
        yield tagged.span(3)


def warn_of_unread(text: str) -> Iterator[str]:
    """Warn about text that looks like a place, in an answer in which none was found."""
    if found := _LIKE_A_PLACE.search(text):
        words = text[found.start() : found.start() + _LONGEST]
        yield f"something like a place could not be read: {words!r}"


def read_prose(text: str) -> Iterator[WrittenPlace | str]:
    """Read pairs in parentheses: two in a row are a box, one alone is a point.

    If there are box tokens, only the text between them is read. An answer of only two or four
    numbers is a place, too.
    """
    numbers = numbers_in(text)
    if len(numbers) in (2, 4) and "(" not in text:
        start = len(text) - len(text.lstrip())
        yield WrittenPlace("", numbers, start, len(text.rstrip()))
        return
    label, end, wrong = "", 0, 0
    for numbers, start, stop in _joined(text, _in_parentheses(text)):
        if len(numbers) in (2, 4):
            label = _label_before(text, end, start) or label
            yield WrittenPlace(label, numbers, start, stop)
            end = stop
        else:
            wrong = len(numbers)
    if wrong and not end:
        yield f"{wrong} numbers where a place has 2 or 4"
    if _BEGUN.search(text[end:]) or (end and text.endswith("(")):
        yield ENDS_INSIDE


def _in_parentheses(text: str) -> list[tuple[tuple[float, ...], int, int]]:
    """Groups of numbers in parentheses, with their positions."""
    tokens = [found.span() for found in _BOX_TOKENS.finditer(text)]
    boxed = Spans(tokens)
    return [
        (numbers_in(found[1]), *found.span())
        for found in _IN_PARENTHESES.finditer(text)
        if not tokens or found.start() in boxed
    ]


def _joined(
    text: str, groups: list[tuple[tuple[float, ...], int, int]]
) -> Iterator[tuple[tuple[float, ...], int, int]]:
    """The groups; two pairs with only a comma between them are joined into one."""
    at = 0
    while at < len(groups):
        numbers, start, stop = groups[at]
        following, begin, end = groups[at + 1] if at + 1 < len(groups) else ((), stop, stop)
        is_box = len(numbers) == len(following) == 2 and not text[stop:begin].strip(", ")
        yield (numbers + following, start, end) if is_box else (numbers, start, stop)
        at += 2 if is_box else 1


def _label_before(text: str, start: int, stop: int) -> str:
    words = _TAG.sub("", _SPECIAL_TOKEN.sub("", text[start:stop])).strip(_AROUND_A_LABEL)
    return words.rpartition("\n")[2].strip(_AROUND_A_LABEL)
