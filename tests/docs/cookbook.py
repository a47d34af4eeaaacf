"""Runs the notebooks of the cookbook: `python -m tests.docs.cookbook [NAME ...]`.

Those whose source has changed are run, or those that are named; `--all` runs all of them. Their
pages and the gallery are written anew in any case.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.docs.notebooks import (
    PAGES,
    ROOT,
    digest,
    sources,
    title_of,
    to_gallery,
    to_json,
    to_notebook,
    to_page,
)

GROUPS = {
    "Start": ["loading", "asking", "budgets", "sampling"],
    "Tasks on pictures": [
        *("describe", "locate", "recognize", "locate_3d", "zooming", "classify", "extract"),
        *("evidence", "read_text", "tables", "compare", "translate", "writing"),
        "to_code",
    ],
    "Documents, film and screens": [
        *("documents", "parse_document", "long_documents", "video", "long_video", "events"),
        *("streams", "screen", "mobile"),
    ],
    "Trust": ["confidence", "judge"],
    "Many, tools and training": ["batches", "tools", "fine_tune", "evaluation"],
}
"""The notebooks in the order of the gallery."""


def main(arguments: list[str]) -> None:
    """Run what has changed, and write all pages."""
    draw_pictures(PAGES / "pictures")
    for source in sources():
        if "--all" in arguments or source.stem in arguments or not _is_current(source):
            print(source.stem, flush=True)
            _written(source).write_text(to_json(_run(source)), encoding="utf-8")
    write_pages()


def _written(source: Path) -> Path:
    return PAGES / f"{source.stem}.ipynb"


def _is_current(source: Path) -> bool:
    if not _written(source).exists():
        return False
    made_of = json.loads(_written(source).read_text(encoding="utf-8"))["metadata"]
    return bool(made_of["source_sha256"] == digest(source.read_text(encoding="utf-8")))


def _run(source: Path) -> dict[str, Any]:
    """The notebook with its outputs; what it writes is removed."""
    import nbformat
    from nbclient import NotebookClient

    before = set(PAGES.iterdir())
    notebook = nbformat.from_dict(to_notebook(source.read_text(encoding="utf-8")))
    client = NotebookClient(
        notebook, timeout=600, coalesce_streams=True, resources={"metadata": {"path": str(PAGES)}}
    )
    try:
        return _plain(client.execute())
    finally:
        for made in set(PAGES.iterdir()) - before:
            shutil.rmtree(made) if made.is_dir() else made.unlink()


def _plain(notebook: Any) -> dict[str, Any]:
    """Without what differs from run to run: times, progress, and the version of Python."""
    plain: dict[str, Any] = json.loads(json.dumps(notebook))
    plain["metadata"]["language_info"] = {"name": "python"}
    for cell in plain["cells"]:
        cell["metadata"] = {}
        if cell["cell_type"] == "code":
            cell["outputs"] = [one for one in cell["outputs"] if one.get("name") != "stderr"]
    return plain


def write_pages() -> None:
    """Write each page with its pictures, and the gallery."""
    notebooks = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in PAGES.glob("*.ipynb")
    }
    shutil.rmtree(PAGES / "images", ignore_errors=True)
    (PAGES / "images").mkdir()
    for name, notebook in notebooks.items():
        text, pictures = to_page(name, notebook)
        (PAGES / f"{name}.md").write_text(text, encoding="utf-8")
        for file, content in pictures.items():
            (PAGES / "images" / file).write_bytes(content)
    groups = {
        group: [name for name in names if name in notebooks] for group, names in GROUPS.items()
    }
    (PAGES / "index.md").write_text(to_gallery(notebooks, groups), encoding="utf-8")
    for group, names in groups.items():
        print(f"{group}: {', '.join(title_of(notebooks[name]) for name in names)}")


def draw_pictures(folder: Path) -> None:
    """Copy the pictures of the examples, and make a film and a document of two pages."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    examples = ROOT / "examples" / "pictures"
    for picture in sorted(examples.glob("*.png")):
        shutil.copyfile(picture, folder / picture.name)
    if not (folder / "report.pdf").exists():
        first, second = (Image.open(examples / f"{name}.png") for name in ("receipt", "menu"))
        first.convert("RGB").save(
            folder / "report.pdf", save_all=True, append_images=[second.convert("RGB")]
        )
    if not (folder / "film.mp4").exists():
        draw_film(folder / "film.mp4")


def draw_film(path: Path) -> None:
    """Draw a film of half a minute: a red circle goes right, down and left, ten seconds each."""
    import av
    from PIL import Image, ImageDraw

    legs = [(4, 0), (0, 4), (-4, 0)]
    x = y = 40
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=2)
        stream.width = stream.height = 160
        stream.pix_fmt = "yuv420p"
        for index in range(60):
            picture = Image.new("RGB", (160, 160), "white")
            ImageDraw.Draw(picture).ellipse((x - 24, y - 24, x + 24, y + 24), fill=(200, 30, 30))
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
            x, y = x + legs[index // 20][0], y + legs[index // 20][1]
        container.mux(stream.encode())


if __name__ == "__main__":
    main(sys.argv[1:])
