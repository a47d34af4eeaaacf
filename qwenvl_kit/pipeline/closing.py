"""Waiting until what was begun has ended."""

from __future__ import annotations

import gc
import time
import weakref
from typing import Any

_PAUSE_SECONDS = 0.1


def is_let_go_within(seconds: float, held: weakref.ref[Any]) -> bool:
    """Whether nobody holds something any more before the time is over.

    Requests in flight hold what they go through, and let go of it when they end; some in circles,
    which Python has to look for.
    """
    deadline = time.monotonic() + seconds
    while held() is not None:
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(left, _PAUSE_SECONDS))
        gc.collect()
    return True
