"""A check of Python: that it parses. It is never compiled and never run."""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Iterator

from qwenvl_kit.safe_text import plain
from qwenvl_kit.tasks.coding.checked import Checked, told

EXPECTED = frozenset({"matplotlib", "mpl_toolkits", "numpy", "pandas", "math"})
"""The packages that the code of a chart needs."""

_TOUCHING = frozenset(
    [
        "eval",
        "exec",
        "compile",
        "open",
        "input",
        "__import__",
        "breakpoint",
        "getattr",
        "setattr",
        "globals",
        "locals",
        "vars",
    ]
)
_READING = ("read_", "load", "fromfile", "genfromtxt", "to_csv", "to_pickle", "tofile", "memmap")


def check_python(text: str) -> Checked:
    """Return what is wrong with the code of a chart.

    A problem is that it does not parse, by the running version of Python (`ast.parse`), or is
    nested too deep for that. Notes are imports of anything but matplotlib, NumPy, pandas and math,
    and calls that reach files or run code. Notes are for a reader: code without any is not safe.

    Args:
        text: the code.
    """
    try:
        tree = _parsed(text)
    except SyntaxError as error:
        version = ".".join(map(str, sys.version_info[:2]))
        line = f", line {error.lineno:,}" if error.lineno else ""
        return Checked((f"it is no Python {version}: {plain(error.msg)[:120]}{line}",))
    except (RecursionError, MemoryError):
        return Checked(("it is nested too deep to be parsed",))
    except ValueError as error:  # null characters, and halves of surrogate pairs
        return Checked((f"it is no Python: {plain(str(error))[:120]}",))
    if not tree.body:
        return Checked(("the code has no statement",))
    imports = tuple(dict.fromkeys(_imports(tree)))
    others = [plain(name)[:40] for name in imports if name not in EXPECTED]
    notes = (
        *told("it imports more than a chart needs", others),
        *told("it reaches files or runs code", _reaching(tree)),
    )
    return Checked((), notes, imports)


def _parsed(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as those about "\d"
        return ast.parse(text)


def _imports(tree: ast.Module) -> Iterator[str]:
    """The packages that are imported, in the order of their first import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0] if not node.level else "."


def _reaching(tree: ast.Module) -> Iterator[str]:
    """The names of calls that may reach files or run code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if node.attr.startswith(_READING) or node.attr.startswith("__"):
                yield f"{plain(node.attr)[:40]} of line {node.lineno:,}"
        elif isinstance(node, ast.Name) and node.id in _TOUCHING:
            yield f"{node.id} of line {node.lineno:,}"
