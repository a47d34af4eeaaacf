"""Pictures as text: data URLs, and bare base64."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote, unquote_to_bytes

from qwenvl_kit.errors import MediaDecodeError
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.signatures import HEAD_BYTES, VIDEO_HINT, picture_format
from qwenvl_kit.safe_text import looks_like_base64, shown

DATA_URL = "data:image/png;base64,..."


def data_url_bytes(url: str, policy: MediaPolicy) -> bytes:
    """Return the bytes in a data URL.

    Raises:
        MediaDecodeError: the URL has no comma, or its base64 is not valid.
        MediaForbiddenError: it holds more bytes than the policy admits; it is not decoded then.
    """
    comma = url.find(",")
    if comma < 0:
        raise MediaDecodeError("the data URL has no comma", expected=DATA_URL)
    policy.check_num_bytes((len(url) - comma - 1) * 3 // 4)
    header, payload = url[:comma], url[comma + 1 :]
    if not header.lower().endswith(";base64"):
        return unquote_to_bytes(payload.encode(errors="replace"))
    try:
        return base64.b64decode("".join(unquote(payload).split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise MediaDecodeError(
            f"the data URL is not valid base64 ({error})",
            expected=DATA_URL,
            hint=VIDEO_HINT if header.lower().startswith("data:video/") else "",
        ) from error


def is_picture_in_base64(text: str) -> bool:
    """True if a text is base64 of a picture or PDF, judged by its form and its first bytes alone.

    A lookup of a file with that name would tell strangers which files exist.
    """
    return looks_like_base64(text) and is_start_in_base64(text[: 4 * HEAD_BYTES].encode())


def is_start_in_base64(start: bytes) -> bool:
    """True if a text begins like base64 of a picture or PDF."""
    joined = b"".join(start.split()).decode("ascii", errors="replace")
    head = _decoded(joined[: HEAD_BYTES // 3 * 4])
    return head is not None and (bool(picture_format(head)) or head.startswith(b"%PDF-"))


def bare_bytes(text: str, policy: MediaPolicy) -> bytes:
    """Return the bytes in bare base64, which has no data URL around it.

    Raises:
        MediaDecodeError: the text ends in the middle of a byte.
        MediaForbiddenError: it holds more bytes than the policy admits; it is not decoded then.
    """
    policy.check_num_bytes(len(text) * 3 // 4)
    content = _decoded("".join(text.split()))
    if content is None:
        raise MediaDecodeError(
            f"{shown(text)} is cut short", expected="base64 of a picture", hint=DATA_URL
        )
    return content


def _decoded(text: str) -> bytes | None:
    """Decode base64 of either alphabet, padded or not; None if it is not valid."""
    plain = text.rstrip("=").translate({ord("-"): "+", ord("_"): "/"})
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
