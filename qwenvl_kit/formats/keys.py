"""The keys of a dict: known keys, keys without effect, and the error for all others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from qwenvl_kit.errors import MessageError
from qwenvl_kit.safe_text import plain
from qwenvl_kit.safe_text import shown as shown_text

OF_NO_EFFECT = frozenset(
    {
        *("annotations", "cache_control", "citations", "detail", "extras", "id", "index"),
        *("logprobs", "mediaType", "media_type", "metadata", "mimeType", "mime_type", "uuid"),
    }
)
"""Keys of a part that have no effect here: they control prices, caches and logs of servers, or
repeat information that the bytes contain."""

OF_NO_EFFECT_IN_MESSAGES = (
    *("annotations", "cache_control", "id", "metadata", "name", "partial", "prefix", "status"),
    *("timestamp", "tool_call_id", "uuid", "weight"),
)
"""The same for messages. `tool_call_id` and `name` tell to which call a result belongs;
`tool_results.py` sorts results by them, or by their order if they are missing. The last message of
an assistant is continued without `partial`, too."""

_ELSEWHERE = {
    **dict.fromkeys(("images", "videos"), '{"type": "image", "image": ...} among the content'),
    **dict.fromkeys(("max_num_frames", "max_frame_count"), "'max_frames'"),
    "video_fps": "'fps'",
    "do_sample_frames": "'timestamps_seconds' or 'sample_fps', of frames that are chosen already",
}
"""Names of other libraries, and their names or places here."""

_MAX_SHOWN = 60


def check_keys(
    item: Mapping[str, Any], *, required: tuple[str, ...], optional: tuple[str, ...]
) -> None:
    """Refuse a dict that lacks a key, or has one that would be ignored silently.

    Raises:
        MessageError: it names the key, and the known key that is most similar.
    """
    missing = [name for name in required if name not in item]
    if missing:
        raise MessageError(f"the key {missing[0]!r} is missing", expected=", ".join(required))
    known = (*required, *optional)
    # Clients write fields that they do not use as None or as an empty list.
    unknown = [name for name, value in item.items() if name not in known and is_set(value)]
    if unknown:
        raise MessageError(
            f"the key {shown(unknown[0])} was given",
            expected=", ".join(known),
            hint=nearest(str(unknown[0]), known),
        )


def is_set(value: Any) -> bool:
    """True if a field holds any value."""
    return value is not None and not (isinstance(value, (list, tuple, dict)) and not value)


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant, in quotes; empty if none is similar."""
    if name in _ELSEWHERE:
        return _ELSEWHERE[name]
    found = get_close_matches(name[:_MAX_SHOWN], known, n=1, cutoff=0.7)
    return f"{found[0]!r}" if found else ""


def shown(value: object) -> str:
    """A key or kind in short form, as it may hold anything."""
    text = shown_text(value) if isinstance(value, str) else plain(repr(value))
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN // 2]}..."
