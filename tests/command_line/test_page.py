"""The commands that the page of the command line shows work as they stand there."""

from __future__ import annotations

import io
import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import PIL.Image
import pytest

from qwenvl_kit.command_line.program import app, main
from tests.command_line.test_tasks import CLASSES, SCHEMA
from tests.videos import write_video

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "command_line.md").read_text("utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines() if "serve-demo" not in line]


@pytest.fixture
def files(folder: Path) -> Path:
    (folder / "photos").mkdir()
    names = ("photo.jpg", "-other.jpg", "receipt.png", "photos/a.jpg", "photos/b.jpg")
    for number, name in enumerate(names):
        PIL.Image.new("RGB", (56, 56 + number)).save(folder / name)
    write_video(folder / "film.mp4", num_frames=8)
    (folder / "receipt.json").write_text(json.dumps(SCHEMA))
    (folder / "receipts.py").write_text(CLASSES[0])
    (folder / "article.txt").write_text("Once upon a time.")
    return folder


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_page_works(
    files: Path,
    line: str,
    given_input: Callable[[bytes], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.syspath_prepend(str(files))
    before, _, after = line.rpartition("| qwenvl ")
    if before:
        given_input((files / before.split()[1]).read_bytes())
    words = shlex.split(after.removeprefix("qwenvl ").partition(" | ")[0])
    assert main(words) == 0, capsys.readouterr().err


def test_each_command_stands_in_the_table() -> None:
    names = {each.name or each.callback.__name__ for each in app.registered_commands}  # type: ignore[union-attr]
    assert [name for name in sorted(names) if f"`{name}" not in PAGE] == []
