"""Documents as passages: a text with its metadata each, as RAG libraries take them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from qwenvl_kit.documents.blocks import Block
from qwenvl_kit.documents.writing.markdown import markdown_of


def to_passages(blocks: Sequence[Block], name: str) -> list[dict[str, Any]]:
    """Return blocks as dicts with `page_content` and `metadata`, one for each block but headings.

    `langchain_core.documents.Document(**passage)` takes one as it is; a `TextNode` of LlamaIndex
    takes `text=passage["page_content"], metadata=passage["metadata"]`. The metadata have `source`,
    `page`, `kind`, `headings` (those above it, from the highest level), `bbox` in pixels and
    `confidence`; what is not known is left out.
    """
    return list(_passages(blocks, name))


def _passages(blocks: Sequence[Block], name: str) -> Iterator[dict[str, Any]]:
    above: list[Block] = []
    for block in blocks:
        if block.kind == "heading":
            level = block.level or 1
            above = [*(head for head in above if (head.level or 1) < level), block]
            continue
        text = block.text if block.kind in ("image", "formula", "code") else markdown_of(block)
        if text.strip():
            yield {"page_content": text, "metadata": dict(_metadata(block, above, name))}


def _metadata(block: Block, above: Sequence[Block], name: str) -> Iterator[tuple[str, Any]]:
    if name:
        yield "source", name
    yield "page", block.page
    yield "kind", block.kind
    if above:
        yield "headings", [head.text for head in above]
    if block.box is not None:
        box = block.box
        yield "bbox", [box.x1_px, box.y1_px, box.x2_px, box.y2_px]
    if block.confidence is not None:
        yield "confidence", block.confidence
