"""What a task is given to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from qwenvl_kit.conversation import Media


def as_media(given: Media | Sequence[Media]) -> tuple[Media, ...]:
    """One picture or video, or a list of them, as a tuple."""
    return tuple(given) if isinstance(given, (list, tuple)) else (cast(Media, given),)
