"""Notebooks of the cookbook: read from Python sources, written as `.ipynb` and as Markdown.

A source in `examples/notebooks` is Python with `# %%` before each cell and `# %% [markdown]`
before each text, the form that Jupytext, VS Code and Spyder read, so that a change can be read.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SOURCES, PAGES = ROOT / "examples" / "notebooks", ROOT / "docs" / "cookbook"
MOST_BYTES = 200_000
"""Size of a notebook with its pictures: what a page loads in a second on a phone."""

_CELL = re.compile(r"^# %%( \[markdown\])?\n", re.MULTILINE)
_REPOSITORY = "examples/notebooks"


@dataclass(frozen=True)
class Cell:
    """A text or a piece of code.

    Attributes:
        is_code: True for code.
        text: its content, without the mark of its beginning.
    """

    is_code: bool
    text: str


def sources() -> list[Path]:
    """All sources, by name."""
    return sorted(SOURCES.glob("*.py"))


def read_cells(source: str) -> list[Cell]:
    """The cells of a source, in their order."""
    _, *parts = _CELL.split(source)
    cells = [Cell(mark is None, text.strip()) for mark, text in zip(parts[::2], parts[1::2])]
    return [cell if cell.is_code else Cell(False, _uncommented(cell.text)) for cell in cells]


def _uncommented(text: str) -> str:
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in text.splitlines())


def digest(source: str) -> str:
    """A digest by which a notebook tells the source that it was made of."""
    return hashlib.sha256(source.encode()).hexdigest()


def to_notebook(source: str) -> dict[str, Any]:
    """A notebook without outputs (nbformat 4.5)."""
    made = [_to_cell(index, cell) for index, cell in enumerate(read_cells(source))]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {
        "kernelspec": kernel,
        "language_info": {"name": "python"},
        "source_sha256": digest(source),
    }
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _to_cell(index: int, cell: Cell) -> dict[str, Any]:
    common = {"id": f"cell-{index}", "metadata": {}, "source": cell.text}
    if cell.is_code:
        return {**common, "cell_type": "code", "execution_count": None, "outputs": []}
    return {**common, "cell_type": "markdown"}


def to_json(notebook: dict[str, Any]) -> str:
    """A notebook as its file has it, a line for each value, so that changes can be read."""
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def title_of(notebook: dict[str, Any]) -> str:
    """The first heading."""
    first: str = notebook["cells"][0]["source"]
    return first.splitlines()[0].removeprefix("# ")


def summary_of(notebook: dict[str, Any]) -> str:
    """The first sentence below the heading."""
    first: str = notebook["cells"][0]["source"]
    text = " ".join(first.partition("\n![")[0].splitlines()[1:]).strip()
    return re.split(r"(?<=\.)\s", text, maxsplit=1)[0]


def to_page(name: str, notebook: dict[str, Any]) -> tuple[str, dict[str, bytes]]:
    """A notebook as Markdown, and its pictures by their names.

    The fences say `py3`, since tests/docs runs those that say `python`, and these were run.
    """
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            parts.append(cell["source"])
            continue
        parts.append(_fenced("py3", cell["source"]))
        for output in cell["outputs"]:
            parts.append(_to_markdown(name, output, pictures))
    by_script = any("ScriptedBackend" in cell["source"] for cell in notebook["cells"])
    who = "[embedded model](../guide/embedded.md)"
    told = (
        f"Run offline: what a script answers is said where it stands, all else is of the {who}."
        if by_script
        else f"Run offline, by the {who}: the outputs are real."
    )
    note = f"*{told} [Notebook]({name}.ipynb), made of `{_REPOSITORY}/{name}.py`.*"
    heading, *others = parts
    first, _, rest = heading.partition("\n")
    return "\n\n".join([first, rest.strip(), *others, note]) + "\n", pictures


def _to_markdown(name: str, output: dict[str, Any], pictures: dict[str, bytes]) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        file = f"{name}-{len(pictures) + 1}.png"
        pictures[file] = base64.b64decode(data["image/png"])
        return f"![Output of the cell above](images/{file})"
    if "text/html" in data:
        html = "\n".join(line for line in data["text/html"].splitlines() if line.strip())
        return f'<div class="cell-output">\n{html}\n</div>'
    text = (output.get("text") or data.get("text/plain") or "").rstrip()
    return _fenced("text", text)


def _fenced(language: str, text: str) -> str:
    """A block with fences that no line of its text closes; a model may write fences itself."""
    longest = max((len(found) for found in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def to_gallery(notebooks: dict[str, dict[str, Any]], groups: dict[str, list[str]]) -> str:
    """The page of all notebooks, each with a picture."""
    parts = [
        "# Cookbook",
        "Short notebooks, one for each task, run offline by the [embedded model]"
        "(../guide/embedded.md). With a larger checkpoint the code stays as it is: "
        '`VisionChat.from_pretrained("Qwen/Qwen3-VL-8B-Instruct")`. What the embedded model '
        "cannot do is played from a script, and the notebook says so. [Prompts](prompts.md) has "
        "all questions in English and in Chinese.",
    ]
    for group, names in groups.items():
        cards = [_to_card(name, notebooks[name]) for name in names]
        parts += [f"## {group}", f'<div class="gallery" markdown="1">\n\n{"".join(cards)}</div>']
    return "\n\n".join(parts) + "\n"


def _to_card(name: str, notebook: dict[str, Any]) -> str:
    title = title_of(notebook)
    face = _face(name, notebook)
    picture = f"[![{title}]({face})]({name}.md)\n\n" if face else ""
    words = f"**[{title}]({name}.md)**\n\n{summary_of(notebook)}"
    return f'<div class="card" markdown="1">\n{picture}{words}\n</div>\n\n'


def _face(name: str, notebook: dict[str, Any]) -> str:
    """The first picture that it makes, else the first that it shows."""
    text, pictures = to_page(name, notebook)
    shown = re.search(r"!\[[^]]*\]\((pictures/[^)]+)\)", text)
    return f"images/{next(iter(pictures))}" if pictures else shown[1] if shown else ""
