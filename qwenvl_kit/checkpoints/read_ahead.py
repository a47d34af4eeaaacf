"""Reading ahead: weights come from the disk into the system's page cache while modules import.

Importing torch and transformers takes seconds in which the disk has nothing to do. Nothing is kept
in this process but one buffer, so the peak of memory does not grow by the weights.
"""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

from qwenvl_kit.checkpoints.weights import weight_files
from qwenvl_kit.errors import QwenVLKitError, WeightsError, fresh
from qwenvl_kit.hardware import read_available_bytes

_CHUNK_BYTES = 8 * 2**20
"""Bytes that are read at a time: the thread ends at most one such read after it is told to."""

_SHARE_OF_FREE = 0.5
"""The share of free memory that is filled at most: what is read first must not be pushed out by
what is read last, and other programs need their files."""

_NO_WAIT = getattr(os, "RWF_NOWAIT", None)


class ReadAhead:
    """A thread that reads the weights of a folder once, for the page cache.

        with ReadAhead(folder) as reading:
            import torch
            reading.check()

    Parts that are in the page cache already are passed over where the system can tell (Linux).
    Files that are missing, or cannot be opened, are passed over too: who loads them says so.

    Args:
        folder: the folder of a checkpoint.
        max_bytes: the most bytes to read; None takes half of the memory that is free.
    """

    def __init__(self, folder: Path, max_bytes: int | None = None) -> None:
        self._folder = folder
        share = int(read_available_bytes() * _SHARE_OF_FREE)
        self._bytes_left = share if max_bytes is None else max_bytes
        self._error: WeightsError | None = None
        self._must_end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="qwenvl_kit read ahead")

    def __enter__(self) -> ReadAhead:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End the thread, and raise its error unless another is on its way."""
        self._must_end.set()
        self._thread.join()
        if kind is None:
            self.check()

    def check(self) -> None:
        """Raise the error that the thread has met so far.

        Raises:
            WeightsError: a file cannot be read. Mapped into memory, such a file would end the
                process by a signal.
        """
        if self._error is not None:
            raise fresh(self._error)

    def _run(self) -> None:
        try:
            for name in weight_files(self._folder):
                self._read_file(self._folder / name)
        except QwenVLKitError:  # an index that cannot be used; the loader says so
            return
        except Exception as error:  # kept: nobody sees what a thread raises
            self._keep(error, self._folder)

    def _read_file(self, path: Path) -> None:
        try:  # a pipe in place of a file would be waited for
            file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        except OSError:
            return
        try:
            self._read(path, file)
        finally:
            os.close(file)

    def _read(self, path: Path, file: int) -> None:
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                return
            buffer = bytearray(min(_CHUNK_BYTES, status.st_size))
            for start in range(0, status.st_size, _CHUNK_BYTES):
                num_bytes = min(_CHUNK_BYTES, status.st_size - start)
                if self._must_end.is_set() or num_bytes > self._bytes_left:
                    return
                self._bytes_left -= num_bytes
                if not _is_in_page_cache(file, start + num_bytes - 1):
                    _read_into(buffer, file, start)
        except OSError as error:
            self._keep(error, path)

    def _keep(self, cause: Exception, path: Path) -> None:
        if self._error is None:
            self._error = WeightsError(
                f"{path} cannot be read ({type(cause).__name__}: {cause})",
                expected="files on a disk that works",
                hint="copy the checkpoint to another disk, or download it again",
            )
            self._error.__cause__ = cause


def _read_into(buffer: bytearray, file: int, start: int) -> None:
    if hasattr(os, "preadv"):
        os.preadv(file, [buffer], start)
    else:
        os.lseek(file, start, os.SEEK_SET)
        os.read(file, len(buffer))


def _is_in_page_cache(file: int, position: int) -> bool:
    """True if the byte at a position needs no disk; False also where the system cannot tell."""
    if _NO_WAIT is None:
        return False
    try:
        return os.preadv(file, [bytearray(1)], position, _NO_WAIT) == 1
    except OSError:  # EAGAIN: not there; EOPNOTSUPP: the file system cannot tell
        return False
