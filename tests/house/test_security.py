"""What SECURITY.md promises of the code as a whole, and that the tests it names exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "qwenvl_kit").rglob("*.py"))
FORBIDDEN_IMPORTS = {"pickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "torch.load", "numpy.load", "os.system", "os.popen"}


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_unpickles_evaluates_or_runs_code_of_others(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names]
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.partition(".")[0] for name in names} & FORBIDDEN_IMPORTS
        if isinstance(node, ast.Call):
            assert _name(node.func) not in FORBIDDEN_CALLS
            for keyword in node.keywords:
                is_true = isinstance(keyword.value, ast.Constant) and keyword.value.value is True
                assert not (keyword.arg in ("shell", "trust_remote_code") and is_true)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_guard_is_an_assert(path: Path) -> None:
    asserts = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Assert)
    ]
    assert not asserts


DOORS = {
    *("formats/dicts.py", "integrations/qwen_vl_utils.py", "live/frame_sources.py"),
    "tasks/coding/rendering.py",
    *("training/checking.py", "training/loop/fine_tuning.py"),
    *("evaluation/benchmarks/media_facts.py", "evaluation/reports/page_parts.py"),
    *("media/subtitles/reading.py", "tasks/summarize_video/chapters.py"),
}
"""Where somebody comes in who has no chat, or makes one."""


def test_the_policy_that_holds_without_one_is_made_once_and_taken_at_the_doors_alone() -> None:
    made, taken = set(), set()
    for path in MODULES:
        module = path.relative_to(ROOT / "qwenvl_kit").as_posix()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            is_made = isinstance(node, ast.Call) and _name(node.func).endswith("MediaPolicy")
            if is_made and not (node.args or node.keywords):  # type: ignore[attr-defined]
                made.add(module)
            if isinstance(node, ast.Name) and node.id == "DEFAULT_POLICY":
                taken.add(module)
    assert made == {"media/policy.py"}
    assert taken == {"media/policy.py", *DOORS}


def test_each_test_that_the_security_page_names_is_there() -> None:
    page = (ROOT / "SECURITY.md").read_text("utf-8")
    file = ""
    named = re.findall(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`", page)
    found = 0
    for path, test in named:
        file = path or file
        if not (path or test):
            continue
        content = (ROOT / file).read_text("utf-8")
        assert not test or f"def {test}(" in content, f"{file}::{test}"
        found += 1
    assert found >= 15
