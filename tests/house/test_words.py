"""Docstrings, and the descriptions in them, begin with their subject, in the words of the field."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import qwenvl_kit

PACKAGE = Path(qwenvl_kit.__file__).parent
HIDING = ("what", "whether", "how", "which", "where", "who", "whom", "whose", "why", "when")
"""Words that put a question in the place of a subject."""

SECTIONS = ("Args:", "Attributes:", "Returns:", "Yields:", "Raises:")
ENTRY = re.compile(r"    (?:\*{0,2}[\w.]+(?:, \*{0,2}[\w.]+)*(?: \([^)]*\))?:\s+)?(?P<text>\S.*)")
"""One description in a section: a name with its text, or a text alone."""

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


def descriptions(docstring: str) -> Iterator[str]:
    """The descriptions of arguments, fields, results and errors in a docstring."""
    lines = inspect.cleandoc(docstring).splitlines()
    in_section = False
    for line, following in zip(lines, [*lines[1:], ""]):
        if line and not line.startswith(" "):
            in_section = line in SECTIONS
        elif in_section and line[4:5].strip():
            found = ENTRY.fullmatch(f"{line} {following.strip()}" if line.endswith(":") else line)
            if found:
                yield found["text"]


def hides_its_subject(text: str) -> bool:
    return text.split(maxsplit=1)[0].lower().strip(",:") in HIDING


def test_a_description_is_found_with_its_name_and_without() -> None:
    docstring = """Return a number.

    Args:
        first, *others (optional): the names,
            how many there are.
        last:
            the last one.

    Returns:
        the number.

    What follows is prose:
        which is not read.
    """
    assert list(descriptions(docstring)) == ["the names,", "the last one.", "the number."]


PATHS = pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)


@PATHS
def test_each_docstring_begins_with_its_subject(path: Path) -> None:
    hidden = [
        f"line {line}: {text.splitlines()[0]}"
        for line, text in docstrings(path)
        if hides_its_subject(text)
    ]
    assert not hidden, "\n".join(hidden)


@PATHS
def test_each_description_begins_with_its_subject(path: Path) -> None:
    hidden = [
        f"docstring of line {line}: {description}"
        for line, text in docstrings(path)
        for description in descriptions(text)
        if hides_its_subject(description)
    ]
    assert not hidden, "\n".join(hidden)
