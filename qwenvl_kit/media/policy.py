"""What the kit agrees to open."""

from __future__ import annotations

from dataclasses import dataclass

from qwenvl_kit.errors import InputError, MediaForbiddenError, MediaSizeError
from qwenvl_kit.plans import Size


@dataclass(frozen=True)
class MediaPolicy:
    """Limits on what is opened. Local files, bytes and arrays only; no network.

    Attributes:
        max_bytes: largest encoded picture to read.
        max_pixels: largest picture to decode, judged by its header before pixels are allocated.
            The default, 178,956,970, is where Pillow itself refuses a decompression bomb.
    """

    max_bytes: int = 256 * 2**20
    max_pixels: int = 178_956_970

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if type(value) is not int or value < 1:
                raise InputError(f"{name}={value!r} was given", expected="a whole number above 0")

    def check_num_bytes(self, num_bytes: int) -> None:
        """Raises MediaForbiddenError for an encoded picture that is too large."""
        if num_bytes > self.max_bytes:
            raise MediaForbiddenError(
                f"the source has {num_bytes} bytes",
                expected=f"at most {self.max_bytes}",
                hint="MediaPolicy(max_bytes=...) if you trust it",
            )

    def check_size(self, size: Size) -> None:
        """Raises MediaSizeError for a picture with no pixels or too many of them."""
        if size.area_pixels == 0:
            raise MediaSizeError(
                f"the picture has no pixels ({size})", expected="sides of at least one pixel"
            )
        if size.area_pixels > self.max_pixels:
            raise MediaSizeError(
                f"the picture is {size}, {size.area_pixels} pixels",
                expected=f"at most {self.max_pixels}",
                hint="MediaPolicy(max_pixels=...) if you trust it",
            )
