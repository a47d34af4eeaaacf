"""A check of Mermaid: that it is a diagram of a known type, and that brackets and blocks close."""

from __future__ import annotations

import re
from collections.abc import Iterator

from qwenvl_kit.safe_text import plain
from qwenvl_kit.tasks.coding.checked import Checked, told, without
from qwenvl_kit.tasks.coding.flowchart_check import flowchart_problems
from qwenvl_kit.tasks.coding.forms import DIAGRAMS

_FRONT_MATTER = re.compile(r"\s*---[ \t]*\n(?:.*\n)*?---[ \t]*(?:\n|$)")
_FIRST_WORD = re.compile(r"[^\s:;{]+")
_BRACES = frozenset(
    [
        "classDiagram",
        "classDiagram-v2",
        "stateDiagram",
        "stateDiagram-v2",
        "erDiagram",
        "requirement",
        "requirementDiagram",
    ]
)
_OPENS = re.compile(r"(?:alt|opt|loop|par|par_over|critical|break|rect|box)\b")


def check_mermaid(text: str) -> Checked:
    """Return what is wrong with a diagram.

    Problems: its first word is none of Mermaid's diagrams; it has no second line; in flowcharts a
    bracket or quote that does not close, a bracket in a label without quotes, the word `end` as a
    node, and a subgraph without end; in sequence diagrams a block without end; in diagrams of
    classes, states, entities and requirements a brace without its other one. The rest of each
    grammar is not checked.

    Args:
        text: the diagram.
    """
    lines = _lines(text)
    first = next(((at, line) for at, line in enumerate(lines) if line.strip()), None)
    if first is None:
        return Checked(("the code has no diagram",))
    word = _FIRST_WORD.match(first[1].strip())
    kind = word[0] if word else ""
    if kind not in DIAGRAMS:
        return Checked((f"{plain(kind)[:40]!r} is no diagram of Mermaid",))
    body = lines[first[0] + 1 :]
    rest = first[1].strip()[len(kind) :]
    if not any(line.strip() for line in body) and len(rest.split()) < 2:
        return Checked((f"nothing follows {kind}",))
    return Checked(tuple(_problems(kind, rest, body, first[0] + 2)))


def _lines(text: str) -> list[str]:
    """The lines, of which those of a head, a directive and a comment are empty."""
    head = _FRONT_MATTER.match(text)
    shown = text if head is None else "\n" * head[0].count("\n") + text[head.end() :]
    shown = without(shown, "%%{", "}%%")
    return ["" if line.lstrip().startswith("%%") else line for line in shown.split("\n")]


def _problems(kind: str, rest: str, body: list[str], number: int) -> Iterator[str]:
    if kind in ("flowchart", "flowchart-elk", "graph"):
        yield from flowchart_problems([rest.partition(";")[2], *body], number - 1)
    elif kind == "sequenceDiagram":
        yield from _sequence_problems(body, number)
    elif kind in _BRACES:
        yield from _brace_problems(body, number)


def _sequence_problems(body: list[str], number: int) -> Iterator[str]:
    opened: list[str] = []
    stray: list[str] = []
    for at, line in enumerate(map(str.strip, body), number):
        found = _OPENS.match(line)
        if found and not line[found.end() :].lstrip().startswith(("-", ":")):
            opened.append(f"{found[0]} of line {at:,}")
        elif line == "end":
            if opened:
                opened.pop()
            else:
                stray.append(f"line {at:,}")
    yield from told("blocks without end", opened)
    yield from told("end of no block", stray)


def _brace_problems(body: list[str], number: int) -> Iterator[str]:
    opened: list[str] = []
    stray: list[str] = []
    for at, line in enumerate(map(str.strip, body), number):
        if line.endswith("{"):
            opened.append(f"line {at:,}")
        elif line == "}":
            if opened:
                opened.pop()
            else:
                stray.append(f"line {at:,}")
    yield from told("braces that do not close", opened)
    yield from told("braces that close nothing", stray)
