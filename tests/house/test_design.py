"""What docs/design.md names is there: each file, and each function where it is said to be."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import qwenvl_kit
from tests.house.test_arrows import MAY_IMPORT

ROOT = Path(__file__).parents[2]
PACKAGE = Path(qwenvl_kit.__file__).parent
PAGE = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
BUILT, _, UNBUILT = PAGE.partition("## Where new things go")

STEP = re.compile(r"^\| \d+\. [^|]*\|([^|]*)\|([^|]*)\|", re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
FORMS = re.compile(r"_\w+|\w+_|\w+_\*")
"""Beginnings and ends of names, of which the page gives rules."""

NAME = re.compile(r"[\w./]+")
"""Others are commands, or pieces of code."""

OTHERS = {"chat.completions.create", "from", "assert", "generate", "typical_p"}
"""Names of Python, and of other packages."""


@functools.cache
def defined(path: Path) -> set[str]:
    """Functions, classes, fields and constants of a file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


@functools.cache
def everything() -> frozenset[str]:
    files = [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    return frozenset(name for path in files for name in defined(path))


def files_named(name: str) -> list[Path]:
    """Files and folders of the package whose path ends so."""
    wanted = Path(name).parts
    return [path for path in PACKAGE.rglob("*") if path.parts[-len(wanted) :] == wanted]


def steps() -> Iterator[tuple[str, str]]:
    """The functions of the tables of steps, each with the files where one of them is."""
    for files, functions in STEP.findall(BUILT):
        for function in CODE.findall(functions):
            yield function, " ".join(CODE.findall(files))


def names() -> Iterator[str]:
    yield from dict.fromkeys(CODE.findall(BUILT))


@pytest.mark.parametrize(("function", "files"), list(steps()))
def test_each_step_has_its_function_where_the_table_says(function: str, files: str) -> None:
    places = [path for name in files.split() for path in files_named(name)]
    if not files:  # of a backend, which says what it must have in its protocol
        places = files_named("backends/base.py")
    assert any(function in defined(path) for path in places), f"{function} is not in {files}"


@pytest.mark.parametrize("name", list(names()))
def test_each_name_of_the_page_is_there(name: str) -> None:
    plain = re.sub(r"\(.*|=.*", "", name)
    if not NAME.fullmatch(plain) or FORMS.fullmatch(plain) or plain in OTHERS:
        return
    if "/" in plain or plain.endswith(".py"):
        assert files_named(plain) or (ROOT / plain).exists(), f"there is no {plain}"
    else:
        known = everything() | {"qwenvl_kit", "testing"}
        missing = [part for part in plain.split(".") if part not in known and not files_named(part)]
        assert not missing, f"nothing is called {plain}"


@pytest.mark.parametrize("room", re.findall(r"\(not built\) \| `(\w+/)`", UNBUILT))
def test_a_room_that_is_said_not_to_exist_does_not(room: str) -> None:
    assert not (PACKAGE / room).exists(), f"{room} is there: tell of it among the rooms"


ROW = re.compile(r"^\| ([\w ]+): `.*\| ([^|]*) \|$", re.MULTILINE)
SHORT = {"the base": "backend base"}


def test_the_table_of_rooms_is_that_of_the_arrows() -> None:
    _, _, after = PAGE.partition("## The rooms")
    table = dict(ROW.findall(after.partition("\n## ")[0]))
    assert table.keys() == MAY_IMPORT.keys()
    for room, told in table.items():
        names = {SHORT.get(name.strip(), name.strip()) for name in told.split(",")}
        if "the same" in names:
            names = names - {"the same", "and the base"} | MAY_IMPORT["backend base"]
            names |= {"backend base"}
        assert names - {"nothing"} == MAY_IMPORT[room], room
