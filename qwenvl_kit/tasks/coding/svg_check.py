"""A check of SVG: that it is XML, that it is SVG, and that it holds nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from qwenvl_kit.safe_text import plain
from qwenvl_kit.tasks.coding.checked import Checked, told

_SVG = "http://www.w3.org/2000/svg"
_ACTIVE = ("script", "foreignObject", "iframe", "handler", "listener")
_ELSEWHERE = re.compile(r"^\s*(?:https?:|file:|//|ftp:)", re.I)
_CSS_URL = re.compile(r"(?:url\(\s*[\"']?|@import\s+[\"']?)\s*(?:https?:|file:|//)", re.I)


class _RefusedError(Exception):
    """An entity is declared, which may be small and mean gigabytes."""


def check_svg(text: str) -> Checked:
    """Return what is wrong with a drawing.

    Problems: it is no XML by Python's expat; it declares entities, which are not expanded; its root
    is no `<svg>`, or has not the name space `http://www.w3.org/2000/svg`, without which an `<img>`
    shows nothing. Notes: scripts, event handlers, and what is loaded from elsewhere.

    Args:
        text: the drawing.
    """
    drawing = _Drawing()
    try:
        _parser_for(drawing).Parse(text.encode(), True)
    except _RefusedError:
        return Checked(("the drawing declares entities, which are not expanded",))
    except UnicodeEncodeError:
        return Checked(("the drawing has characters that no file can hold",))
    except expat.ExpatError as error:
        words = f"it is no XML: {expat.ErrorString(error.code)}, line {error.lineno:,}"
        return Checked((words, *drawing.problems()), drawing.notes())
    return Checked(drawing.problems(), drawing.notes())


def _parser_for(drawing: _Drawing) -> Any:
    parser = expat.ParserCreate("utf-8", " ")
    parser.buffer_text = True
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.EntityDeclHandler = _refuse
    parser.StartElementHandler = drawing.start
    parser.CharacterDataHandler = drawing.text
    parser.EndElementHandler = drawing.end
    return parser


def _refuse(*_: object) -> None:
    raise _RefusedError


@dataclass
class _Drawing:
    """The findings in a drawing."""

    root: str | None = None
    inside_style: int = 0
    active: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Take a start tag."""
        if self.root is None:
            self.root = name
        local = name.rpartition(" ")[2]
        self.inside_style += local == "style"
        if local in _ACTIVE:
            self.active.append(f"<{plain(local)}>")
        for key, value in attributes.items():
            attribute = key.rpartition(" ")[2]
            if attribute.startswith("on"):
                self.active.append(plain(attribute)[:40])
            elif attribute in ("href", "src") and _ELSEWHERE.match(value):
                self.loaded.append(f"<{plain(local)[:40]}>" if local != "a" else "")
            elif "javascript:" in value[:64].lower():
                self.active.append("javascript:")
            elif _CSS_URL.search(value):
                self.loaded.append(plain(attribute)[:40])

    def text(self, words: str) -> None:
        """Take text."""
        if self.inside_style and _CSS_URL.search(words):
            self.loaded.append("<style>")

    def end(self, name: str) -> None:
        """Take an end tag."""
        self.inside_style -= name.rpartition(" ")[2] == "style"

    def problems(self) -> tuple[str, ...]:
        """Sentences on what is wrong."""
        if self.root is None or self.root == f"{_SVG} svg":
            return ()
        local = self.root.rpartition(" ")[2]
        if local != "svg":
            return (f"the outer element is <{plain(local)[:40]}>, not <svg>",)
        return (f'the outer element has no xmlns="{_SVG}", so that it cannot be shown as a file',)

    def notes(self) -> tuple[str, ...]:
        """Sentences on what a reader should know."""
        return (
            *told("the drawing can act", self.active),
            *told("the drawing loads from elsewhere", filter(None, self.loaded)),
        )
