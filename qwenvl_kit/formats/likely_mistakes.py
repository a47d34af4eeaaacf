"""Likely mistakes in a request that can be answered all the same."""

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
_warned: set[str] = set()
"""The kinds of mistakes that this process has warned about."""


def remarks_on(messages: Sequence[Message]) -> tuple[str, ...]:
    """The warnings about a conversation, which its plan and its reply show.

    If a file name or a placeholder stands in place of a file, Python's `warnings` shows it, too,
    once per process: the model invents the answer, which looks like any other.
    """
    names, places = warnings_of_names(messages), warnings_of_places(messages)
    for kind, found in (("names", names), ("places", places)):
        if found:
            _warn_once(kind, found[0])
    rates = (
        f"{where} has frames without a rate; {part.fps:g} frames a second are assumed, as "
        'qwen-vl-utils does; set "sample_fps" for another rate'
        for where, part in iter_media(messages)
        if isinstance(part, VideoPart) and isinstance(part.fps, AssumedRate)
    )
    return (*names, *places, *rates)


def _warn_once(kind: str, text: str) -> None:
    if kind not in _warned:
        _warned.add(kind)
        warnings.warn(text, QwenVLKitWarning, stacklevel=_depth())


def _depth() -> int:
    """The number of frames up to the caller outside this package, for `stacklevel`."""
    depth, frame = 0, sys._getframe()
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__", "")):
        depth, frame = depth + 1, frame.f_back
    return depth


def _is_ours(module: str) -> bool:
    return module == _PACKAGE or module.startswith(f"{_PACKAGE}.")
