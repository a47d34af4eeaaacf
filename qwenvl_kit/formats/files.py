"""Files: pictures, films or documents, depending on their media type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qwenvl_kit.errors import MessageError
from qwenvl_kit.formats.keys import OF_NO_EFFECT, check_keys, shown
from qwenvl_kit.formats.sources import as_source, find_source, read_base64, read_url
from qwenvl_kit.messages.document_parts import DocumentPart
from qwenvl_kit.messages.message import ImagePart, Part, TextPart, VideoPart

_EXPECTED = '{"type": "file", "file": {"file_data": "data:application/pdf;base64,..."}}'
_KEYS = ("type", "source_type", "filename", "file_data", "file_url", "file_id", "name", "title")
_SOURCES = ("url", "path", "base64", "data", "source")
_MIME_KEYS = ("mime_type", "media_type", "mimeType", "mediaType")


def parse_file(item: Mapping[str, Any]) -> Part:
    """Return a part from a file of OpenAI's APIs, of LangChain or of others.

    A file without media type is a document, whose kind is detected from its bytes.

    Raises:
        MessageError: the file is on another server, or is of a kind that cannot be shown.
    """
    given = _flat(item)
    if given.get("source_type") == "text":  # a file of LangChain that holds text
        return TextPart(given.get("text"))  # type: ignore[arg-type]
    check_keys(given, required=(), optional=(*_KEYS, *_SOURCES, *OF_NO_EFFECT))
    source = _source_of(given)
    kind = _mime_of(given, source).partition("/")[0].lower()
    if kind == "image":
        return ImagePart(source)
    if kind == "video":
        return VideoPart(source)
    if kind in ("audio", "text"):
        raise MessageError(
            f"a file of type {shown(_mime_of(given, source))} was given",
            expected="a picture, a film or a PDF",
            hint="give its text as a part of type text" if kind == "text" else "",
        )
    return DocumentPart(source)


def _flat(item: Mapping[str, Any]) -> dict[str, Any]:
    """The dict, with the fields that OpenAI's chat API keeps under `file` at the top."""
    file = item.get("file")
    if file is not None and not isinstance(file, Mapping):
        raise MessageError(f"a file of type {type(file).__name__} was given", expected=_EXPECTED)
    return {**{name: item[name] for name in item if name != "file"}, **(file or {})}


def _source_of(given: Mapping[str, Any]) -> Any:
    if given.get("file_data") is not None:
        return read_base64(given["file_data"])
    if given.get("file_url") is not None:
        return read_url(given["file_url"])
    if given.get("file_id") is None and not any(given.get(name) is not None for name in _SOURCES):
        raise MessageError("a file without its data was given", expected=_EXPECTED)
    return as_source(find_source(given, "document"))


def _mime_of(given: Mapping[str, Any], source: Any) -> str:
    """The media type that a file states; empty if none."""
    said = next((given[name] for name in _MIME_KEYS if given.get(name) is not None), "")
    if not said and isinstance(source, str) and source[:5].lower() == "data:":
        said = source[5:100].partition(";")[0]
    return str(said)
