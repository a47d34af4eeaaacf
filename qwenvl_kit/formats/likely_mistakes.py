"""What is likely a mistake in a request that can be answered all the same."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence

from qwenvl_kit.errors import QwenVLKitWarning
from qwenvl_kit.formats.file_names import warnings_of_names
from qwenvl_kit.formats.frame_rates import AssumedRate
from qwenvl_kit.formats.text_references import warnings_of_places
from qwenvl_kit.messages.message import Message, VideoPart, iter_media

_PACKAGE = __name__.partition(".")[0]
_told: set[str] = set()
"""Kinds of mistakes that this process has been told of."""


def remarks_on(messages: Sequence[Message]) -> tuple[str, ...]:
    """What a plan and a reply say of a conversation beside its answer, in words.

    A name of a file, or a place of one, instead of the file is also told by Python's `warnings`,
    once in a process: its answer is invented, and looks like any other.
    """
    names, places = warnings_of_names(messages), warnings_of_places(messages)
    for kind, told in (("names", names), ("places", places)):
        if told:
            _warn_once(kind, told[0])
    rates = (
        f"{where} has frames without their rate, which are taken for {part.fps:g} a second, as "
        'qwen-vl-utils does; "sample_fps" says another'
        for where, part in iter_media(messages)
        if isinstance(part, VideoPart) and isinstance(part.fps, AssumedRate)
    )
    return (*names, *places, *rates)


def _warn_once(kind: str, text: str) -> None:
    if kind not in _told:
        _told.add(kind)
        warnings.warn(text, QwenVLKitWarning, stacklevel=_depth())


def _depth() -> int:
    """How far up the first frame is that is not of this package; for `stacklevel`."""
    depth, frame = 0, sys._getframe()
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__", "")):
        depth, frame = depth + 1, frame.f_back
    return depth


def _is_ours(module: str) -> bool:
    return module == _PACKAGE or module.startswith(f"{_PACKAGE}.")
