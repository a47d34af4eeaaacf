"""Documents from and to the dicts of Qwen's guides, of OpenAI's and of Anthropic's API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qwenvl_kit.document_parts import DocumentPart
from qwenvl_kit.errors import MessageError, UnsupportedFeatureError
from qwenvl_kit.formats.keys import OF_NO_EFFECT, check_keys, shown
from qwenvl_kit.media.encoding import document_url
from qwenvl_kit.options import PixelBudget

DOCUMENT_KEYS = ("pages", "password", "dpi", "page_name")
"""What a document's dict may say beside its source and budget, under this package's names."""


def parse_document(item: Mapping[str, Any], budget: PixelBudget | None) -> DocumentPart:
    """A document from `{"type": "document", "document": ...}`, whose keys are known.

    Raises:
        MessageError: a setting that cannot be meant.
    """
    given = {name: item[name] for name in DOCUMENT_KEYS if item.get(name) is not None}
    source = item["document"] if item.get("source") is None else _source(item["source"])
    return DocumentPart(source, **given, budget=budget)


def parse_file(file: Any) -> DocumentPart:
    """A document from the `file` of OpenAI's dialect, or from an `input_file` of its Responses.

    Raises:
        MessageError: it holds no data, or a key that would be lost.
    """
    given = file if isinstance(file, Mapping) else {}
    optional = ("type", "file_data", "file_url", "filename", "file_id", *OF_NO_EFFECT)
    check_keys(given, required=(), optional=optional)
    data = given.get("file_data") or given.get("file_url")
    if not isinstance(data, str):
        raise MessageError(
            "a file without its data was given",
            expected='{"type": "file", "file": {"file_data": "data:application/pdf;base64,..."}}',
        )
    return DocumentPart(data)


def document_to_qwen(part: DocumentPart) -> dict[str, Any]:
    """The dict of a document, without its budget; what is as it is by default is None."""
    defaults = DocumentPart(part.source)
    settings = {name: getattr(part, name) for name in DOCUMENT_KEYS}
    said = {n: v for n, v in settings.items() if v != getattr(defaults, n)}
    return {"type": "document", "document": part.source, **said}


def document_to_openai(part: DocumentPart, where: str) -> dict[str, Any]:
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
    file = {"filename": "document.pdf", "file_data": document_url(part.source)}
    return {"type": "file", "file": file}


def _source(given: Any) -> Any:
    """What Anthropic's API calls a source: data with its type, or a URL."""
    kind = given.get("type") if isinstance(given, Mapping) else None
    if kind == "url":
        return given.get("url")
    if kind == "base64":
        return f"data:{given.get('media_type')};base64,{given.get('data')}"
    raise MessageError(
        f"a source of type {shown(kind)} was given", expected='{"type": "base64" or "url", ...}'
    )
