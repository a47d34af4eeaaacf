"""Pictures that are read in the decoding process: the parent's side of `worker.images`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from qwenvl_kit.geometry import Size
from qwenvl_kit.media.isolation.client import ask_decoder
from qwenvl_kit.media.isolation.protocol import IMAGE_HEADER, IMAGE_PIXELS
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.types import ImageHeader

if TYPE_CHECKING:
    import PIL.Image


def read_header_isolated(opened: Path | bytes, policy: MediaPolicy) -> ImageHeader:
    """Return the header of a file or bytes, read in the decoding process.

    Raises:
        MediaError: as `read_header`; the process died, or took too long or too much memory.
    """
    ((facts, _),) = ask_decoder(IMAGE_HEADER, opened, policy, policy.image_timeout_seconds)
    size = Size(height_px=facts["height_px"], width_px=facts["width_px"])
    return ImageHeader(size, facts["orientation"], facts["is_plain"], facts["format"])


def decode_image_isolated(opened: Path | bytes, policy: MediaPolicy) -> PIL.Image.Image:
    """Decode a file or bytes in the decoding process, as `decode_image`; errors as above."""
    ((_, image),) = ask_decoder(IMAGE_PIXELS, opened, policy, policy.image_timeout_seconds)
    return cast("PIL.Image.Image", image)
