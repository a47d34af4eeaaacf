"""Memory limits of decoding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qwenvl_kit.errors import MediaError, MediaSizeError

SPARE_BYTES = 64 * 2**20
"""Memory that any decoder may take, for any file."""

_BYTES_PER_BYTE = 3
"""Memory for each byte of a file: the byte, a copy that a decoder makes, and tables of them."""

_BYTES_PER_PIXEL = 64
"""Memory for each pixel of a picture. JPEG 2000 takes four numbers of four bytes, and as much again
to put them together; the kit takes four bytes each for the picture, its background, and both in
one. A video decoder keeps 17 frames."""

_BYTES_PER_FILM_BYTE = 16
"""Memory for each byte of a video: entries of packets, each of 20 bytes or more of the file."""

_BYTES_PER_THREAD = 16 * 2**20
"""Address space of a thread, for its stack and its data."""


def picture_bytes(num_bytes: int, num_pixels: int) -> int:
    """Return the memory that a picture of so many encoded bytes and pixels may take."""
    return SPARE_BYTES + _BYTES_PER_BYTE * num_bytes + _BYTES_PER_PIXEL * num_pixels


def tables_bytes(num_bytes: int, num_pixels: int) -> int:
    """Return the memory that a video may take until its first frame, of so many pixels."""
    return SPARE_BYTES + _BYTES_PER_FILM_BYTE * num_bytes + _BYTES_PER_PIXEL * num_pixels


def threads_bytes(num_threads: int) -> int:
    """Return the memory that so many threads may take, apart from their work."""
    return _BYTES_PER_THREAD * num_threads


@contextmanager
def within(max_memory_bytes: int | None, expected_bytes: int | None = None) -> Iterator[None]:
    """Bound the memory that the process may take in addition, if the system can do so.

    Args:
        max_memory_bytes: the policy's limit; None for no bound at all.
        expected_bytes: the memory that a file of its size and header needs; None if not known.

    Raises:
        MediaSizeError: the code within takes more.
    """
    if max_memory_bytes is None:
        yield
        return
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except (ImportError, OSError):
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    most = max_memory_bytes if expected_bytes is None else min(max_memory_bytes, expected_bytes)
    bounds = [bound for bound in before if bound != resource.RLIM_INFINITY]
    end = min([pages * resource.getpagesize() + most, *bounds])
    resource.setrlimit(resource.RLIMIT_AS, (end, before[1]))
    try:
        yield
    except (MemoryError, MediaError) as error:
        if not isinstance(error.__cause__ or error, MemoryError):
            raise
        raise _too_much(most, exceeds_expected=most < max_memory_bytes) from error
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _too_much(num_bytes: int, *, exceeds_expected: bool) -> MediaSizeError:
    here = "save it again; if you trust it, MediaPolicy(isolate_images=False, isolate_video=False)"
    return MediaSizeError(
        f"decoding takes more than {num_bytes} bytes of memory",
        expected="no more than a file of such a size and header needs" if exceeds_expected else "",
        hint=here if exceeds_expected else "MediaPolicy(max_decoder_bytes=...) if you trust it",
    )
