"""Stores that fsspec reads (extra `fsspec`), if the policy names their schemes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from typing import Any

from qwenvl_kit.errors import (
    MediaError,
    MediaFetchError,
    MediaForbiddenError,
    MediaNotFoundError,
    MediaSourceError,
    MediaTimeoutError,
    MissingPackageError,
)
from qwenvl_kit.media.policy import MediaPolicy


def fetch_remote(url: str, policy: MediaPolicy) -> bytes:
    """Return the bytes of a file in a store, if they are no more than the policy admits.

    No message holds the path, which may contain credentials.

    Raises:
        MediaForbiddenError: it leads to another place, is a file of this machine, or is too large.
        MediaNotFoundError: there is no such file.
        MediaFetchError: the store gives no complete answer.
        MediaTimeoutError: it takes longer than `fetch_timeout_seconds`.
        MissingPackageError: fsspec, or a package it needs for that scheme, is not installed.
    """
    scheme, mark, place = url.partition("://")
    scheme = scheme.lower()
    url = scheme + mark + place
    if "::" in url:  # as in zip://a.png::file:///etc/x, where each part opens the next
        raise MediaForbiddenError(
            f"the {scheme} URL holds another URL", expected="a URL of one place"
        )
    return _in_time(lambda: _fetch(url, scheme, policy), scheme, policy.fetch_timeout_seconds)


def _fetch(url: str, scheme: str, policy: MediaPolicy) -> bytes:
    system, path = _store(url, scheme)
    try:
        policy.check_num_bytes(int(system.size(path) or 0))
        with system.open(path, "rb") as file:
            content = bytes(file.read(policy.max_bytes + 1))
    except MediaError:
        raise
    except (FileNotFoundError, IsADirectoryError, KeyError) as error:
        raise MediaNotFoundError(f"nothing is at the {scheme} URL", expected="a file") from error
    except Exception as error:  # each store has errors of its own, which may name secrets
        raise MediaFetchError(
            f"the {scheme} store gives no file ({type(error).__name__})",
            hint="see that fsspec.open(url) works, or pass the bytes",
        ) from error
    policy.check_num_bytes(len(content))
    return content


def _store(url: str, scheme: str) -> tuple[Any, str]:
    try:
        import fsspec
        from fsspec.implementations.local import LocalFileSystem
    except ImportError as error:
        raise MissingPackageError(
            f"fsspec, which opens {scheme} URLs, is not installed",
            hint="pip install 'qwenvl-kit[fsspec]'",
        ) from error
    try:
        system, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise MissingPackageError(
            f"fsspec needs another package for {scheme} URLs ({error})",
            hint=f"pip install 'fsspec[{scheme}]'",
        ) from error
    except Exception as error:
        raise MediaSourceError(
            f"fsspec does not open the {scheme} URL ({type(error).__name__})",
            expected=f"{scheme}://... of a store that it knows",
        ) from error
    if isinstance(system, LocalFileSystem):
        raise MediaForbiddenError(
            f"{scheme} URLs open files of this machine", expected="a path, or file://"
        )
    return system, path


def _in_time(fetch: Callable[[], bytes], scheme: str, timeout_seconds: float) -> bytes:
    """Call a function with a timeout; fsspec has none, so that its thread may stay behind."""
    told: Future[bytes] = Future()

    def run() -> None:
        try:
            told.set_result(fetch())
        except BaseException as error:
            told.set_exception(error)

    threading.Thread(target=run, name="qwenvl_kit fsspec", daemon=True).start()
    try:
        return told.result(timeout_seconds)
    except NotInTime as error:
        if told.done():  # a timeout of the store itself
            raise
        raise MediaTimeoutError(
            f"the {scheme} store took longer than {timeout_seconds:g} s",
            hint="MediaPolicy(fetch_timeout_seconds=...)",
        ) from error
