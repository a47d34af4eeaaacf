"""Documents to the dicts of Qwen's guides and of OpenAI's API; `files` and `parts` read them."""

from __future__ import annotations

from typing import Any

from qwenvl_kit.errors import UnsupportedFeatureError
from qwenvl_kit.media.encoding import document_url
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.messages.document_parts import DocumentPart

DOCUMENT_KEYS = ("pages", "password", "dpi", "page_name")
"""What a document's dict may say beside its source and budget, under this package's names."""


def document_to_qwen(part: DocumentPart) -> dict[str, Any]:
    """The dict of a document, without its budget; what is as it is by default is None."""
    defaults = DocumentPart(part.source)
    settings = {name: getattr(part, name) for name in DOCUMENT_KEYS}
    said = {n: v for n, v in settings.items() if v != getattr(defaults, n)}
    return {"type": "document", "document": part.source, **said}


def document_to_openai(part: DocumentPart, where: str, policy: MediaPolicy) -> dict[str, Any]:
    """The dict of a whole document, with all of it inside.

    Raises:
        UnsupportedFeatureError: it has settings, for which that dialect has no word.
        MediaError: it cannot be read.
    """
    if part != DocumentPart(part.source):
        raise UnsupportedFeatureError(
            f"OpenAI's dialect has no word for the settings of {part!r}",
            hint="its pages as pictures, or use to_qwen",
            where=where,
        )
    file = {"filename": "document.pdf", "file_data": document_url(part.source, policy)}
    return {"type": "file", "file": file}
