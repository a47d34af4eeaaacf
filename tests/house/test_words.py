"""Docstrings begin with their subject, in the words of the field."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import qwenvl_kit

PACKAGE = Path(qwenvl_kit.__file__).parent
HIDING = ("what", "whether", "how", "which", "where", "who", "whom", "whose", "why", "when")
"""Words that put a question in the place of a subject."""

OWNERS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """All docstrings of a file, those below fields and constants too, with their lines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, OWNERS) and (text := ast.get_docstring(node)):
            yield getattr(node, "lineno", 1), text
        if isinstance(node, ast.Module | ast.ClassDef):
            for before, after in zip(node.body, node.body[1:]):
                is_named = isinstance(before, ast.Assign | ast.AnnAssign)
                if is_named and isinstance(after, ast.Expr):
                    value = after.value
                    if isinstance(value, ast.Constant) and isinstance(value.value, str):
                        yield after.lineno, value.value


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_each_docstring_begins_with_its_subject(path: Path) -> None:
    hidden = [
        f"line {line}: {text.splitlines()[0]}"
        for line, text in docstrings(path)
        if text.split(maxsplit=1)[0].lower().strip(",:") in HIDING
    ]
    assert not hidden, "\n".join(hidden)
