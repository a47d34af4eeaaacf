"""Awaiting a reply in an event loop, which threads do not block."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from qwenvl_kit.errors import OutOfMemoryError
from qwenvl_kit.pipeline.inflight import InFlightRequest, RequestObserver
from qwenvl_kit.results import Reply


async def awaited(begin: Callable[[], InFlightRequest | Reply], observer: RequestObserver) -> Reply:
    """Begin a request in a thread, and await its reply.

    If the task is cancelled, the generation ends.

    Args:
        begin: submits the request, or answers it.
        observer: the observer of the request.

    Raises:
        QwenVLKitError: the request cannot be used, or failed.
    """
    try:
        begun = await asyncio.to_thread(begin)
        if isinstance(begun, Reply):
            return begun
        if await _fails_for_memory(begun):  # it may be asked once more, smaller
            return await asyncio.to_thread(begun.result)
        return begun.result()
    except asyncio.CancelledError:
        observer.cancel()
        raise


async def _fails_for_memory(request: InFlightRequest) -> bool:
    """Wait until a request has ended; True if there was too little memory for it."""
    ended = asyncio.wrap_future(request.future)
    try:
        await asyncio.wait([ended])  # which raises nothing: an error here would refer to itself
    except asyncio.CancelledError:
        ended.cancel()
        raise
    return isinstance(ended.exception(), OutOfMemoryError)
