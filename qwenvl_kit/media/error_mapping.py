"""Error mapping: failures of Pillow, FFmpeg, PDFium, the web and the system as the kit's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qwenvl_kit.errors import MediaDecodeError, MediaSizeError, QwenVLKitError, located


@contextmanager
def mapped_errors(where: str = "") -> Iterator[None]:
    """Turn every failure within into an error of the kit, with the place of the part that is read.

    The modules that call a library turn its known failures into errors themselves. This context is
    the outermost one: any other failure ends the reading of this part only.

    Args:
        where: the place of the part in the request; empty for none.
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
