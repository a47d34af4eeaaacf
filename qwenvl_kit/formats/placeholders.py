"""Placeholders: dicts for pictures and videos that have no source, such as `{"type": "image"}`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qwenvl_kit.errors import MessageError, located
from qwenvl_kit.formats.parts import settings_of
from qwenvl_kit.formats.sources import given_sources
from qwenvl_kit.messages.message import ImagePart, VideoPart

_PARTS = {"image": ImagePart, "video": VideoPart}


def fill_placeholders(messages: Iterable[Any], media: Sequence[Any]) -> list[Any]:
    """Return the messages with pictures and videos in their placeholders, in order.

    Args:
        messages: dicts, and `Message` objects among them, which hold no placeholders.
        media: the pictures and videos, each a part or a source.

    Raises:
        MessageError: there are more or fewer placeholders than media, or a video is given for the
            placeholder of a picture.
    """
    given = list(messages)
    places = [
        (at, index)
        for at, message in enumerate(given)
        for index, item in enumerate(_content_of(message))
        if _is_placeholder(item)
    ]
    if not places:
        raise MessageError(
            "pictures were given together with a conversation",
            expected="pictures inside its messages",
            hint='ImagePart(...) there, or {"type": "image"} for each in message dicts',
        )
    if len(places) != len(media):
        raise MessageError(
            f"{len(media)} pictures and videos were given for {len(places)} placeholders",
            expected="as many as there are placeholders",
        )
    filled = [dict(m, content=list(_content_of(m))) if _content_of(m) else m for m in given]
    for (at, index), item in zip(places, media):
        with located(f"messages[{at}].content[{index}]"):
            filled[at]["content"][index] = _fill(filled[at]["content"][index], item)
    return filled


def _fill(place: Mapping[str, Any], item: Any) -> Any:
    kind = place["type"]
    if not isinstance(item, (ImagePart, VideoPart)):
        return {**place, kind: item}
    if not isinstance(item, _PARTS[kind]):
        raise MessageError(
            f"{item!r} was given for a place of type {kind!r}",
            expected=f"a source or {_PARTS[kind].__name__}",
        )
    if settings := settings_of(place):
        raise MessageError(
            f"{settings[0]} was given together with {item!r}",
            expected="settings either in the dict or in the part",
        )
    return item


def _content_of(message: Any) -> Sequence[Any]:
    """The dicts of a message; none if it is a text or a `Message`."""
    content = message.get("content") if isinstance(message, Mapping) else None
    return content if isinstance(content, (list, tuple)) else ()


def _is_placeholder(item: Any) -> bool:
    kind = item.get("type") if isinstance(item, Mapping) else None
    return isinstance(kind, str) and kind in _PARTS and not given_sources(item, kind)
