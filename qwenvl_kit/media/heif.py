"""HEIF (HEIC), the picture format of phones, read by pillow-heif (extra `heic`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from qwenvl_kit.errors import MediaDecodeError, MissingPackageError
from qwenvl_kit.media.policy import MediaPolicy

if TYPE_CHECKING:
    import PIL.Image


def open_heif(stream: BinaryIO, policy: MediaPolicy, name: str) -> PIL.Image.Image:
    """Open a HEIF picture and read its header; Pillow's own list of formats stays as it is.

    Raises:
        MediaDecodeError: the policy leaves HEIF out.
        MissingPackageError: pillow-heif is not installed.
    """
    if "HEIF" not in policy.image_formats:
        raise MediaDecodeError(
            f"{name} is HEIF (HEIC), which the policy leaves out",
            expected=f"one of {', '.join(policy.image_formats)}",
            hint='MediaPolicy(image_formats=[..., "HEIF"])',
        )
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise MissingPackageError(
            f"{name} is HEIF (HEIC), and pillow-heif, which reads it, is not installed",
            hint="pip install 'qwenvl-kit[heic]'",
        ) from error
    image: PIL.Image.Image = HeifImageFile(stream)
    return image
