"""The reader of pages that models write as JSON: a list of objects with box, category and text.

Qwen2.5-VL and later families write boxes as `bbox_2d`; models of documents that were made from them
write `bbox` (dots.ocr).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from qwenvl_kit.documents.blocks import MOST_LEVELS
from qwenvl_kit.documents.reading.formulas import without_marks
from qwenvl_kit.documents.reading.html_pages import read_html_blocks
from qwenvl_kit.documents.reading.kind_words import kind_of, level_of
from qwenvl_kit.documents.reading.latex_tables import BEGINS_TABLE, read_latex_table
from qwenvl_kit.documents.reading.markdown_tables import read_markdown_table
from qwenvl_kit.documents.reading.written import WrittenBlock, WrittenPage, inner_span
from qwenvl_kit.documents.tables import Table, text_of
from qwenvl_kit.structured_output.partial_json import PartialJson, Path

BOX_FIELD, KIND_FIELD, TEXT_FIELD = "bbox_2d", "category", "text"
"""The fields that are asked for."""

_BOXES = (BOX_FIELD, "bbox", "box")
_KINDS = (KIND_FIELD, "type", "label", "class")
_TEXTS = (TEXT_FIELD, "text_content", "content", "html", "latex", "markdown")


def read_json_page(text: str) -> WrittenPage:
    """Read a page from an answer in JSON, as far as it goes; never raises."""
    start, stop = inner_span(text, ("json", ""))
    opening = text.find("[", start, stop)
    brace = text.find("{", start, stop)
    at = min((found for found in (opening, brace) if found >= 0), default=-1)
    if at < 0:
        told = ("the answer holds no JSON",) if text[start:stop].strip() else ()
        return WrittenPage((), told)
    reader = _PageReader(PartialJson(text[at:stop]))
    blocks = tuple(block.moved(at) for block in reader.blocks())
    return WrittenPage(blocks, tuple(dict.fromkeys(reader.warnings)))


class _PageReader:
    """Reads the entries of a list, with the positions of their values."""

    def __init__(self, written: PartialJson) -> None:
        self._written = written
        self._places = {leaf.path: (leaf.start, leaf.stop) for leaf in written.leaves}
        self.warnings: list[str] = []

    def blocks(self) -> Iterator[WrittenBlock]:
        """Yield the block of each entry that has a text or a place."""
        if not self._written.is_whole:
            self.warnings.append("the answer ends inside its JSON")
        for path, entry in _entries(self._written.value):
            block = self._block(path, entry)
            if block is not None:
                yield block

    def _block(self, path: Path, entry: Mapping[str, Any]) -> WrittenBlock | None:
        kind_name = next((name for name in _KINDS if isinstance(entry.get(name), str)), None)
        text_name = next((name for name in _TEXTS if isinstance(entry.get(name), str)), None)
        box_name = next((name for name in _BOXES if name in entry), None)
        if not any(entry.get(name) for name in (text_name, box_name) if name):
            self.warnings.append("an entry without a text and a place")
            return None
        words = "" if kind_name is None else entry[kind_name]
        kind = kind_of(words)
        if kind is None:
            self.warnings.append(f"the category {words[:40]!r} is not known; it is given as text")
        numbers = None if box_name is None else self._numbers(entry[box_name])
        span = self._span(path, text_name) or self._span(path, kind_name) or (0, 0)
        numbers_at = self._box_span(path, box_name)
        text = entry[text_name].strip() if text_name else ""
        block = WrittenBlock(kind or "text", text, *span, numbers=numbers, numbers_at=numbers_at)
        return self._with_content(block, words)

    def _with_content(self, block: WrittenBlock, words: str) -> WrittenBlock:
        """A block whose text is read by its kind."""
        kind, text, level, table = block.kind, block.text, None, None
        if kind == "heading":
            marks = len(text) - len(text.lstrip("#"))
            text = text[marks:].strip()
            level = min(marks, MOST_LEVELS) or level_of(words)
        elif kind == "formula":
            text = without_marks(text)
        elif kind in ("table", "chart"):
            table, told = read_any_table(text)
            self.warnings += told
            if table is not None:
                text = text_of(table)
        return replace(block, text=text, level=level, table=table)

    def _numbers(self, found: Any) -> tuple[float, ...] | None:
        is_box = isinstance(found, list) and len(found) == 4
        if is_box and all(type(side) in (int, float) for side in found):
            return tuple(map(float, found))
        if found is not None:
            self.warnings.append("a box is no list of four numbers")
        return None

    def _span(self, path: Path, name: str | None) -> tuple[int, int] | None:
        return None if name is None else self._places.get((*path, name))

    def _box_span(self, path: Path, name: str | None) -> tuple[int, int]:
        if name is None:
            return 0, 0
        first, last = self._places.get((*path, name, 0)), self._places.get((*path, name, 3))
        return (first[0], last[1]) if first and last else (0, 0)


def _entries(value: Any) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The objects of a list, which may be the value of a field; an object is a list of one."""
    path: Path = ()
    if isinstance(value, dict):
        name = next((key for key, item in value.items() if _is_list_of_objects(item)), None)
        if name is None:
            yield (), value
            return
        path, value = (name,), value[name]
    for at, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, dict):
            yield (*path, at), item


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, dict) for item in value)


def read_any_table(text: str) -> tuple[Table | None, list[str]]:
    """Read a table in HTML, LaTeX or Markdown; None if the text is none of them."""
    if BEGINS_TABLE.search(text):
        return read_latex_table(text)
    if "<t" in text.lower():
        page = read_html_blocks(text, 0, len(text))
        found = next((block.table for block in page.blocks if block.table is not None), None)
        return found, list(page.warnings)
    if "|" in text:
        return read_markdown_table([line for line in text.splitlines() if line.strip()])
    return None, []
