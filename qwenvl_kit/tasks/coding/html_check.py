"""A check of HTML: that every tag is whole, and that elements are closed."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from qwenvl_kit.safe_text import plain
from qwenvl_kit.tasks.coding.checked import MOST_TOLD, Checked, line_of, told
from qwenvl_kit.tasks.coding.html_tags import Broken, Tag, Text, read_tags

_VOID = frozenset(
    [
        "area",
        "base",
        "br",
        "col",
        "embed",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "param",
        "source",
        "track",
        "wbr",
        "frame",
    ]
)
"""Elements without content (HTML Standard, 13.1.2)."""

_OPTIONAL = frozenset(
    [
        "html",
        "head",
        "body",
        "li",
        "dt",
        "dd",
        "p",
        "rt",
        "rp",
        "optgroup",
        "option",
        "colgroup",
        "caption",
        "thead",
        "tbody",
        "tfoot",
        "tr",
        "td",
        "th",
    ]
)
"""Elements whose end tag may be left out (HTML Standard, 13.1.2.4)."""

_LOADING = {
    **dict.fromkeys(("img", "script", "iframe", "video", "audio", "source", "embed"), "src"),
    **{"link": "href", "object": "data"},
}
_URL = re.compile(r"^\s*(?:https?:)?//([^/\s?#]+)", re.I)
_CSS_URL = re.compile(r"(?:url\(\s*[\"']?|@import\s+[\"'])((?:https?:)?//[^\"')\s]+)", re.I)
_DOCTYPE = re.compile(r"\s*(?:<!--.*?-->\s*)?<!doctype\s+html", re.I | re.S)


def check_html(text: str) -> Checked:
    """Return what is wrong with a page.

    A problem is a tag, comment, script or style that does not end, an element that needs an end tag
    and has none, and an end tag for nothing. A note is a missing doctype, and what the page loads
    from elsewhere. Names of elements and attributes, and CSS and scripts, are not checked.

    Args:
        text: the page, or a part of one.
    """
    elements = _Elements()
    for found in read_tags(text):
        elements.add(found)
    elements.end()
    if not elements.has_any:
        return Checked(("the code has no element of HTML",))
    broken = elements.broken
    problems = (
        *((f"the code ends within {broken.what} of {line_of(text, broken.at)}",) if broken else ()),
        *_named("elements that are not closed", "<", text, elements.unclosed),
        *_named("end tags without a beginning", "</", text, elements.stray),
    )
    return Checked(problems, (*_kind_of(text), *_loaded(text, elements)))


def _named(what: str, mark: str, text: str, tags: list[tuple[str, int]]) -> tuple[str, ...]:
    """A sentence with the first of some tags and their lines, and the number of the others."""
    shown = [f"{mark}{plain(name)[:40]}> of {line_of(text, at)}" for name, at in tags[:MOST_TOLD]]
    more = f", and {len(tags) - MOST_TOLD:,} more" if len(tags) > MOST_TOLD else ""
    return (f"{what}: {', '.join(shown)}{more}",) if tags else ()


@dataclass
class _Elements:
    """The elements that are open while tags are read."""

    open: list[Tag] = field(default_factory=list)
    names: Counter[str] = field(default_factory=Counter)
    unclosed: list[tuple[str, int]] = field(default_factory=list)
    stray: list[tuple[str, int]] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    styles: list[tuple[int, int]] = field(default_factory=list)
    broken: Broken | None = None
    has_any: bool = False
    num_scripts: int = 0

    def add(self, found: Tag | Text | Broken) -> None:
        """Take the next tag."""
        if isinstance(found, Broken):
            self.broken = found
        elif isinstance(found, Text):
            if found.name == "style":
                self.styles.append((found.start, found.stop))
        elif found.is_end:
            self._close(found)
        else:
            self._open(found)

    def end(self) -> None:
        """Close what is left open."""
        inside = self.broken.at if self.broken else -1
        for tag in self.open:
            if tag.name not in _OPTIONAL and tag.at != inside:
                self.unclosed.append((tag.name, tag.at))

    def _open(self, tag: Tag) -> None:
        self.has_any = True
        attributes = tag.attributes or {}
        self.sources.append(attributes.get(_LOADING.get(tag.name, ""), ""))
        self.num_scripts += tag.name == "script" or any(name[:2] == "on" for name in attributes)
        is_foreign = self.names["svg"] > 0 or self.names["math"] > 0 or tag.name in ("svg", "math")
        if tag.name in _VOID or (tag.is_self_closed and is_foreign):
            return
        self.open.append(tag)
        self.names[tag.name] += 1

    def _close(self, tag: Tag) -> None:
        if not self.names[tag.name]:
            if tag.name not in ("p", "br", "html", "head", "body"):  # browsers make those elements
                self.stray.append((tag.name, tag.at))
            return
        while self.open:
            last = self.open.pop()
            self.names[last.name] -= 1
            if last.name == tag.name:
                return
            if last.name not in _OPTIONAL:
                self.unclosed.append((last.name, last.at))


def _kind_of(text: str) -> tuple[str, ...]:
    return () if _DOCTYPE.match(text) else ("the page has no <!DOCTYPE html>",)


def _loaded(text: str, elements: _Elements) -> tuple[str, ...]:
    """Notes on what the page loads, and on scripts."""
    hosts = [found[1] for source in elements.sources if (found := _URL.match(source))]
    for start, stop in elements.styles:
        hosts += [_host(url) for url in _CSS_URL.findall(text, start, stop)]
    scripts = f"the page has {elements.num_scripts} elements with scripts"
    return (
        *told("the page loads from elsewhere", (plain(host)[:80] for host in hosts)),
        *((scripts,) if elements.num_scripts else ()),
    )


def _host(url: str) -> str:
    found = _URL.match(url)
    return found[1] if found else url
