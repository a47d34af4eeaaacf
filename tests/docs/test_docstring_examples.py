"""Examples in docstrings name only modules, attributes and arguments that exist."""

from __future__ import annotations

import ast
import importlib
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import qwenvl_kit
from tests.docs.blocks import ROOT, Block, misnamed

PACKAGE = Path(qwenvl_kit.__file__).parent
OWNERS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
SECTIONS = ("Args:", "Attributes:", "Returns:", "Yields:", "Raises:")


def examples_of(page: str, text: str) -> Iterator[Block]:
    """The Python in the docstrings of a file: what stands below `Example:`, or is set in."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, OWNERS) and (docstring := ast.get_docstring(node, clean=False)):
            yield from _set_in(page, node.body[0].lineno, docstring)


def _set_in(page: str, first_line: int, docstring: str) -> Iterator[Block]:
    first, _, rest = docstring.partition("\n")
    lines = [first, *textwrap.dedent(rest).splitlines()]
    heading, begun = "", 0
    for at, line in enumerate([*lines, "."]):
        if line and not line.startswith(" "):
            code = textwrap.dedent("\n".join(lines[begun:at]))
            if code.strip() and (heading == "Example:" or _is_python(heading, code)):
                yield Block(page, first_line + begun, code)
            heading, begun = line, at + 1


def _is_python(heading: str, code: str) -> bool:
    """True if text that is set in, below no heading, has an import or a call."""
    try:
        nodes = [*ast.walk(ast.parse(code))]
    except SyntaxError:
        return False
    acts = any(isinstance(node, ast.Import | ast.ImportFrom | ast.Call) for node in nodes)
    return acts and heading not in SECTIONS


def examples() -> Iterator[Any]:
    for path in sorted(PACKAGE.rglob("*.py")):
        page = str(path.relative_to(ROOT))
        if blocks := [*examples_of(page, path.read_text(encoding="utf-8"))]:
            yield pytest.param(page, blocks, id=page)


EXAMPLES = list(examples())


@pytest.mark.parametrize(("page", "blocks"), EXAMPLES)
def test_examples_name_only_what_there_is(page: str, blocks: list[Block]) -> None:
    name = page.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    module = importlib.import_module(name)
    public = {name: getattr(qwenvl_kit, name) for name in qwenvl_kit.__all__}
    for block in blocks:
        assert list(misnamed(block, public | vars(module))) == []


def test_examples_are_found_below_a_heading_and_without_one() -> None:
    pages = {param.id for param in EXAMPLES}
    assert {"qwenvl_kit/__init__.py", "qwenvl_kit/tasks/__init__.py"} <= pages
    assert len(pages) > 30


def test_an_example_is_checked_with_the_classes_of_its_variables() -> None:
    text = '''"""A page.

Example:
    from qwenvl_kit import Message

    with VisionChat.open("model") as chat:
        reply = chat.ask("a")
    print(reply.text, reply.words)
    Message.agent("a")
"""'''
    (block,) = examples_of("page.py", text)
    assert sorted(misnamed(block, {"VisionChat": qwenvl_kit.VisionChat})) == [
        "page.py:6: VisionChat has no open",
        "page.py:8: reply has no words",
        "page.py:9: Message has no agent",
    ]
