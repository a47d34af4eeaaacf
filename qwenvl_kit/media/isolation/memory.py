"""How much memory decoding may take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qwenvl_kit.errors import MediaSizeError


@contextmanager
def within(max_memory_bytes: int) -> Iterator[None]:
    """No more memory than that, beyond what the process has; where the system can bound it."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except (ImportError, OSError):
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    most = pages * resource.getpagesize() + max_memory_bytes
    hard = before[1]
    resource.setrlimit(
        resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard)
    )
    try:
        yield
    except (MemoryError, MediaSizeError) as error:
        if not isinstance(error.__cause__ or error, MemoryError):
            raise
        raise MediaSizeError(
            f"decoding it takes more than {max_memory_bytes} bytes",
            hint="MediaPolicy(max_decoder_bytes=...) if you trust it",
        ) from error
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
