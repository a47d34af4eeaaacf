"""The source and policy of a request, as the decoding process reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qwenvl_kit.media.policy import MediaPolicy

Answer = tuple[dict[str, Any], Any]
"""The facts of an answer, which are sent as a line of JSON, and the bytes or the RGB picture that
follow it."""


def source_of(request: Mapping[str, Any], payload: bytes) -> tuple[Path | bytes, MediaPolicy]:
    """Return the file or bytes that a request is about, and the policy for them."""
    source = payload if request["path"] is None else Path(request["path"])
    return source, MediaPolicy(**request["limits"], isolate_images=False)


def num_bytes_of(source: Path | bytes) -> int:
    """Return the length of a source; 0 for a missing file, which fails when it is opened."""
    if isinstance(source, bytes):
        return len(source)
    return source.stat().st_size if source.exists() else 0
