"""What a hostile file is."""

from __future__ import annotations

from typing import NamedTuple

from qwenvl_kit.errors import MediaError


class Hostile(NamedTuple):
    """A file, and what must become of it.

    Attributes:
        kind: what it is used as: "picture", "video", "document" or "data URL".
        harm: what it is meant to do.
        name: which of those it is.
        content: its bytes.
        ends: the error; None where it does no harm and is taken.
        limits: other limits than a policy's own.
        is_bounded_here: whether it can do no harm where it is decoded in this process either.
        may_be_taken: whether it is taken where a decoder finds room for it within its bound.
    """

    kind: str
    harm: str
    name: str
    content: bytes
    ends: type[MediaError] | None
    limits: dict[str, object] = {}  # noqa: RUF012  # never changed
    is_bounded_here: bool = True
    may_be_taken: bool = False
