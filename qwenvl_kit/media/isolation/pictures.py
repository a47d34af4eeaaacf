"""Pictures that are read in the decoding process: what is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwenvl_kit.errors import MediaSizeError
from qwenvl_kit.geometry import Size
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.sources import resolve_source

if TYPE_CHECKING:
    import PIL.Image

    from qwenvl_kit.media.images import ImageHeader

_HEADER, _PIXELS = "picture header", "picture pixels"
PICTURES = (_HEADER, _PIXELS)
"""Kinds of requests that are about pictures."""


def read_header_apart(source: Any, policy: MediaPolicy) -> ImageHeader:
    """As `read_header`, of an encoded picture, in the decoding process.

    Raises:
        MediaError: as there; the process died, or took too long or too much memory.
    """
    from qwenvl_kit.media.images import ImageHeader

    facts, _ = _asked(_HEADER, source, policy)
    size = Size(height_px=facts["height_px"], width_px=facts["width_px"])
    return ImageHeader(size, facts["orientation"])


def decode_image_apart(source: Any, policy: MediaPolicy) -> PIL.Image.Image:
    """As `decode_image`, of an encoded picture, in the decoding process; errors as above."""
    import PIL.Image

    facts, pixels = _asked(_PIXELS, source, policy)
    return PIL.Image.frombytes("RGB", (facts["width_px"], facts["height_px"]), pixels)


def answer_picture(
    request: Mapping[str, Any], payload: bytes
) -> Iterator[tuple[dict[str, Any], bytes]]:
    """What the decoding process says of a picture.

    Raises:
        MediaError: it cannot be used.
    """
    from qwenvl_kit.media.images import decode_image, read_header

    policy = MediaPolicy(**request["limits"])
    source = payload if request["path"] is None else Path(request["path"])
    with _within(request["max_memory_bytes"]):
        if request["kind"] == _HEADER:
            header = read_header(source, policy)
            yield {**_sides(header.size), "orientation": header.orientation}, b""
            return
        image = decode_image(source, policy)
        size = Size(height_px=image.height, width_px=image.width)
        yield _sides(size), image.tobytes()


def _asked(kind: str, source: Any, policy: MediaPolicy) -> tuple[Mapping[str, Any], memoryview]:
    from qwenvl_kit.media.isolation.process import POOL

    opened = resolve_source(source, policy)
    payload = b""
    if isinstance(opened, bytes):
        policy.check_num_bytes(len(opened))
        payload = opened
    request = {
        "kind": kind,
        "path": str(opened.absolute()) if isinstance(opened, Path) else None,
        "limits": {
            "max_bytes": policy.max_bytes,
            "max_pixels": policy.max_pixels,
            "image_formats": list(policy.image_formats),
        },
        "max_memory_bytes": policy.max_decoder_bytes,
    }
    with POOL.lease() as process:
        ((facts, content),) = process.ask(request, policy.image_timeout_seconds, payload)
    return facts, content


def _sides(size: Size) -> dict[str, Any]:
    return {"height_px": size.height_px, "width_px": size.width_px}


@contextmanager
def _within(max_memory_bytes: int) -> Iterator[None]:
    """No more memory than that, beyond what the process has; where the system can bound it."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except (ImportError, OSError):
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    most = pages * resource.getpagesize() + max_memory_bytes
    hard = before[1]
    resource.setrlimit(
        resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard)
    )
    try:
        yield
    except (MemoryError, MediaSizeError) as error:
        if not isinstance(error.__cause__ or error, MemoryError):
            raise
        raise MediaSizeError(
            f"decoding the picture takes more than {max_memory_bytes} bytes",
            hint="MediaPolicy(max_decoder_bytes=...) if you trust it",
        ) from error
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
