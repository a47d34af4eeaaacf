"""Subtitles of films in the dicts of Qwen's guides, which have no keys for them of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from qwenvl_kit.errors import BudgetError, MessageError, located
from qwenvl_kit.formats.keys import check_keys
from qwenvl_kit.formats.numbers import read_count
from qwenvl_kit.messages.subtitles import Subtitle

SUBTITLE_KEYS = ("subtitles", "max_subtitle_tokens")
_FIELDS = ("start_seconds", "end_seconds", "text")


def parse_subtitles(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the subtitles of a film's dict, as arguments of a `VideoPart`.

    Args:
        item: the dict; its `subtitles` are a path, "auto", or a list of lines, each a `Subtitle`
            or a dict with `start_seconds`, `end_seconds` and `text`.

    Raises:
        MessageError: a line has another form.
        BudgetError: `max_subtitle_tokens` is no count.
        VideoTimingError: the times of a line are not valid.
    """
    given = item.get("subtitles")
    if isinstance(given, (list, tuple)):
        given = tuple(_line(line, index) for index, line in enumerate(given))
    most = read_count("max_subtitle_tokens", item.get("max_subtitle_tokens"), BudgetError)
    return {"subtitles": given, "max_subtitle_tokens": most}


def subtitles_to_qwen(given: Any) -> Any:
    """Return subtitles as a dict holds them: lines as dicts, a file as it is."""
    return [asdict(line) for line in given] if isinstance(given, tuple) else given


def _line(given: Any, index: int) -> Subtitle:
    if isinstance(given, Subtitle):
        return given
    with located(f"subtitles[{index}]"):
        if not isinstance(given, Mapping):
            raise MessageError(
                f"a {type(given).__name__} was given", expected=f"a dict with {', '.join(_FIELDS)}"
            )
        check_keys(given, required=_FIELDS, optional=())
        return Subtitle(**{name: given[name] for name in _FIELDS})
