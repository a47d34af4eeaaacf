"""The kinds of blocks by the words that models use for them, in classes, categories and comments.

Sources: "QwenVL HTML Format" in the technical report of Qwen2.5-VL (arXiv:2502.13923, section
2.2.1) and the cookbook `document_parsing.ipynb` of Qwen3-VL; the categories of dots.ocr
(`Section-header`, `Page-footer`), which other models of documents share with DocLayNet.
"""

from __future__ import annotations

import re

from qwenvl_kit.documents.blocks import BlockKind

_WORDS: tuple[tuple[str, BlockKind], ...] = (
    ("page number", "page_number"),
    ("section header", "heading"),
    ("page header", "header"),
    ("page footer", "footer"),
    ("running head", "header"),
    ("table of contents", "list"),
    ("image caption", "image"),
    ("image ocr", "image"),
    ("caption", "caption"),
    ("chemical", "image"),
    ("music", "image"),
    ("chart", "chart"),
    ("formula", "formula"),
    ("equation", "formula"),
    ("math", "formula"),
    ("image", "image"),
    ("figure", "image"),
    ("picture", "image"),
    ("photo", "image"),
    ("logo", "image"),
    ("seal", "image"),
    ("stamp", "image"),
    ("signature", "image"),
    ("table", "table"),
    ("code", "code"),
    ("algorithm", "code"),
    ("list", "list"),
    ("title", "heading"),
    ("heading", "heading"),
    ("header", "header"),
    ("footer", "footer"),
    ("footnote", "text"),
    ("paragraph", "text"),
    ("text", "text"),
    ("handwritten", "text"),
)
"""Words and their kinds; the first that is found counts."""


def kind_of(words: str) -> BlockKind | None:
    """Return the kind that a class or category names; None if it names none."""
    plain = re.sub(r"[^a-z]+", " ", words[:200].lower())
    found = (kind for name, kind in _WORDS if re.search(rf"\b{name}s?\b", plain))
    return next(found, None)


def level_of(words: str) -> int:
    """Return the level of a heading by its category: a title has the first, others the second."""
    plain = words[:200].lower()
    return 1 if "title" in plain and "sub" not in plain else 2
