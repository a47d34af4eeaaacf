"""Documents as JSON, and back; the form is checked when it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from qwenvl_kit import errors
from qwenvl_kit.documents.blocks import Block, BlockKind
from qwenvl_kit.documents.pages import Page
from qwenvl_kit.documents.tables import MergedCell, Table
from qwenvl_kit.errors import InputError, QwenVLKitError
from qwenvl_kit.geometry import Size
from qwenvl_kit.grounding.boxes import Attributes, Box

MARK = "qwenvl_kit_document"
VERSION = 1


def pages_to_json(pages: tuple[Page, ...], name: str) -> str:
    """Return pages as JSON; replies are left out."""
    value = {MARK: VERSION, "name": name, "pages": [_page(page) for page in pages]}
    return json.dumps(value, ensure_ascii=False)


def _page(page: Page) -> dict[str, Any]:
    error = page.error
    return {
        "number": page.number,
        "width_px": None if page.size is None else page.size.width_px,
        "height_px": None if page.size is None else page.size.height_px,
        "turned_degrees": page.turned_degrees,
        "warnings": list(page.warnings),
        "error": None if error is None else {"type": type(error).__name__, "text": str(error)},
        "blocks": [_block(block) for block in page.blocks],
    }


def _block(block: Block) -> dict[str, Any]:
    return {
        "kind": block.kind,
        "text": block.text,
        "level": block.level,
        "confidence": block.confidence,
        "box": None if block.box is None else _box(block.box),
        "table": None if block.table is None else asdict(block.table),
    }


def _box(box: Box) -> dict[str, Any]:
    return {
        "label": box.label,
        "x1_px": box.x1_px,
        "y1_px": box.y1_px,
        "x2_px": box.x2_px,
        "y2_px": box.y2_px,
        "confidence": box.confidence,
        "attributes": dict(box.attributes),
    }


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _BoxForm(_Form):
    label: str
    x1_px: float
    y1_px: float
    x2_px: float
    y2_px: float
    confidence: float | None
    attributes: dict[str, str]


class _MergedForm(_Form):
    row: int
    column: int
    num_rows: int
    num_columns: int


class _TableForm(_Form):
    rows: list[list[str]]
    header_rows: int
    merged: list[_MergedForm]


class _BlockForm(_Form):
    kind: BlockKind
    text: str
    level: int | None
    confidence: float | None
    box: _BoxForm | None
    table: _TableForm | None


class _ErrorForm(_Form):
    type: str
    text: str


class _PageForm(_Form):
    number: int
    width_px: int | None
    height_px: int | None
    turned_degrees: int
    warnings: list[str]
    error: _ErrorForm | None
    blocks: list[_BlockForm]


class _DocumentForm(_Form):
    name: str
    pages: list[_PageForm]


def pages_from_json(text: str | bytes) -> tuple[tuple[Page, ...], str]:
    """Return the pages and the name of a document from JSON that `pages_to_json` wrote.

    Raises:
        InputError: it is something else.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refused(f"it is no JSON ({error})") from error
    if not isinstance(value, Mapping) or value.get(MARK) != VERSION:
        raise _refused(f"it has no {MARK!r} of {VERSION}")
    try:
        form = _DocumentForm.model_validate({key: value[key] for key in value if key != MARK})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise _refused(f"{place}: {first['msg']}") from error
    return tuple(_read_page(page) for page in form.pages), form.name


def _refused(problem: str) -> InputError:
    return InputError(
        f"the document cannot be read: {problem}", expected="what Document.to_json() returned"
    )


def _read_page(form: _PageForm) -> Page:
    size = None
    if form.width_px is not None and form.height_px is not None:
        size = Size(height_px=form.height_px, width_px=form.width_px)
    return Page(
        form.number,
        size,
        tuple(_read_block(block, form.number) for block in form.blocks),
        tuple(form.warnings),
        error=None if form.error is None else _read_error(form.error),
        turned_degrees=form.turned_degrees,
    )


def _read_error(form: _ErrorForm) -> QwenVLKitError:
    found = getattr(errors, form.type, None)
    if isinstance(found, type) and issubclass(found, QwenVLKitError):
        return found(form.text)
    return QwenVLKitError(form.text)


def _read_block(form: _BlockForm, page: int) -> Block:
    table = None
    if form.table is not None:
        rows = tuple(tuple(row) for row in form.table.rows)
        merged = tuple(MergedCell(**cell.model_dump()) for cell in form.table.merged)
        table = Table(rows, form.table.header_rows, merged)
    box = None
    if form.box is not None:
        sides = form.box.model_dump()
        box = Box(**{**sides, "attributes": Attributes(form.box.attributes)})
    return Block(form.kind, form.text, box, form.confidence, form.level, table, page)
