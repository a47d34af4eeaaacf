"""What Pillow, FFmpeg, PDFium, the web and the system raise, in the kit's own errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qwenvl_kit.errors import MediaDecodeError, MediaSizeError, QwenVLKitError, located


@contextmanager
def reading(where: str = "") -> Iterator[None]:
    """Have any failure inside be one of the kit, with the place of what is read.

    The rooms within say what they know of what can fail. This is the edge: whatever else goes wrong
    there, in any way, costs what is read and nothing beside it.

    Args:
        where: the part of the request; empty for none.
    """
    with located(where):
        try:
            yield
        except QwenVLKitError:
            raise
        except MemoryError as error:
            raise MediaSizeError(
                "there is too little memory to read it", hint="a smaller one, or fewer at a time"
            ) from error
        except Exception as error:
            raise MediaDecodeError(
                f"it could not be read ({type(error).__name__}: {error})",
                hint="try again; if it fails again, convert it or take another",
            ) from error
