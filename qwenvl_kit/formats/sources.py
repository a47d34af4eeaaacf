"""The source of a picture, video or document in a dict, under the keys of many libraries."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any

from qwenvl_kit.errors import MessageError
from qwenvl_kit.formats.keys import check_keys, shown

_IN_MEMORY = '{"type": "image", "image": ...} for pictures in memory'


def source_keys(kind: str) -> tuple[str, ...]:
    """The keys that may hold the source of an "image", a "video" or a "document"."""
    return (kind, f"{kind}_url", *_COMMON, *(["image_pil"] if kind == "image" else []))


def find_source(item: Mapping[str, Any], kind: str) -> Any:
    """The source of a picture, video or document.

    Args:
        item: its dict.
        kind: "image", "video" or "document".

    Raises:
        MessageError: there is no source, there are two, or it has another form.
    """
    given = given_sources(item, kind)
    if item.get("file_id") is not None or item.get("source_type") == "id":
        raise MessageError(
            "a file_id was given, which names a file on another server",
            expected="the picture itself: a path, URL, data URL or bytes",
        )
    if not given:
        raise MessageError(
            f"the key {kind!r} is missing",
            expected=f"one of {', '.join(source_keys(kind))}",
            hint=f"chat.ask(messages, {kind}) fills the placeholders of messages",
        )
    if len(given) > 1:
        raise MessageError(f"{given[0]} and {given[1]} were given", expected="one of them")
    return _READERS.get(given[0], as_source)(item[given[0]])


def given_sources(item: Mapping[str, Any], kind: str) -> list[str]:
    """The keys of a dict that hold a source."""
    return [name for name in source_keys(kind) if item.get(name) is not None]


def as_source(value: Any) -> Any:
    """The source in a form that `ImagePart` takes; values that are no dict are returned unchanged.

    Dicts of `datasets` hold the bytes of a file, or its path if it is on this machine.

    Raises:
        MessageError: a dict has another form.
    """
    if isinstance(value, (list, tuple)):
        return type(value)(map(as_source, value)) if any(map(_is_dict, value)) else value
    if not isinstance(value, Mapping):
        return value
    if value.keys() <= {"bytes", "path"}:
        found = value.get("path") if value.get("bytes") is None else value["bytes"]
        if found is not None:
            return found
    if "url" in value:
        return read_url(value)
    if isinstance(value.get("source"), Mapping):  # Amazon's Converse API adds a format
        return as_source(value["source"])
    raise MessageError(
        f"a source with the keys {shown(sorted(map(str, value)))} was given",
        expected='{"bytes": ...}, {"path": ...} or {"url": ...}',
    )


def read_url(value: Any) -> str:
    """A URL, or the URL in a dict of OpenAI's API.

    Raises:
        MessageError: it has another form.
    """
    if isinstance(value, Mapping):
        # `detail` sets the price of OpenAI's own models; here the budget decides.
        check_keys(value, required=("url",), optional=("detail", "uuid", "format"))
        value = value["url"]
    if not isinstance(value, str):
        raise MessageError(
            f"a URL of type {type(value).__name__} was given", expected="a string", hint=_IN_MEMORY
        )
    return value


def read_base64(value: Any) -> bytes | str:
    """The bytes of a base64 text; a data URL is returned unchanged.

    Raises:
        MessageError: it is neither.
    """
    if not isinstance(value, str):
        raise MessageError(
            f"base64 of type {type(value).__name__} was given", expected="text", hint=_IN_MEMORY
        )
    if value[:5].lower() == "data:":
        return value
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise MessageError(
            f"a text of {len(value)} characters is no base64 ({error})",
            expected="the bytes of a file in base64",
        ) from None  # the cause holds the text


def _read_block(value: Any) -> Any:
    """The `source` of Anthropic's API, which states its own type."""
    if not isinstance(value, Mapping):
        raise MessageError(
            f"a source of type {type(value).__name__} was given",
            expected='{"type": "base64" or "url", ...}',
        )
    kind, data = value.get("type"), value.get("data")
    if kind == "file" or value.get("file_id") is not None:
        return find_source({"file_id": value.get("file_id", "")}, "image")
    if data is None:
        check_keys(value, required=("url",), optional=("type", "media_type"))
        return read_url(value["url"])
    check_keys(value, required=("data",), optional=("type", "media_type"))
    if kind not in (None, "base64") or not isinstance(data, str):
        raise MessageError(
            f"a source of type {shown(kind)} was given",
            expected='{"type": "base64" or "url", ...}',
        )
    is_whole = data[:5].lower() == "data:"
    return data if is_whole else f"data:{value.get('media_type') or ''};base64,{data}"


def _is_dict(value: Any) -> bool:
    return isinstance(value, Mapping)


_COMMON = ("url", "path", "base64", "source", "data")
_READERS: Mapping[str, Callable[[Any], Any]] = {
    "image_url": read_url,
    "video_url": read_url,
    "url": read_url,
    "base64": read_base64,
    "data": read_base64,
    "source": _read_block,
}
"""The readers by key: transformers writes `url`, `path` and `base64`, Anthropic `source`, LangChain
`data`."""
