"""The choice of sources that the decoding process reads."""

from __future__ import annotations

from pathlib import Path
from typing import TypeGuard

from qwenvl_kit.media.local_files import read_start
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.signatures import HEAD_BYTES, is_other_picture


def is_image_isolated(opened: object, policy: MediaPolicy) -> TypeGuard[Path | bytes]:
    """True if a picture, as `opened_source` gives it, is read by the decoding process.

    Args:
        opened: a file, encoded bytes, or a picture that needs no decoder.
        policy: `isolate_images` decides; by default the first bytes of the picture do.

    Raises:
        MediaNotFoundError: the file cannot be read.
    """
    if not isinstance(opened, (Path, bytes)) or policy.isolate_images is False:
        return False
    if policy.isolate_images:
        return True
    return is_other_picture(_start_of(opened, policy))


def is_document_isolated(opened: object, policy: MediaPolicy) -> TypeGuard[Path | bytes]:
    """True if a document, as `opened_source` gives it, is read by the decoding process."""
    return isinstance(opened, (Path, bytes)) and policy.isolate_images is not False


def _start_of(opened: Path | bytes, policy: MediaPolicy) -> bytes:
    if isinstance(opened, Path):
        return read_start(opened, HEAD_BYTES, policy)
    return opened[:HEAD_BYTES]
