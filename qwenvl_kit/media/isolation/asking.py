"""How the decoding process is asked about a file or bytes, under the policy of who asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwenvl_kit.media.files import read_file
from qwenvl_kit.media.isolation.process import POOL
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.sources import opened_source

if TYPE_CHECKING:
    import PIL.Image

_LIMITS = ("max_bytes", "max_pixels", "max_pages", "image_formats")


def ask_apart(
    kind: str, source: Any, policy: MediaPolicy, **wanted: Any
) -> Iterator[tuple[Mapping[str, Any], PIL.Image.Image | None]]:
    """The answers about an encoded source: facts, and the picture that comes with them, if any.

    Args:
        kind: what is asked.
        source: a path, URL or bytes.
        policy: what may be opened, and what of memory and time that may take.
        wanted: more that the process has to know, as JSON has it.

    Raises:
        MediaError: what the process says of it; the process died, or took too long.
    """
    with opened_source(source, policy) as found:
        opened = _held(found, policy)
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
            closing(process.ask(request, policy.image_timeout_seconds, payload)) as answers,
        ):
            for facts, pixels in answers:  # which are overwritten once the process is another's
                yield facts, _picture(facts, pixels) if pixels else None


def _held(
    found: PIL.Image.Image | Path | bytes, policy: MediaPolicy
) -> PIL.Image.Image | Path | bytes:
    """The bytes of a file where files are fenced in: the process could not judge what it opens."""
    is_fenced = policy.allow_folders is not None
    return read_file(found, policy) if is_fenced and isinstance(found, Path) else found


def _picture(facts: Mapping[str, Any], pixels: memoryview) -> PIL.Image.Image:
    import PIL.Image

    return PIL.Image.frombytes("RGB", (facts["width_px"], facts["height_px"]), pixels)


def source_of(request: Mapping[str, Any], payload: bytes) -> tuple[Path | bytes, MediaPolicy]:
    """What the decoding process was asked about, and what it may do with it."""
    source = payload if request["path"] is None else Path(request["path"])
    return source, MediaPolicy(**request["limits"])
