"""What the kit agrees to open."""

from __future__ import annotations

from dataclasses import dataclass

from qwenvl_kit.errors import InputError, MediaForbiddenError, MediaSizeError
from qwenvl_kit.geometry import Size


@dataclass(frozen=True)
class MediaPolicy:
    """Limits on what is opened. Local files, bytes and arrays only; no network.

    Attributes:
        max_bytes: largest encoded picture to read, or video that is passed as bytes. Video files
            are not held in memory and may be larger.
        max_pixels: largest picture to decode, judged by its header before pixels are allocated.
            The default, 178,956,970, is where Pillow itself refuses a decompression bomb.
        max_frames: most frames of one video to decode.
        max_pages: most pages of one document to draw.
        timeout_seconds: how long decoding one video may take; what hangs is ended then.
        isolate_video: decode video files in a process of its own, which a hang or a crash of a
            decoder costs and nothing else. False where no process may be started.
    """

    max_bytes: int = 256 * 2**20
    max_pixels: int = 178_956_970
    max_frames: int = 16_384
    max_pages: int = 200
    timeout_seconds: float = 600.0
    isolate_video: bool = True

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels", "max_frames", "max_pages"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise InputError(f"{name}={value!r} was given", expected="a whole number above 0")
        seconds = self.timeout_seconds
        is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
        if not is_number or not 0 < seconds < float("inf"):
            raise InputError(
                f"timeout_seconds={seconds!r} was given", expected="a number of seconds above 0"
            )
        if type(self.isolate_video) is not bool:
            raise InputError(
                f"isolate_video={self.isolate_video!r} was given", expected="True or False"
            )

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

    def check_num_frames(self, num_frames: int) -> None:
        """Raises MediaSizeError for more frames of a video than are decoded."""
        if num_frames > self.max_frames:
            raise MediaSizeError(
                f"{num_frames} frames of the video are wanted",
                expected=f"at most {self.max_frames}",
                hint="a lower fps or num_frames, or MediaPolicy(max_frames=...)",
            )
