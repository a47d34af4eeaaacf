"""Importing the package is cheap: each name loads its own module, when it is first used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import qwenvl_kit

HEAVY = ("torch", "transformers", "numpy", "PIL", "torchvision", "accelerate")
SOURCE = Path(qwenvl_kit.__file__).read_text(encoding="utf-8")


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_importing_the_package_loads_none_of_its_modules() -> None:
    code = "import sys, qwenvl_kit; print([m for m in sys.modules if m.startswith('qwenvl_kit')])"
    assert run(code) == "['qwenvl_kit']"


def test_a_name_loads_its_own_module_and_not_those_of_other_names() -> None:
    code = (
        "import sys\n"
        "from qwenvl_kit import PixelBudget\n"
        "others = ('chat', 'results', 'pipeline.core', 'media.loader', 'checkpoints.inspection')\n"
        "print([name for name in others if f'qwenvl_kit.{name}' in sys.modules])"
    )
    assert run(code) == "[]"


def test_no_public_name_loads_a_heavy_library() -> None:
    code = (
        "import sys\n"
        "from qwenvl_kit import *\n"
        "import qwenvl_kit.tasks\n"
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    assert run(code) == "[]"


def test_planning_with_a_scripted_backend_loads_no_torch() -> None:
    code = (
        "import sys, PIL.Image\n"
        "from qwenvl_kit import VisionChat\n"
        "from qwenvl_kit.backends.scripted import ScriptedBackend\n"
        "chat = VisionChat(ScriptedBackend(['yes']))\n"
        "chat.plan('What?', PIL.Image.new('RGB', (100, 100)))\n"
        "print('torch' in sys.modules)"
    )
    assert run(code) == "False"


def test_every_public_name_exists() -> None:
    code = "import qwenvl_kit as k; print([n for n in k.__all__ if not hasattr(k, n)])"
    assert run(code) == "[]"


def test_completion_offers_the_names_before_they_are_loaded() -> None:
    code = "import qwenvl_kit as k; print(sorted({*k.__all__, '__version__'} - {*dir(k)}))"
    assert run(code) == "[]"


def test_a_misspelt_name_is_an_error_that_python_can_mend() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'VisonChat'") as caught:
        qwenvl_kit.VisonChat  # type: ignore[attr-defined]  # noqa: B018
    assert caught.value.name == "VisonChat"
    assert caught.value.obj is qwenvl_kit


def test_type_checkers_see_the_names_that_are_loaded_and_no_others() -> None:
    (branch,) = (
        node
        for node in ast.parse(SOURCE).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {
        alias.name: f"{imported.module}".removeprefix("qwenvl_kit.")
        for imported in branch.body
        if isinstance(imported, ast.ImportFrom)
        for alias in imported.names
    }
    assert seen.pop("errors") == "qwenvl_kit"
    assert seen == qwenvl_kit._MODULES
    assert sorted([*seen, "errors"]) == qwenvl_kit.__all__
