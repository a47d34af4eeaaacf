"""Remote images: pictures on the network whose header is read and which stay where they are."""

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
"""Longest beginning that is searched for a header; beyond it the whole picture is fetched."""


def probe_url(url: str, policy: MediaPolicy) -> Link | bytes:
    """Fetch the header of a picture, and no more bytes than it takes.

    Returns:
        A link. For a picture that decoders may show differently, and for data that is no picture,
        all its bytes.

    Raises:
        MediaError: the policy admits nothing there, it cannot be fetched, or it is too large.
    """
    look = _Look(policy)
    content = fetch_url(url, policy, look)
    header = look.header or look.plain_header(content)
    return content if header is None else Link(url, header)


class _Look:
    """A search for the header in the bytes of a picture that have come so far."""

    def __init__(self, policy: MediaPolicy) -> None:
        self._policy = policy
        self._next = _FIRST_LOOK_BYTES
        self.header: ImageHeader | None = None

    def __call__(self, content: bytearray) -> bool:
        """True if no more bytes are needed."""
        if not self._next <= len(content) <= _LAST_LOOK_BYTES:
            return False
        self._next = 2 * len(content)
        self.header = self.plain_header(content)
        return self.header is not None

    def plain_header(self, content: bytes | bytearray) -> ImageHeader | None:
        """Return the header of a picture that every decoder shows alike; None for any other."""
        try:
            header = read_header(bytes(content), self._policy)
        except MediaDecodeError:  # the header is not complete yet, or it is no picture
            return None
        return header if header.is_plain and header.orientation == 1 else None
