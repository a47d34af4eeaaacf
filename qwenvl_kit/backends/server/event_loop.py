"""A thread with an event loop, for asynchronous clients."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

_Made = TypeVar("_Made")

_CLOSING_SECONDS = 1.0


class EventLoopThread:
    """A thread that runs coroutines. The first coroutine starts it.

    Args:
        name: the name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = os.getpid()

    def run(self, coroutine: Coroutine[Any, Any, _Made]) -> Future[_Made]:
        """Start a coroutine, from any thread except this one."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._running_loop())

    def stop(self) -> None:
        """End the thread after the step that it runs now; for any thread."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None and self._process == os.getpid():
            loop.call_soon_threadsafe(loop.stop)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._process != os.getpid():  # a forked process has no threads, and maybe a held lock
            self._lock, self._loop, self._process = threading.Lock(), None, os.getpid()
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                thread = threading.Thread(
                    target=_run, args=(self._loop,), name=self._name, daemon=True
                )
                thread.start()
            return self._loop


async def _finish_tasks(tasks: set[asyncio.Task[Any]]) -> None:
    """Wait until open connections have closed, and cancel the tasks that take too long."""
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=_CLOSING_SECONDS)
        for task in late:
            task.cancel()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        loop.run_until_complete(_finish_tasks(asyncio.all_tasks(loop)))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
