"""File objects: open files, uploads and members of archives, that is, anything with `read`."""

from __future__ import annotations

import inspect
import threading
import weakref
from contextlib import suppress
from typing import Any

from qwenvl_kit.errors import MediaDecodeError, MediaError, MediaForbiddenError, MediaSourceError
from qwenvl_kit.media.locks import locked
from qwenvl_kit.media.policy import MediaPolicy

_PIECE_BYTES = 2**20


def is_file(source: object) -> bool:
    """True if a source is an open file, or holds one as the uploads of web frameworks do."""
    return not isinstance(source, type) and callable(getattr(source, "read", None))


def read_file(source: Any, policy: MediaPolicy) -> bytes:
    """Read all bytes of a file from its beginning, and leave its position unchanged.

    A file that cannot seek, such as a server's response, is read once from its current position.
    Its bytes are kept as long as the file object exists, since a picture is measured and decoded.

    Raises:
        MediaSourceError: it is closed, gives text, or must be awaited.
        MediaForbiddenError: it has more bytes than the policy admits.
        MediaDecodeError: it fails while it is read.
    """
    file = _within(source)
    try:
        with locked(file):
            if _can_seek(file):
                return _read_and_return(file, policy)
            return _READ_ONCE.read(file, policy)
    except MediaError:
        raise
    except Exception as error:  # anybody may write a class with `read`
        if getattr(file, "closed", False) is True:
            raise MediaSourceError(
                f"the {type(file).__name__} is closed",
                expected="a file that stays open until it is read",
                hint="its bytes: file.read()",
            ) from error
        raise MediaDecodeError(
            f"the {type(file).__name__} cannot be read ({type(error).__name__})",
            expected="a file that can be read to its end",
            hint="its bytes: file.read()",
        ) from error


def _within(source: Any) -> Any:
    """The file inside an upload whose own `read` must be awaited; else the source itself."""
    if not inspect.iscoroutinefunction(source.read):
        return source
    file: Any = getattr(source, "file", None)
    if is_file(file) and not inspect.iscoroutinefunction(file.read):
        return file
    raise MediaSourceError(
        f"a {type(source).__name__} that must be awaited was given",
        expected="its bytes",
        hint="await file.read()",
    )


def _can_seek(file: Any) -> bool:
    seekable = getattr(file, "seekable", None)
    return bool(seekable()) if callable(seekable) else callable(getattr(file, "seek", None))


def _read_and_return(file: Any, policy: MediaPolicy) -> bytes:
    position = file.tell()
    try:
        file.seek(0)
        return _read_all(file, policy)
    finally:
        file.seek(position)


def _read_all(file: Any, policy: MediaPolicy) -> bytes:
    """Read a file to its end, and refuse it once it has more bytes than the policy admits."""
    content = bytearray()
    while len(content) <= policy.max_bytes:
        piece = file.read(min(_PIECE_BYTES, policy.max_bytes + 1 - len(content)))
        if isinstance(piece, str):
            raise MediaSourceError(
                f"the {type(file).__name__} gives text",
                expected="a file that was opened for bytes",
                hint='open(path, "rb")',
            )
        if not piece:
            return bytes(content)
        content += piece
    raise MediaForbiddenError(
        f"the {type(file).__name__} has more than {policy.max_bytes} bytes",
        expected=f"at most {policy.max_bytes}",
        hint="MediaPolicy(max_bytes=...) if you trust it",
    )


class _ReadOnce:
    """The bytes of files that cannot seek, by the identity of the file, while the file exists."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contents: dict[int, bytes] = {}

    def read(self, file: Any, policy: MediaPolicy) -> bytes:
        with self._lock:
            known = self._contents.get(id(file))
        if known is not None:
            policy.check_num_bytes(len(known))
            return known
        content = _read_all(file, policy)
        with suppress(TypeError):  # without weak references its bytes are not kept
            weakref.finalize(file, self._contents.pop, id(file), None).atexit = False
            with self._lock:
                self._contents[id(file)] = content
        return content


_READ_ONCE = _ReadOnce()
