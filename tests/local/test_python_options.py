"""The model answers whatever Python itself was told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import pathlib, sys
import PIL.Image
from qwenvl_kit import Sampling, VisionChat
from qwenvl_kit.testing import build_tiny_model

picture = PIL.Image.new("RGB", (96, 96), "red")
folder = build_tiny_model(pathlib.Path(sys.argv[1]) / "tiny", "qwen3_5")
for model in (None, folder):
    with VisionChat.from_pretrained(model, device="cpu") as chat:
        chat.ask("What?", picture, sampling=Sampling(max_new_tokens=4))
        print("answered")
"""


@pytest.mark.long
@pytest.mark.parametrize(
    "options", [["-O"], ["-OO"], ["-W", "error"], ["-bb"], ["-X", "dev"]], ids=" ".join
)
def test_a_question_is_answered_under_each_option_of_python(
    options: list[str], tmp_path: Path
) -> None:
    command = [sys.executable, *options, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "answered\n" * 2  # transformers prints what it misses
