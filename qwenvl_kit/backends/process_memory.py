"""The memory of this process."""

from __future__ import annotations

import sys


def process_memory() -> tuple[int, int | None]:
    """Return the bytes that this process takes now, and the most that it ever took.

    The most is None on Windows, which does not tell it. Source: psutil's resident set size, and
    `getrusage`, whose unit is a kilobyte on Linux and a byte on macOS.
    """
    import psutil

    taken = int(psutil.Process().memory_info().rss)
    try:
        import resource
    except ImportError:  # Windows
        return taken, None
    unit = 1 if sys.platform == "darwin" else 1024
    return taken, max(taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
