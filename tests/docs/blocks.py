"""The Python of the documentation: where it stands, and what it says that it prints."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import io
import re
import sys
import textwrap
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qwenvl_kit

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^([ ]*)```(?:python|py)\b[^\n]*\n(.*?)^[ ]*```", re.MULTILINE | re.DOTALL)
_EXACT = re.compile(r"True|False|None|-?[0-9][0-9.,_]*|[A-Za-z_][\w.]*(?:\[[0-9]+\][\w.]*)*")
"""Comments that are all that a line prints; others explain it."""


class _Missing(str):
    """What there is not, in words."""


@dataclass(frozen=True)
class Block:
    """A piece of Python in a page.

    Attributes:
        page: where, from the root of the project.
        line: its first line in the page, counted from 1.
        code: what it says.
    """

    page: str
    line: int
    code: str

    @property
    def tree(self) -> ast.Module:
        """Its syntax, with the line numbers of the page."""
        return ast.parse("\n" * (self.line - 1) + self.code, filename=self.page)


def pages() -> list[str]:
    """All English pages with Python in them, by name.

    tests/docs/test_chinese.py holds those in Chinese (`*.zh.md`) to the same code.
    """
    found = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    names = (str(path.relative_to(ROOT)) for path in found if _FENCE.search(_text(path)))
    return sorted(name for name in names if not name.endswith(".zh.md"))


def blocks_of(page: str) -> list[Block]:
    """Its pieces of Python, in their order."""
    text = _text(ROOT / page)
    return [
        Block(page, text.count("\n", 0, found.start(2)) + 1, textwrap.dedent(found[2]))
        for found in _FENCE.finditer(text)
    ]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def promised_prints(block: Block) -> dict[int, str]:
    """What the comments of a block say that a line prints, by the line of the page."""
    promised = {}
    lines = block.code.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(block.code).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            comment, before = token.string.lstrip("# ").strip(), lines[row - 1][:column].strip()
            is_print = before.startswith("print(") and before.endswith(")")
            if is_print and _EXACT.fullmatch(comment):
                promised[block.line - 1 + row] = comment
    return promised


def misnamed(block: Block, known: dict[str, Any]) -> Iterator[str]:
    """What a block imports or passes by keyword that there is not, in words.

    What stands in a `try` is there to fail, and is left to the run.

    Args:
        block: need not be able to run.
        known: names of the page so far, which grow by those that the block imports. A name that
            begins with `chat` is a `VisionChat`.
    """
    tree = block.tree
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                module, top = importlib.import_module(alias.name), alias.name.partition(".")[0]
                known[alias.asname or top] = module if alias.asname else sys.modules[top]
        elif isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    yield f"{block.page}:{node.lineno}: {node.module} has no {alias.name}"
                known[alias.asname or alias.name] = getattr(module, alias.name, None)
    shown_wrong = {
        inside
        for node in ast.walk(tree)
        if isinstance(node, ast.Try)
        for inside in ast.walk(ast.Module(node.body, []))
    }
    _note_variables(tree, known)
    for node in ast.walk(tree):
        if node in shown_wrong:
            continue
        if isinstance(node, ast.Call):
            yield from _misnamed_keywords(block, node, known)
        elif isinstance(node, ast.Attribute):
            found = _resolved(node, known)
            if isinstance(found, _Missing):
                yield f"{block.page}:{node.lineno}: {found}"


def _note_variables(tree: ast.Module, known: dict[str, Any]) -> None:
    """Add the classes of variables to `known`; a name is dropped if it is bound in two ways."""
    bound: dict[str, list[Any]] = {}
    for node in ast.walk(tree):
        pairs: list[tuple[ast.expr, Any]] = []
        if isinstance(node, ast.Assign):
            pairs = [(target, _class_of(node.value, known)) for target in node.targets]
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            pairs = [(node.optional_vars, _class_of(node.context_expr, known))]
        elif isinstance(node, ast.For | ast.comprehension):
            pairs = [(node.target, None)]
        for target, kind in pairs:
            is_name = isinstance(target, ast.Name)
            for name in ast.walk(target):
                if isinstance(name, ast.Name):
                    bound.setdefault(name.id, []).append(kind if is_name else None)
    for name, (kind, *others) in bound.items():
        known[name] = None if any(other is not kind for other in others) else kind


def _class_of(node: ast.expr, known: dict[str, Any]) -> Any:
    """The class of what a call returns; None if that is not known."""
    if not isinstance(node, ast.Call):
        return None
    called = _resolved(node.func, known)
    if inspect.isclass(called):
        return called
    function = inspect.unwrap(called) if inspect.isfunction(called) else None
    if function is None:
        return None
    public = {name: getattr(qwenvl_kit, name) for name in qwenvl_kit.__all__}
    try:
        returned = eval(str(function.__annotations__.get("return")), public | function.__globals__)
    except (NameError, SyntaxError):  # a class that only type checkers import
        return None
    return returned if inspect.isclass(returned) else None


def _misnamed_keywords(block: Block, call: ast.Call, known: dict[str, Any]) -> Iterator[str]:
    called = _resolved(call.func, known)
    if isinstance(called, _Missing):
        return
    try:
        parameters = inspect.signature(called).parameters.values() if callable(called) else ()
    except (TypeError, ValueError):  # one written in C
        return
    if not parameters or any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters):
        return
    for keyword in call.keywords:
        if keyword.arg and keyword.arg not in {one.name for one in parameters}:
            name = ast.unparse(call.func)
            yield f"{block.page}:{call.lineno}: {name}() takes no {keyword.arg}="


def _resolved(node: ast.expr, known: dict[str, Any]) -> Any:
    """What an expression stands for; None if that is not known."""
    from qwenvl_kit import VisionChat

    if isinstance(node, ast.Name):
        if node.id == "chat":
            return VisionChat
        return known.get(node.id, getattr(builtins, node.id, None))
    if isinstance(node, ast.Attribute):
        owner = _resolved(node.value, known)
        if inspect.ismodule(owner) or inspect.isclass(owner):
            if _is_of_the_package(owner) and not _has(owner, node.attr):
                return _Missing(f"{ast.unparse(node.value)} has no {node.attr}")
            return getattr(owner, node.attr, None)
    return None


def _is_of_the_package(owner: Any) -> bool:
    name = owner.__name__ if inspect.ismodule(owner) else owner.__module__
    return bool(name.partition(".")[0] == "qwenvl_kit")


def _has(owner: Any, name: str) -> bool:
    """True if a module or class has an attribute, or its instances have one."""
    if hasattr(owner, name) or not inspect.isclass(owner):
        return hasattr(owner, name)
    inits = [inspect.unwrap(base.__init__) for base in owner.__mro__ if "__init__" in vars(base)]
    set_by = [init.__code__.co_names for init in inits if inspect.isfunction(init)]
    fields = [inspect.get_annotations(base) for base in owner.__mro__]
    return any(name in names for names in (*set_by, *fields))
