"""Documents as dicts of Qwen's guides and of OpenAI's API; `files` and `parts` read them."""

from __future__ import annotations

from typing import Any

from qwenvl_kit.errors import UnsupportedFeatureError
from qwenvl_kit.media.encoding import document_url
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.messages.document_parts import DocumentPart

DOCUMENT_KEYS = ("pages", "password", "dpi", "page_name")
"""The settings in a document's dict, in addition to source and budget; names of this package."""


def document_to_qwen(part: DocumentPart) -> dict[str, Any]:
    """The dict of a document, without its budget; settings with default values are left out."""
    defaults = DocumentPart(part.source)
    settings = {name: getattr(part, name) for name in DOCUMENT_KEYS}
    said = {n: v for n, v in settings.items() if v != getattr(defaults, n)}
    return {"type": "document", "document": part.source, **said}


def document_to_openai(part: DocumentPart, where: str, policy: MediaPolicy) -> dict[str, Any]:
    """The dict of a whole document, with its bytes inside.

    Raises:
        UnsupportedFeatureError: the document has settings, which the format does not have.
        MediaError: it cannot be read.
    """
    if part != DocumentPart(part.source):
        raise UnsupportedFeatureError(
            f"OpenAI's format cannot express the settings of {part!r}",
            hint="its pages as pictures, or use to_qwen",
            where=where,
        )
    file = {"filename": "document.pdf", "file_data": document_url(part.source, policy)}
    return {"type": "file", "file": file}
