"""What a page in Chinese shares with its English page: code, headings, anchors and links."""

from __future__ import annotations

import ast
import re
import textwrap
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from tests.docs.blocks import ROOT

DOCS = ROOT / "docs"
HAN = r"[\u3001-\u303f\u4e00-\u9fff\uff00-\uffef]"
"""A character of Chinese, its punctuation included."""

_FENCE = re.compile(r"^( *)```([a-z0-9]*)[^\n]*\n(.*?)^ *```[ ]*$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#{1,6}) (.*?)(?: \{#([\w-]+)\})?$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
_COMMENT = re.compile(r"(^|\s+)#.*$", re.MULTILINE)
_TREE = re.compile(r"\s{3,}\S.*$", re.MULTILINE)


def pages() -> list[str]:
    """All pages in Chinese, by name."""
    return sorted(str(path.relative_to(ROOT)) for path in DOCS.rglob("*.zh.md"))


def english_of(page: str) -> str:
    """The English page, by name."""
    return page.removesuffix(".zh.md") + ".md"


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def prose_of(page: str) -> str:
    """A page without its blocks of code."""
    return _FENCE.sub("", text_of(page))


def code_of(page: str) -> list[tuple[str, str]]:
    """The language of each block of a page, and its code without what may be translated.

    That is comments, and in the tree of errors what stands beside a name.
    """
    found = _FENCE.finditer(text_of(page))
    return [(match[2], untranslated(match[2], textwrap.dedent(match[3]))) for match in found]


def untranslated(language: str, code: str) -> str:
    """Code without what a translation may change."""
    if language.startswith("py"):
        return ast.unparse(ast.parse(code))
    if "├──" in code:
        return _TREE.sub("", code)
    return code if language == "text" else _COMMENT.sub("", code)


def headings_of(page: str) -> list[tuple[str, str]]:
    """The marks of each heading of a page (`##`), and its anchor."""
    taken: set[str] = set()
    found = []
    for marks, title, named in _HEADING.findall(prose_of(page)):
        anchor = named or _unique(_slug(title), taken)
        taken.add(anchor)
        found.append((marks, anchor))
    return found


def _slug(title: str) -> str:
    """The anchor that Python-Markdown's `toc` gives a heading (its `slugify`)."""
    said = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "")
    plain = unicodedata.normalize("NFKD", said).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def _unique(anchor: str, taken: set[str]) -> str:
    number, free = 0, anchor
    while not free or free in taken:
        number += 1
        free = f"{anchor}_{number}"
    return free


def broken_links(page: str) -> Iterator[str]:
    """The links of a page that lead nowhere in this repository."""
    for target, anchor in _LINK.findall(prose_of(page)):
        if "://" in target:
            continue
        path = (ROOT / page).parent / target if target else ROOT / page
        shown = path.with_suffix(".zh.md") if _is_in_both(page, path) else path
        if not shown.exists():
            yield target
        elif anchor and shown.suffix == ".md" and not _has(shown, anchor):
            yield f"{target}#{anchor}"


def _is_in_both(page: str, path: Path) -> bool:
    """True if the site shows the Chinese page in place of the one that is linked."""
    return page.endswith(".zh.md") and path.with_suffix(".zh.md").exists()


def _has(path: Path, anchor: str) -> bool:
    page = path.resolve().relative_to(ROOT.resolve())
    return anchor in {anchor for _, anchor in headings_of(str(page))}


def broken_lines(page: str) -> list[str]:
    """Ends of lines of Chinese text that go on in the next: browsers show a blank there."""
    ends = re.compile(rf"^.*{HAN}$(?=\n{HAN})", re.MULTILINE)
    return [found[-20:] for found in ends.findall(prose_of(page))]


def terms() -> dict[str, str]:
    """The words that docs/glossary.md says not to use, with those in their place."""
    rows = re.findall(r"^\|(.*)\|$", text_of("docs/glossary.md"), re.MULTILINE)
    cells = [[cell.strip() for cell in row.split("|")] for row in rows]
    return {word: row[1] for row in cells[2:] if row[3] for word in row[3].split("、")}
