r"""Marks in the text of a page that Markdown would run or fetch: kept as the text that they are.

A page that somebody else printed may hold `<img src=x onerror=...>` or `![](https://...)`, which
a viewer of Markdown would take for an element, or fetch.
"""

from __future__ import annotations

import re

_TAG = r"<(?=[!?]|/?[A-Za-z][A-Za-z0-9-]*(?:[\s/>]|$)|[A-Za-z][A-Za-z0-9+.-]+:)"
"""The beginning of HTML or of an autolink (CommonMark 0.31.2, sections 6.5 and 6.6)."""

_PICTURE = r"!(?=\[)"
_LINK = r"(?<=\])\((?!\s*(?:https?://|mailto:|#))(?=\s*[^)\s][^)]{0,300}[:&\\])"
"""The address of a link of another scheme; colons may be written as entities."""

_MARK = re.compile(rf"(?<!\\)((?:\\\\)*)({_TAG}|{_PICTURE}|{_LINK})", re.MULTILINE)
_DEFINITION = re.compile(r"^([ \t>*+-]{0,20}\[[^\[\]\n]{1,999}\]):", re.MULTILINE)
"""A definition of a link, which viewers leave out."""

_FORMULA_MARK = re.compile(_TAG, re.MULTILINE)


def inert(text: str) -> str:
    """Return text of a page with a backslash before what would be HTML, a picture or a script.

    Links to the web, to an address of mail, and within the page stay.
    """
    return _DEFINITION.sub(r"\1\\:", _MARK.sub(r"\1\\\2", text))


def inert_formula(latex: str) -> str:
    r"""Return LaTeX in which no HTML begins: `\lt` is a "<" in a formula."""
    return _FORMULA_MARK.sub(r"\\lt ", latex).replace("![", "! [")
