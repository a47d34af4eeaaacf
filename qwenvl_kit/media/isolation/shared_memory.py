"""Memory that a decoding process writes pixels to, and the one that asked reads them from."""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import PIL.Image

_CLOSED = -1
MAX_BYTES = 48 * 2**20
"""What is larger goes through the pipe: a room keeps the memory that it once took."""


class Room:
    """A file in memory (Linux' memfd) that can grow and never shrinks, whoever writes to it.

    One that shrank while it was read would end the reader by a signal.
    """

    def __init__(self) -> None:
        import fcntl

        self.descriptor = os.memfd_create("qwenvl_kit", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        self._mapped: mmap.mmap | None = None

    @classmethod
    def make(cls) -> Room | None:
        """One, or None where the system has no such thing."""
        try:
            return cls()
        except (AttributeError, ImportError, OSError):
            return None

    def read(self, start: int, num_bytes: int) -> memoryview:
        """What was written there; changes with what is written next.

        Raises:
            EOFError: the room ends before.
        """
        end = start + num_bytes
        if not 0 <= start <= end <= os.fstat(self.descriptor).st_size:
            raise EOFError
        if self._mapped is None or len(self._mapped) < end:
            size = os.fstat(self.descriptor).st_size
            self._mapped = mmap.mmap(self.descriptor, size, prot=mmap.PROT_READ)
        return memoryview(self._mapped)[start:end]

    def close(self) -> None:
        """Let go of it, once; who still reads may go on.

        A descriptor that is closed twice may be somebody else's by then.
        """
        descriptor, self.descriptor, self._mapped = self.descriptor, _CLOSED, None
        if descriptor != _CLOSED:
            os.close(descriptor)


def write_pixels(descriptor: int, image: PIL.Image.Image) -> int:
    """Write an RGB picture to a room of another process; where its pixels begin.

    As a PPM, whose pixels Pillow writes without making a copy first.
    """
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(descriptor, "wb", buffering=0, closefd=False) as file:
        image.save(file, "PPM")
        return file.tell() - image.width * image.height * 3
