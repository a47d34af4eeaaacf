"""Shared memory, to which a decoding process writes pixels and from which its parent reads them."""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import PIL.Image

_CLOSED = -1
MAX_BYTES = 48 * 2**20
"""Largest picture that is shared so: the memory never shrinks. Larger ones take the pipe."""


class SharedMemory:
    """A file in memory (Linux' memfd) that can grow and never shrinks, whoever writes to it.

    If it shrank during a read, a signal would end the reader.
    """

    def __init__(self) -> None:
        import fcntl

        self.descriptor = os.memfd_create("qwenvl_kit", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        self._mapped: mmap.mmap | None = None

    @classmethod
    def make(cls) -> SharedMemory | None:
        """Make one; None if the system has no such files."""
        try:
            return cls()
        except (AttributeError, ImportError, OSError):
            return None

    def read(self, start: int, num_bytes: int) -> memoryview:
        """Return a view of some bytes; the next write changes them.

        Raises:
            EOFError: the memory ends before them.
        """
        end = start + num_bytes
        if not 0 <= start <= end <= os.fstat(self.descriptor).st_size:
            raise EOFError
        if self._mapped is None or len(self._mapped) < end:
            size = os.fstat(self.descriptor).st_size
            self._mapped = mmap.mmap(self.descriptor, size, prot=mmap.PROT_READ)
        return memoryview(self._mapped)[start:end]

    def close(self) -> None:
        """Close the descriptor, once; current readers may go on.

        A descriptor that is closed twice may belong to another file by then.
        """
        descriptor, self.descriptor, self._mapped = self.descriptor, _CLOSED, None
        if descriptor != _CLOSED:
            os.close(descriptor)


def write_pixels(descriptor: int, image: PIL.Image.Image) -> int:
    """Write an RGB picture to shared memory, by its descriptor; return the position of its pixels.

    The format is PPM, whose pixels Pillow writes without a copy.
    """
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(descriptor, "wb", buffering=0, closefd=False) as file:
        image.save(file, "PPM")
        return file.tell() - image.width * image.height * 3
