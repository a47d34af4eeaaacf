"""The page of benchmarks: sections that are written one by one, and what was not measured."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import __main__ as program
from tests.benchmarks import page as pages

FOLDER = Path(pages.__file__).parent


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "benchmarks.md"


def test_a_section_is_put_into_its_place_and_leaves_the_others(page: Path) -> None:
    pages.write("Answers", ["answers, first"], page)
    pages.write("Memory", ["memory"], page)
    pages.write("Answers", ["answers, second"], page)
    parts = pages.parts_of(page.read_text(encoding="utf-8"))
    assert parts["Answers"].startswith("answers, second")
    assert parts["Memory"].startswith("memory")
    assert list(parts).index("Answers") < list(parts).index("Memory")


def test_the_page_opens_with_what_to_expect(page: Path) -> None:
    pages.write(pages.FIRST, ["A laptop writes slowly."], page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# Benchmarks\n\n## {pages.FIRST}\n\nA laptop writes slowly.")


def test_a_section_that_was_not_measured_says_so(page: Path) -> None:
    pages.write("Answers", ["answers"], page)
    parts = pages.parts_of(page.read_text(encoding="utf-8"))
    assert parts["vLLM"] == "Not measured here: it needs `vllm`."
    assert parts["Growth"] == "Not measured here."


def test_a_section_that_was_not_measured_is_not_of_today(page: Path) -> None:
    pages.write("Answers", ["answers"], page)
    assert pages.is_of_today("Answers", page)
    assert not pages.is_of_today("Growth", page)
    assert not pages.is_of_today("Answers", page.with_name("none.md"))


def test_a_section_that_fails_costs_no_other(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[str]()

    def run(command: Sequence[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command[-1])
        return subprocess.CompletedProcess(command, int(command[-1] == "Answers"))

    monkeypatch.setattr(subprocess, "run", run)
    assert program.main(["Answers", "Memory", "--page", str(page)]) == 1
    assert asked == ["Answers", "Memory"]


def test_what_was_measured_today_is_left_out_on_request(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages.write("Answers", ["answers"], page)
    asked = list[str]()

    def run(command: Sequence[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command[-1])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    program.main(["--continue", "Answers", "Memory", "--page", str(page)])
    assert asked == ["Memory"]


def test_a_section_that_is_not_there_is_named() -> None:
    with pytest.raises(SystemExit, match="no section 'Answer'; there are: What to expect, Answers"):
        program.main(["Answer"])


@pytest.mark.parametrize("section", pages.SECTIONS, ids=lambda section: section.name)
def test_each_section_has_a_module_that_measures_it(section: pages.Section) -> None:
    path = FOLDER / "sections" / f"{section.module}.py"
    assert "\ndef section() -> list[str]:" in path.read_text(encoding="utf-8")
    assert importlib.util.find_spec(f"tests.benchmarks.sections.{section.module}")


def test_the_committed_page_has_the_sections_in_their_order() -> None:
    parts = pages.parts_of(pages.PAGE.read_text(encoding="utf-8"))
    names = [section.name for section in pages.SECTIONS]
    assert [name for name in parts if name in names] == names


def test_the_program_loads_no_torch_before_a_section_is_measured() -> None:
    code = "import sys, tests.benchmarks.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
