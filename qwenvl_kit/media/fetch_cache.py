"""The fetch cache of one call: a URL that several of its requests show is fetched once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Literal, TypeAlias, cast

from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.remote_images import probe_url
from qwenvl_kit.media.sources import fetch_url
from qwenvl_kit.media.types import Link

_MAX_BYTES = 256 * 2**20

_Key: TypeAlias = tuple[Literal["file", "look"], str]


class FetchCache:
    """The files and headers that a call has fetched most recently. For any thread.

    Threads that want the same URL at the same time wait for one of them. Failures are not kept.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[_Key, Future[Link | bytes]] = OrderedDict()

    def get(self, url: str, policy: MediaPolicy) -> bytes:
        """Return the bytes behind a URL.

        Raises:
            MediaError: as `fetch_url`.
        """
        return cast("bytes", self._get(("file", url), partial(fetch_url, url, policy)))

    def probe_url(self, url: str, policy: MediaPolicy) -> Link | bytes:
        """Return a link to a picture, or its bytes, as `remote_images.probe_url`."""
        return self._get(("look", url), partial(probe_url, url, policy))

    def _get(self, key: _Key, fetch: Callable[[], Link | bytes]) -> Link | bytes:
        while True:
            with self._lock:
                found = self._found.get(key)
                if found is None:
                    mine = self._found[key] = Future()
                else:
                    self._found.move_to_end(key)
            if found is None:
                return self._fetch(key, fetch, mine)
            if found.exception() is None:  # waits for the thread that fetches it
                return found.result()

    def _fetch(
        self, key: _Key, fetch: Callable[[], Link | bytes], mine: Future[Link | bytes]
    ) -> Link | bytes:
        try:
            content = fetch()
        except BaseException as error:
            with self._lock:
                self._found.pop(key, None)
            mine.set_exception(error)
            raise
        mine.set_result(content)
        with self._lock:
            self._evict()
        return content

    def _evict(self) -> None:
        """Drop the oldest files until the rest fits; fetches in progress do not count."""
        done = [(key, _num_bytes(found)) for key, found in self._found.items() if found.done()]
        used = sum(num_bytes for _, num_bytes in done)
        for key, num_bytes in done:
            if used <= _MAX_BYTES:
                return
            used -= num_bytes
            self._found.pop(key, None)


def _num_bytes(found: Future[Link | bytes]) -> int:
    content = found.result()
    return 0 if isinstance(content, Link) else len(content)
