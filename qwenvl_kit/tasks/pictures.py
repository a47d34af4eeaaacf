"""What a task is given to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from qwenvl_kit.conversation import Media
from qwenvl_kit.messages import ImagePart


def as_image_part(image: Media) -> ImagePart:
    """A picture with the settings that it came with, if any."""
    return image if isinstance(image, ImagePart) else ImagePart(image)  # type: ignore[arg-type]


def as_media(given: Media | Sequence[Media]) -> tuple[Media, ...]:
    """One picture or video, or a list of them, as a tuple."""
    return tuple(given) if isinstance(given, (list, tuple)) else (cast(Media, given),)
