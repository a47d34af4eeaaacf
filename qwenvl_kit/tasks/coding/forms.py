"""The forms of code that can be asked for, as data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

CodeForm: TypeAlias = Literal["html", "svg", "matplotlib", "mermaid"]
"""A form of code: a page, a drawing, a chart in Python, or a diagram in text."""

DIAGRAMS = (
    *("flowchart", "flowchart-elk", "graph", "sequenceDiagram", "classDiagram"),
    *("classDiagram-v2", "stateDiagram", "stateDiagram-v2", "erDiagram", "journey", "gantt"),
    *("pie", "quadrantChart", "requirement", "requirementDiagram", "gitGraph", "C4Context"),
    *("C4Container", "C4Component", "C4Dynamic", "C4Deployment", "mindmap", "timeline", "zenuml"),
    *("sankey", "sankey-beta", "xychart", "xychart-beta", "block", "block-beta", "packet"),
    *("packet-beta", "kanban", "architecture", "architecture-beta", "radar-beta", "treemap"),
    *("treemap-beta", "info"),
)
"""The first words of Mermaid's diagrams: those of its documentation, mermaid.js.org, version 11."""


@dataclass(frozen=True)
class FormFacts:
    """The facts of a form.

    Attributes:
        language: the language that it is written in.
        tags: the tags of fences that hold it, the usual one first.
        begins: a pattern of the line with which it begins in an answer without fences.
        ends: a pattern of its last words there; None if it goes on to the end.
    """

    language: str
    tags: tuple[str, ...]
    begins: re.Pattern[str]
    ends: str | None = None


_PYTHON = re.compile(r"^(?:import|from)[ \t]+\w", re.MULTILINE)
_MERMAID = re.compile(
    rf"^[ \t]*(?:{'|'.join(sorted(map(re.escape, DIAGRAMS), key=len, reverse=True))})\b",
    re.MULTILINE,
)

FORMS: Mapping[str, FormFacts] = MappingProxyType(
    {
        "html": FormFacts(
            "html",
            ("html", "htm", "html5", "xhtml"),
            re.compile(r"<(?:!doctype\s+html|html|head|body|main|div|section|style)\b", re.I),
            ">",
        ),
        "svg": FormFacts(
            "svg",
            ("svg", "xml", "html"),
            re.compile(r"<\?xml\b|<!doctype\s+(?!html)|<svg\b", re.I),
            ">",
        ),
        "matplotlib": FormFacts("python", ("python", "py", "python3", "matplotlib"), _PYTHON),
        "mermaid": FormFacts("mermaid", ("mermaid", "mmd", "mermaidjs"), _MERMAID),
    }
)
