"""Documents in the form of docling (`DoclingDocument` of docling-core), which others read."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Mapping, Sequence
from typing import Any

from qwenvl_kit.documents.blocks import Block, BlockKind
from qwenvl_kit.documents.pages import Page
from qwenvl_kit.documents.tables import Table

SCHEMA_VERSION = "1.3.0"
"""The version of the form that is written; docling-core 2.23 and later reads it."""

_LABELS: Mapping[BlockKind, str] = {
    "heading": "section_header",
    "text": "text",
    "list": "list_item",
    "table": "table",
    "image": "picture",
    "chart": "chart",
    "formula": "formula",
    "code": "code",
    "caption": "caption",
    "header": "page_header",
    "footer": "page_footer",
    "page_number": "page_footer",
}
"""The labels of docling (`DocItemLabel`) by kind."""


def to_docling(pages: Sequence[Page], blocks: Sequence[Block], name: str) -> dict[str, Any]:
    """Return a document as `DoclingDocument.export_to_dict()` of docling-core would.

    Boxes are in pixels, from the upper left corner; pages that could not be opened are left out.

    Args:
        pages: the pages.
        blocks: the blocks, joined, and headers and footers.
        name: the name of the document.
    """
    writer = _Writer()
    for block in blocks:
        writer.add(block)
    return {
        "schema_name": "DoclingDocument",
        "version": SCHEMA_VERSION,
        "name": name or "document",
        "origin": _origin(name),
        "furniture": _root("furniture", writer.furniture),
        "body": _root("body", writer.body),
        "groups": writer.groups,
        "texts": writer.texts,
        "pictures": writer.pictures,
        "tables": writer.tables,
        "key_value_items": [],
        "form_items": [],
        "pages": {
            str(page.number): {
                "size": {"width": page.size.width_px, "height": page.size.height_px},
                "page_no": page.number,
            }
            for page in pages
            if page.size is not None
        },
    }


def _origin(name: str) -> dict[str, Any] | None:
    if not name:
        return None
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).digest()
    kind = mimetypes.guess_type(name)[0] or "application/pdf"
    return {"mimetype": kind, "binary_hash": int.from_bytes(digest[:8], "big"), "filename": name}


def _root(name: str, children: list[str]) -> dict[str, Any]:
    return {
        "self_ref": f"#/{name}",
        "children": [{"$ref": child} for child in children],
        "content_layer": name,
        "name": "_root_",
        "label": "unspecified",
    }


class _Writer:
    """Collects items, and the references to them in reading order."""

    def __init__(self) -> None:
        self.texts: list[dict[str, Any]] = []
        self.tables: list[dict[str, Any]] = []
        self.pictures: list[dict[str, Any]] = []
        self.groups: list[dict[str, Any]] = []
        self.body: list[str] = []
        self.furniture: list[str] = []

    def add(self, block: Block) -> None:
        """Add one block."""
        if block.kind == "list":
            self._add_list(block)
        elif block.kind == "table" and block.table is not None:
            item = {"data": table_data(block.table), **_rest(), "annotations": []}
            self._put("tables", self.tables, block, item)
        elif block.kind in ("image", "chart"):
            self._add_picture(block)
        else:
            self._put("texts", self.texts, block, self._text(block, block.text))

    def _text(self, block: Block, text: str) -> dict[str, Any]:
        more: dict[str, Any] = {"orig": text, "text": text}
        if block.kind == "heading":
            more["level"] = block.level or 1
        elif block.kind == "code":
            more |= {**_rest(), "code_language": "unknown"}
        return more

    def _put(
        self, name: str, items: list[dict[str, Any]], block: Block, more: Mapping[str, Any]
    ) -> str:
        """Add an item at the end of its list and of the body; return its reference."""
        ref = f"#/{name}/{len(items)}"
        layer = "furniture" if block.is_on_margin else "body"
        label = "text" if block.kind == "table" and name == "texts" else _LABELS[block.kind]
        text_length = len(str(more.get("text", "")))
        items.append(
            {
                "self_ref": ref,
                "parent": {"$ref": f"#/{layer}"},
                "children": [],
                "content_layer": layer,
                "label": label,
                "prov": [_place(part, text_length) for part in block.parts or (block,) if part.box],
                **more,
            }
        )
        (self.furniture if block.is_on_margin else self.body).append(ref)
        return ref

    def _add_list(self, block: Block) -> None:
        ref = f"#/groups/{len(self.groups)}"
        group: dict[str, Any] = {
            "self_ref": ref,
            "parent": {"$ref": "#/body"},
            "children": [],
            "content_layer": "body",
            "name": "list",
            "label": "list",
        }
        self.groups.append(group)
        self.body.append(ref)
        for line in block.text.split("\n"):
            mark, _, text = line.strip().partition(" ")
            is_numbered = mark[:1].isdigit()
            more = {"orig": line.strip(), "text": text or mark, "enumerated": is_numbered}
            child = self._put("texts", self.texts, block, {**more, "marker": mark if text else "-"})
            self.body.pop()
            self.texts[-1]["parent"] = {"$ref": ref}
            group["children"].append({"$ref": child})

    def _add_picture(self, block: Block) -> None:
        ref = self._put("pictures", self.pictures, block, {**_rest(), "annotations": []})
        item = self.pictures[-1]
        if block.table is not None:
            data = {
                "kind": "tabular_chart_data",
                "title": "",
                "chart_data": table_data(block.table),
            }
            item["annotations"].append(data)
        elif block.text:
            told = {"kind": "description", "text": block.text, "provenance": "qwenvl_kit"}
            item["annotations"].append(told)
        item["self_ref"] = ref


def _rest() -> dict[str, Any]:
    return {"captions": [], "references": [], "footnotes": []}


def _place(block: Block, length: int) -> dict[str, Any]:
    box = block.box
    sides = (0.0,) * 4 if box is None else (box.x1_px, box.y1_px, box.x2_px, box.y2_px)
    left, top, right, bottom = sides
    return {
        "page_no": block.page,
        "bbox": {"l": left, "t": top, "r": right, "b": bottom, "coord_origin": "TOPLEFT"},
        "charspan": [0, length],
    }


def table_data(table: Table) -> dict[str, Any]:
    """Return the cells of a table as docling has them (`TableData`)."""
    merged = {(cell.row, cell.column): cell for cell in table.merged}
    covered = {place for cell in table.merged for place in cell.places()} - set(merged)
    cells = []
    for at, row in enumerate(table.rows):
        for column, text in enumerate(row):
            if (at, column) in covered:
                continue
            cell = merged.get((at, column))
            high, wide = (cell.num_rows, cell.num_columns) if cell else (1, 1)
            cells.append(
                {
                    "row_span": high,
                    "col_span": wide,
                    "start_row_offset_idx": at,
                    "end_row_offset_idx": at + high,
                    "start_col_offset_idx": column,
                    "end_col_offset_idx": column + wide,
                    "text": text,
                    "column_header": at < table.header_rows,
                    "row_header": False,
                    "row_section": False,
                }
            )
    return {"table_cells": cells, "num_rows": len(table.rows), "num_cols": table.num_columns}
