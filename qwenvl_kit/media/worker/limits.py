"""How much memory decoding may take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qwenvl_kit.errors import MediaError, MediaSizeError

SPARE_BYTES = 64 * 2**20
"""What any decoder may take, whatever its file says."""

_BYTES_PER_BYTE = 3
"""Of a file: its bytes, a copy that a decoder makes, and tables of them."""

_BYTES_PER_PIXEL = 64
"""Of a picture: JPEG 2000 takes four numbers of four bytes for a pixel, as much again to put them
together, and the kit four bytes each for the picture, what is behind it, and both in one. A decoder
of films keeps 17 frames."""

_BYTES_PER_FILM_BYTE = 16
"""Of a film: the entries for its packets, of which each takes 20 bytes of the file or more."""

_BYTES_PER_THREAD = 16 * 2**20
"""Addresses that a thread has, for its stack and what it holds."""


def picture_bytes(num_bytes: int, num_pixels: int) -> int:
    """What a picture may take that is in so many bytes, and whose header says so many pixels."""
    return SPARE_BYTES + _BYTES_PER_BYTE * num_bytes + _BYTES_PER_PIXEL * num_pixels


def tables_bytes(num_bytes: int, num_pixels: int) -> int:
    """What a film of so many bytes may take until its first frame, of so many pixels, is there."""
    return SPARE_BYTES + _BYTES_PER_FILM_BYTE * num_bytes + _BYTES_PER_PIXEL * num_pixels


def threads_bytes(num_threads: int) -> int:
    """What so many threads may take beside what they are there for."""
    return _BYTES_PER_THREAD * num_threads


@contextmanager
def within(max_memory_bytes: int | None, judged_bytes: int | None = None) -> Iterator[None]:
    """No more memory than that, beyond what the process has; where the system can bound it.

    Args:
        max_memory_bytes: what the policy admits; None for no bound at all.
        judged_bytes: what a file of its size and header may need, where that is known.

    Raises:
        MediaSizeError: it takes more.
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
    most = max_memory_bytes if judged_bytes is None else min(max_memory_bytes, judged_bytes)
    bounds = [bound for bound in before if bound != resource.RLIM_INFINITY]
    end = min([pages * resource.getpagesize() + most, *bounds])
    resource.setrlimit(resource.RLIMIT_AS, (end, before[1]))
    try:
        yield
    except (MemoryError, MediaError) as error:
        if not isinstance(error.__cause__ or error, MemoryError):
            raise
        raise _too_much(most, is_judged=most < max_memory_bytes) from error
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _too_much(num_bytes: int, *, is_judged: bool) -> MediaSizeError:
    here = "save it again; if you trust it, MediaPolicy(isolate_images=False, isolate_video=False)"
    return MediaSizeError(
        f"decoding it takes more than {num_bytes} bytes",
        expected="no more than a file of such a size and header needs" if is_judged else "",
        hint=here if is_judged else "MediaPolicy(max_decoder_bytes=...) if you trust it",
    )
