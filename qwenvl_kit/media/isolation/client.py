"""The client of the decoding process: asks about a file or bytes, under the caller's policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwenvl_kit.media.isolation.process_pool import POOL
from qwenvl_kit.media.local_files import read_file
from qwenvl_kit.media.policy import MediaPolicy

if TYPE_CHECKING:
    import PIL.Image

_LIMITS = ("max_bytes", "max_pixels", "max_pages", "image_formats")


def ask_decoder(
    kind: str,
    opened: Path | bytes,
    policy: MediaPolicy,
    timeout_seconds: float,
    **wanted: Any,
) -> Iterator[tuple[Mapping[str, Any], PIL.Image.Image | None]]:
    """Ask about an encoded source; yield each answer: its facts, and its picture, if any.

    Args:
        kind: the kind of the request.
        opened: a file, or bytes.
        policy: the formats and sizes that are admitted, and the limits of memory and time.
        timeout_seconds: the time for all answers; each one has `image_timeout_seconds`.
        wanted: further fields of the request, as JSON has them.

    Raises:
        MediaError: the process refuses the source, died, or took too long.
    """
    opened = _held(opened, policy)
    payload = opened if isinstance(opened, bytes) else b""
    policy.check_num_bytes(len(payload))
    request = {
        "kind": kind,
        "path": str(opened.absolute()) if isinstance(opened, Path) else None,
        "limits": {name: getattr(policy, name) for name in _LIMITS},
        "max_memory_bytes": policy.max_decoder_bytes,
        **wanted,
    }
    with (
        POOL.lease() as process,
        closing(
            process.ask(request, timeout_seconds, payload, policy.image_timeout_seconds)
        ) as answers,
    ):
        for facts, pixels in answers:  # overwritten once another request has the process
            yield facts, _picture(facts, pixels) if pixels else None


def _held(opened: Path | bytes, policy: MediaPolicy) -> Path | bytes:
    """The bytes of a file if files are fenced in: the process could not check the file again."""
    is_fenced = policy.allow_folders is not None
    return read_file(opened, policy) if is_fenced and isinstance(opened, Path) else opened


def _picture(facts: Mapping[str, Any], pixels: memoryview) -> PIL.Image.Image:
    import PIL.Image

    return PIL.Image.frombytes("RGB", (facts["width_px"], facts["height_px"]), pixels)
