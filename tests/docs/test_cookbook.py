"""The cookbook: each notebook is whole, made of its source, and of what there is."""

from __future__ import annotations

import ast
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit import tasks
from tests.docs.blocks import ROOT, Block, misnamed
from tests.docs.cookbook import GROUPS
from tests.docs.notebooks import (
    MOST_BYTES,
    PAGES,
    Cell,
    digest,
    read_cells,
    sources,
    to_gallery,
    to_json,
    to_notebook,
    to_page,
)
from tests.docs.recipes import recipes

SOURCES = sources()
each_source = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


def notebook_of(source: Path) -> dict[str, Any]:
    path = PAGES / f"{source.stem}.ipynb"
    told = "run `python -m tests.docs.cookbook`, or `nox -s cookbook`"
    assert path.exists(), f"{source.stem} was never run: {told}"
    made: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return made


@each_source
def test_a_notebook_was_run_as_its_source_stands_now(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    notebook = notebook_of(source)
    assert notebook["metadata"]["source_sha256"] == digest(text)
    written = [(cell["cell_type"], cell["source"]) for cell in notebook["cells"]]
    assert written == [(c["cell_type"], c["source"]) for c in to_notebook(text)["cells"]]


@each_source
def test_all_cells_were_run_in_their_order_and_none_failed(source: Path) -> None:
    code = [cell for cell in notebook_of(source)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    kinds = {output["output_type"] for cell in code for output in cell["outputs"]}
    assert kinds <= {"stream", "execute_result", "display_data"}


@each_source
def test_a_notebook_is_valid_and_small(source: Path) -> None:
    path = PAGES / f"{source.stem}.ipynb"
    assert path.stat().st_size < MOST_BYTES
    notebook = notebook_of(source)
    names = [cell["id"] for cell in notebook["cells"]]
    assert len(set(names)) == len(names)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbformat.validate(nbformat.from_dict(notebook))


@each_source
def test_a_notebook_names_only_what_there_is(source: Path) -> None:
    cells = read_cells(source.read_text(encoding="utf-8"))
    code = "\n".join(cell.text for cell in cells if cell.is_code)
    assert list(misnamed(Block(f"examples/notebooks/{source.name}", 1, code), {})) == []


@each_source
def test_a_page_shows_its_notebook(source: Path) -> None:
    text, pictures = to_page(source.stem, notebook_of(source))
    assert (PAGES / f"{source.stem}.md").read_text(encoding="utf-8") == text
    for name, content in pictures.items():
        assert (PAGES / "images" / name).read_bytes() == content


@each_source
def test_nothing_of_the_machine_is_in_a_notebook(source: Path) -> None:
    text = (PAGES / f"{source.stem}.ipynb").read_text(encoding="utf-8")
    assert not re.search(r"/(home|root|tmp|work|Users)/", text)


def test_the_gallery_shows_all_notebooks() -> None:
    named = [name for names in GROUPS.values() for name in names]
    assert sorted(named) == [source.stem for source in SOURCES]
    notebooks = {source.stem: notebook_of(source) for source in SOURCES}
    assert (PAGES / "index.md").read_text(encoding="utf-8") == to_gallery(notebooks, GROUPS)


def test_each_task_is_in_a_notebook() -> None:
    called = {
        node.id
        for source in SOURCES
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name)
    }
    functions = {name for name in tasks.__all__ if inspect.isfunction(getattr(tasks, name))}
    assert functions - called == set()


def test_what_newcomers_search_leads_to_a_page() -> None:
    page = (ROOT / "docs" / "guide" / "words.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)\n\n.+?\]\(([\w./#-]+)\)", page, re.MULTILINE)
    leads = {term.lower(): link for terms, link in headings for term in terms.split(", ")}
    wanted = {
        "bounding box": "grounding.md",
        "ocr": "tasks.md",
        "json": "typed_answers.md",
        "batch inference": "batches.md",
        "vram": "inspecting.md",
    }
    assert {term: leads.get(term) for term in wanted} == wanted


def test_each_recipe_is_a_program() -> None:
    assert set(recipes()) >= {"datasets", "Polars", "Gradio", "LangChain", "LlamaIndex"}
    for title, code in recipes().items():
        compile(code, title, "exec")
    chat_interface = recipes()["Gradio"]
    assert len([line for line in chat_interface.splitlines() if line.strip()]) <= 10


def test_cells_are_read_with_their_kinds() -> None:
    text = "# %% [markdown]\n# # A title\n#\n# Words.\n\n# %%\nprint(1)\n\n\n# %%\nprint(2)\n"
    assert read_cells(text) == [
        Cell(False, "# A title\n\nWords."),
        Cell(True, "print(1)"),
        Cell(True, "print(2)"),
    ]
    assert read_cells("") == []


def test_a_page_is_written_of_text_code_and_outputs() -> None:
    notebook = to_notebook("# %% [markdown]\n# # A title\n# Words.\n\n# %%\nprint(1)\n")
    notebook["cells"][1]["outputs"] = [
        {"output_type": "stream", "name": "stdout", "text": "1\n"},
        {"output_type": "display_data", "data": {"image/png": "AAAA", "text/plain": "a picture"}},
        {"output_type": "display_data", "data": {"text/html": "<b>\n\n1</b>", "text/plain": "1"}},
    ]
    text, pictures = to_page("it", notebook)
    assert text.startswith("# A title\n\nWords.\n\n```py3\nprint(1)\n```\n\n```text\n1\n```\n")
    assert "](images/it-1.png)" in text
    assert pictures == {"it-1.png": b"\x00\x00\x00"}
    assert '<div class="cell-output">\n<b>\n1</b>\n</div>' in text
    assert json.loads(to_json(notebook)) == notebook


def test_an_answer_with_fences_and_tags_stays_text() -> None:
    notebook = to_notebook("# %% [markdown]\n# # A\n\n# %%\nprint(1)\n")
    said = "```html\n<script>alert(1)</script>\n```\n"
    notebook["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": said}]
    assert f"````text\n{said}````" in to_page("a", notebook)[0]


@each_source
def test_a_page_says_what_a_script_has_answered(source: Path) -> None:
    is_scripted = "ScriptedBackend" in source.read_text(encoding="utf-8")
    page = (PAGES / f"{source.stem}.md").read_text(encoding="utf-8")
    assert ("the outputs are real" in page) is not is_scripted
    said = re.search(
        r"\bscript\b",
        re.sub(r"```.*?```", "", page.partition("\n*Run offline")[0], flags=re.DOTALL),
    )
    assert bool(said) is is_scripted
