"""A check of Mermaid's flowcharts: labels in their brackets, and subgraphs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from qwenvl_kit.tasks.coding.checked import told, without

SHAPES = (
    *(("(((", (")))",)), ("([", ("])",)), ("[(", (")]",)), ("[[", ("]]",)), ("((", ("))",))),
    *(("{{", ("}}",)), ("[/", ("/]", "\\]")), ("[\\", ("\\]", "/]")), ("[", ("]",)), ("(", (")",))),
    *(("{", ("}",)), (">", ("]",))),
)
"""The brackets of each shape of a node and those that close it, longest first (mermaid.js.org,
"Flowcharts - Basic Syntax", version 11)."""

_NODE = re.compile(
    r"(?<![\w.\-])([^\W\d_][\w.]*|\d\w*)(?=[\[({>])|\bsubgraph\b[^\n\[]{0,200}(?=\[)"
)
_EDGE_LABEL = re.compile(r"\|([^|\n]*)\|")
_SKIPPED = re.compile(r"\s*(?:style|classDef|class|click|linkStyle|direction|accTitle|accDescr)\b")
_NAMED_END = re.compile(
    r"(?:--[->]|==[=>]|\.->)[ \t]{0,9}(?:\|[^|\n]{0,200}\|[ \t]{0,9})?end[ \t]{0,9}(?:[\[({;&]|$)",
    re.M,
)
_BRACKETS = re.compile(r'[\[\](){}"]')


def flowchart_problems(lines: list[str], number: int) -> Iterator[str]:
    """Yield sentences on what is wrong with the lines of a flowchart.

    Args:
        lines: the lines after the first.
        number: the number of the first of them, for the sentences.
    """
    text = "\n".join("" if _SKIPPED.match(line) else line for line in lines)
    text = without(text, "@{", "}")
    places = _Lines(text, number)
    labels = list(_label_problems(text))
    for what in dict.fromkeys(what for what, _ in labels):
        yield from told(what, (places.of(at) for kind, at in labels if kind == what))
    edges = (found for found in _EDGE_LABEL.finditer(_without_quotes(text)))
    marked = [places.of(found.start()) for found in edges if _BRACKETS.search(found[1])]
    yield from told("brackets in the label of an edge without quotes", marked)
    ends = [places.of(found.start()) for found in _NAMED_END.finditer(text)]
    yield from told("a node named end, which closes a subgraph", ends)
    yield from _subgraph_problems(text, places)


class _Lines:
    """The numbers of lines, by the index of a character; asked in rising order or not."""

    def __init__(self, text: str, number: int) -> None:
        self._ends = [at for at, mark in enumerate(text) if mark == "\n"]
        self._number = number

    def of(self, at: int) -> str:
        """The line of a character."""
        from bisect import bisect_left

        return f"line {bisect_left(self._ends, at) + self._number:,}"


def _without_quotes(text: str) -> str:
    """The text with spaces in place of what stands in quotes."""
    return re.sub(r'"[^"\n]*"', lambda found: " " * len(found[0]), text)


def _label_problems(text: str) -> Iterator[tuple[str, int]]:
    """Yield the fault of a label, and its place."""
    at = 0
    while found := _NODE.search(text, at):
        start = found.end()
        opening, closings = next(each for each in SHAPES if text.startswith(each[0], start))
        inside = start + len(opening)
        at = start + 1
        if opening == ">" and text[start - 1] in "-=":
            continue
        label = _label_end(text, inside)
        if label is None:
            yield "quotes that do not close", start
            return
        problem, at = _closing_problem(text, inside, label, closings)
        if problem or not text[inside:label].strip():
            yield problem or "labels without words", start


def _label_end(text: str, inside: int) -> int | None:
    """The index behind a label in quotes, or of the next bracket or line; None without end."""
    quoted = inside + len(text[inside : inside + 64]) - len(text[inside : inside + 64].lstrip())
    if text.startswith('"', quoted):
        end = text.find('"', quoted + 1)
        return None if end < 0 else end + 1
    found = _BRACKETS.search(text, inside)
    line = text.find("\n", inside)
    line = len(text) if line < 0 else line
    return line if found is None else min(line, found.start())


def _closing_problem(
    text: str, inside: int, label: int, closings: tuple[str, ...]
) -> tuple[str, int]:
    """The fault at the end of a label, empty for none; and the index to go on from."""
    rest = label + len(text[label : label + 64]) - len(text[label : label + 64].lstrip(" \t"))
    for closing in closings:
        at = rest - 1 if closing[0] in "/\\" and text[rest - 1 : rest] == closing[0] else rest
        if text.startswith(closing, at) and at >= inside:
            end = at + len(closing)
            is_more = text[end : end + 1] in (")", "]", "}")
            return "brackets that close nothing" if is_more else "", end
    if rest >= len(text) or text[rest] == "\n":
        return "brackets that do not close", rest
    end = text.find("\n", rest)
    return "brackets or quotes in a label without quotes", len(text) if end < 0 else end


def _subgraph_problems(text: str, places: _Lines) -> Iterator[str]:
    opened: list[str] = []
    stray: list[str] = []
    at = 0
    for line in text.split("\n"):
        for part in map(str.strip, line.split(";")):
            if re.match(r"subgraph\b", part):
                opened.append(places.of(at))
            elif part == "end":
                if opened:
                    opened.pop()
                else:
                    stray.append(places.of(at))
        at += len(line) + 1
    yield from told("subgraphs without end", opened)
    yield from told("end of no subgraph", stray)
