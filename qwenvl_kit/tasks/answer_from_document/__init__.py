"""Questions about long documents, of which a few pages are found and shown."""

from qwenvl_kit.tasks.answer_from_document.answering import answer_from_document
from qwenvl_kit.tasks.answer_from_document.captions import caption_pages
from qwenvl_kit.tasks.answer_from_document.cited import CitedAnswer
from qwenvl_kit.tasks.answer_from_document.index import DocumentIndex, RankedPage

__all__ = ["CitedAnswer", "DocumentIndex", "RankedPage", "answer_from_document", "caption_pages"]
