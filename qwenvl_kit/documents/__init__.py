"""Documents as values: pages of blocks, what models write of them, and the forms to pass them on.

Example:
    from qwenvl_kit.documents import Document

    document = Document.from_json(text)
    for block in document.blocks:
        print(block.page, block.kind, block.text, block.box)
"""

from qwenvl_kit.documents.blocks import BLOCK_KINDS, Block, BlockKind
from qwenvl_kit.documents.document import Document
from qwenvl_kit.documents.pages import Page
from qwenvl_kit.documents.tables import MergedCell, Table

__all__ = ["BLOCK_KINDS", "Block", "BlockKind", "Document", "MergedCell", "Page", "Table"]
