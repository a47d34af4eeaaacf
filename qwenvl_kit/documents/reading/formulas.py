"""Formulas without the marks around them."""

from __future__ import annotations

_MARKS = (("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("$", "$"))


def without_marks(text: str) -> str:
    """Return the LaTeX of a formula without the dollar signs or brackets around it."""
    text = text.strip()
    for before, after in _MARKS:
        is_marked = text.startswith(before) and text.endswith(after)
        inside = text[len(before) : -len(after)] if is_marked else ""
        if inside and before not in inside:
            return inside.strip()
    return text
