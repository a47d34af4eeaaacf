"""Errors that are kept: raised without a cycle of references, and without what they passed.

An error that is raised refers to the frames that it passes and to those that called them, and they
to what is in them: tensors, pictures. Where that is what keeps the error, all of it lives until
Python looks for cycles. So what is kept gives up its frames, and is never raised itself: copies of
it are, each of which has a traceback of its own.
"""

from __future__ import annotations

import traceback
from copy import copy
from typing import TypeVar

from qwenvl_kit.errors import QwenVLKitError

_KEPT_FRAMES = 20

_Error = TypeVar("_Error", bound=BaseException)


def fresh(error: _Error) -> _Error:
    """The same error once more, with what caused it and where it came from.

    One object may fail several requests, each in its own place and thread. Errors of others are
    raised as they are, as some cannot be copied.
    """
    if not isinstance(error, QwenVLKitError):
        return error
    copied = copy(error)
    copied.__cause__ = error.__cause__
    return copied.with_traceback(error.__traceback__)


def release_frames(error: BaseException | None) -> None:
    """Let go of the frames of an error's traceback, and of those of what came before it.

    Where it was raised stays among its notes, which Python 3.11 shows.
    """
    seen, left = set[int](), [error]
    while left:
        error = left.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        if error.__traceback__ is not None:
            lines = traceback.format_tb(error.__traceback__, limit=-_KEPT_FRAMES)
            vars(error)["__notes__"] = [*vars(error).get("__notes__", ()), "".join(lines)]
            traceback.clear_frames(error.__traceback__)
            error.__traceback__ = None
        left += [error.__cause__, error.__context__]
