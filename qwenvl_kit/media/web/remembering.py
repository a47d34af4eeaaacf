"""What one call has fetched: a URL that many of its requests show is fetched once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future

from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.sources import fetch_url

_MAX_BYTES = 256 * 2**20


class Fetches:
    """The files that a call has fetched, the last ones of them; any thread may ask.

    Those who want the same URL at the same time wait for one of them. What failed is forgotten.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: OrderedDict[str, Future[bytes]] = OrderedDict()

    def get(self, url: str, policy: MediaPolicy) -> bytes:
        """What is at a URL.

        Raises:
            MediaError: as `fetch_url`.
        """
        while True:
            with self._lock:
                found = self._files.get(url)
                if found is None:
                    mine = self._files[url] = Future()
                else:
                    self._files.move_to_end(url)
            if found is None:
                return self._fetch(url, policy, mine)
            if found.exception() is None:  # waits for whoever fetches it
                return found.result()

    def _fetch(self, url: str, policy: MediaPolicy, mine: Future[bytes]) -> bytes:
        try:
            content = fetch_url(url, policy)
        except BaseException as error:
            with self._lock:
                self._files.pop(url, None)
            mine.set_exception(error)
            raise
        mine.set_result(content)
        with self._lock:
            self._make_room()
        return content

    def _make_room(self) -> None:
        """Let the oldest go; of what is being fetched the size is not known yet."""
        done = [(url, file) for url, file in self._files.items() if file.done()]
        used = sum(len(file.result()) for _, file in done)
        for url, file in done:
            if used <= _MAX_BYTES:
                return
            used -= len(file.result())
            self._files.pop(url, None)
