"""The most memory that this process and those that decode for it take, as Linux counts it."""

from __future__ import annotations

import contextlib
import re
import threading
from pathlib import Path

import psutil


class PeakMemory:
    """Measures while it is entered.

    Attributes:
        num_bytes: what all processes took at their most, beyond what they had before. A process
            that began meanwhile is taken to have had as much as those that did the same before.
    """

    def __init__(self) -> None:
        self.num_bytes = 0
        self._most: dict[int, int] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._before = {pid: _forgotten(pid) for pid in _pids()}
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._look()
        own, *others = self._before.values()
        usual = max(others, default=own)
        self.num_bytes = sum(
            max(0, most - self._before.get(pid, usual)) for pid, most in self._most.items()
        )

    def _watch(self) -> None:
        while not self._ended.wait(0.01):
            self._look()

    def _look(self) -> None:
        for pid in _pids():
            self._most[pid] = max(self._most.get(pid, 0), _bytes_of(pid, "VmHWM"))


def _pids() -> list[int]:
    """This process, and its children."""
    this = psutil.Process()
    return [this.pid, *(child.pid for child in this.children())]


def _forgotten(pid: int) -> int:
    """What a process has now; its peak begins anew."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    return _bytes_of(pid, "VmRSS")


def _bytes_of(pid: int, name: str) -> int:
    """A line of what Linux says of a process; 0 where it is gone, or on another system."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(rf"{name}:\s+(\d+) kB", status)
    return int(found.group(1)) * 1024 if found else 0
