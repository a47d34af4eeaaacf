"""Each example runs to its end, offline. `nox -s examples` runs them as their readers do."""

from __future__ import annotations

import runpy
import shutil
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
LONG = ("fine_tune", "loading", "many_pictures", "service")
ARGUMENTS = {"fine_tune": ["--small"]}
"""Arguments of an example that would take minutes without."""

needs_chromium = pytest.mark.skipif(
    not (shutil.which("chromium") or shutil.which("chromium-browser")),
    reason="there is no Chromium (apt-get install chromium)",
)


def marked(path: Path) -> object:
    marks = [needs_chromium] if path.stem == "screen_agent" else []
    marks += [pytest.mark.long] if path.stem in LONG else []
    return pytest.param(path, id=path.stem, marks=marks)


@pytest.mark.parametrize("path", map(marked, EXAMPLES))
def test_an_example_runs_to_its_end_and_says_something(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if path.stem == "screen_agent":
        pytest.importorskip("playwright")
    monkeypatch.setattr(sys, "argv", [str(path), *ARGUMENTS.get(path.stem, [])])
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out.strip()
