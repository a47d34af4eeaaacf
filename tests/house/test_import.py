"""Importing the package is cheap."""

from __future__ import annotations

import subprocess
import sys


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_importing_the_package_loads_no_heavy_library() -> None:
    heavy = ("torch", "transformers", "numpy", "PIL", "torchvision", "accelerate")
    code = (
        f"import sys, qwenvl_kit, qwenvl_kit.tasks; print([m for m in {heavy} if m in sys.modules])"
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
