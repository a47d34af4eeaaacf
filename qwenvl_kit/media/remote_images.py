"""Pictures on the network that are looked at and left where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwenvl_kit.errors import MediaDecodeError
from qwenvl_kit.media.images import read_header
from qwenvl_kit.media.sources import fetch_url
from qwenvl_kit.media.types import ImageHeader, Link

if TYPE_CHECKING:
    from qwenvl_kit.media.policy import MediaPolicy

_FIRST_LOOK_BYTES = 4096
_LAST_LOOK_BYTES = 2**19
"""Of a picture whose header was not found so far, all is fetched."""


def look_at(url: str, policy: MediaPolicy) -> Link | bytes:
    """The header of a picture, fetching no more of it than that takes.

    Returns:
        A link, or the whole of a picture that decoders may understand each in its own way, and of
        what is no picture.

    Raises:
        MediaError: the policy admits nothing there, it cannot be fetched, or it is too large.
    """
    look = _Look(policy)
    content = fetch_url(url, policy, look)
    header = look.header or look.plain_header(content)
    return content if header is None else Link(url, header)


class _Look:
    """Sees whether what has come of a picture tells its header."""

    def __init__(self, policy: MediaPolicy) -> None:
        self._policy = policy
        self._next = _FIRST_LOOK_BYTES
        self.header: ImageHeader | None = None

    def __call__(self, content: bytearray) -> bool:
        """Whether no more is needed."""
        if not self._next <= len(content) <= _LAST_LOOK_BYTES:
            return False
        self._next = 2 * len(content)
        self.header = self.plain_header(content)
        return self.header is not None

    def plain_header(self, content: bytes | bytearray) -> ImageHeader | None:
        """The header, of a picture that is the same to every decoder."""
        try:
            header = read_header(bytes(content), self._policy)
        except MediaDecodeError:  # it is not all there yet, or no picture
            return None
        return header if header.is_plain and header.orientation == 1 else None
