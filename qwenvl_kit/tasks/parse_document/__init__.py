"""Documents of any length, parsed page by page into blocks."""

from qwenvl_kit.tasks.parse_document.parser import parse_document, parse_pages

__all__ = ["parse_document", "parse_pages"]
