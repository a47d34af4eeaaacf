"""The tags of HTML, one after another, as a browser would find them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

RAW = frozenset(["script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"])
"""Elements whose content is text up to their end tag (HTML Standard, 13.2.6.2)."""

_NAME = re.compile(r"[A-Za-z][^\s/>]*")
_SPACE = re.compile(r"[\s/]*")
_ATTRIBUTE = re.compile(
    r"""([^\s/>=][^\s/>=]*|=[^\s/>=]*)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s>"'][^\s>]*))?"""
)


@dataclass(frozen=True)
class Tag:
    """A tag.

    Attributes:
        name: the name of the element, in lower case.
        at: the index of its `<`.
        end: the index behind its `>`.
        is_end: True for an end tag.
        is_self_closed: True if it ends with `/>`.
        attributes: the attributes by their name in lower case; of two, the first.
    """

    name: str
    at: int
    end: int
    is_end: bool = False
    is_self_closed: bool = False
    attributes: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Text:
    """The content of a raw element, from one index to another."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class Broken:
    """The end of a text that stands within something: a tag, a comment or a raw element.

    Attributes:
        what: the thing that is open, in words.
        at: the index at which it begins.
    """

    what: str
    at: int


def read_tags(text: str) -> Iterator[Tag | Text | Broken]:
    """Yield the tags of a text, contents of raw elements, and last what is broken off.

    It follows the tokenizer of the HTML Standard (13.2.5) as far as tags are concerned, never goes
    back, and so takes time that is linear in the length of the text.
    """
    at = 0
    foreign = 0
    while (at := text.find("<", at)) >= 0:
        found = _markup(text, at)
        if isinstance(found, Broken):
            yield found
            return
        if isinstance(found, int):
            at = found
            continue
        yield found
        at = found.end
        if found.name in ("svg", "math") and not found.is_self_closed:
            foreign = max(0, foreign - 1) if found.is_end else foreign + 1
        is_raw = found.name in RAW and not found.is_end
        if is_raw and not (foreign and (found.is_self_closed or found.name == "title")):
            stop = _end_of_raw(text, found)
            yield Text(found.name, at, len(text) if stop is None else stop)
            if stop is None:
                yield Broken(f"<{found.name}>", found.at)
                return
            at = stop


def _markup(text: str, at: int) -> Tag | Broken | int:
    """The tag that begins with a `<`; or the index to go on from behind something else."""
    if text.startswith("<!--", at):
        end = text.find("-->", at + 2)  # `<!-->` is a whole comment
        return Broken("a comment", at) if end < 0 else end + 3
    if text.startswith(("<!", "<?"), at):
        return _after_mark(text, at)
    is_end = text.startswith("</", at)
    name = _NAME.match(text, at + 1 + is_end)
    if name:
        return _tag(text, at, name, is_end)
    if is_end and at + 2 < len(text):
        return _after_mark(text, at)
    return Broken("a tag", at) if at + 1 + is_end >= len(text) else at + 1


def _after_mark(text: str, at: int) -> Broken | int:
    """The index behind a declaration or another mark that is no tag."""
    end = text.find(">", at)
    return Broken("a tag", at) if end < 0 else end + 1


def _tag(text: str, at: int, name: re.Match[str], is_end: bool) -> Tag | Broken:
    attributes: dict[str, str] = {}
    place = name.end()
    while True:
        space = _SPACE.match(text, place)
        before, place = place, space.end() if space else place
        if place >= len(text):
            return Broken("a tag", at)
        if text[place] == ">":
            closed = place > before and text[place - 1] == "/"
            return Tag(name[0].lower(), at, place + 1, is_end, closed, attributes)
        found = _ATTRIBUTE.match(text, place)
        if found is None or _is_open(text, found):
            return Broken("a tag", at)
        value = found[2] or ""
        attributes.setdefault(found[1].lower(), value.strip("\"'") if value else "")
        place = found.end()


def _is_open(text: str, found: re.Match[str]) -> bool:
    """True if a quote opens the value of an attribute and none closes it."""
    if found[2] is not None:
        return False
    rest = text[found.end() : found.end() + 64].lstrip()
    return rest.startswith("=") and rest[1:].lstrip()[:1] in ('"', "'")


def _end_of_raw(text: str, tag: Tag) -> int | None:
    """The index of the end tag of a raw element."""
    found = re.compile(rf"</{tag.name}(?=[\s/>])", re.I).search(text, tag.end)
    return found.start() if found else None
