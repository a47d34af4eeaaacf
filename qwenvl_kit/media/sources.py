"""Sources of pictures, as users give them, resolved to a path, bytes or a Pillow image."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from qwenvl_kit.errors import MediaError, MediaForbiddenError, MediaSourceError
from qwenvl_kit.media.arrays import array_to_image, is_array
from qwenvl_kit.media.base64_text import bare_bytes, data_url_bytes, is_picture_in_base64
from qwenvl_kit.media.file_objects import is_file, read_file
from qwenvl_kit.media.image_headers import check_passes, identify_stream, open_bytes
from qwenvl_kit.media.local_files import checked_file, open_file
from qwenvl_kit.media.local_files import read_file as read_path
from qwenvl_kit.media.locks import locked
from qwenvl_kit.media.policy import MediaPolicy, is_store
from qwenvl_kit.media.types import DrawnImage, Opened
from qwenvl_kit.safe_text import shown, shown_url

if TYPE_CHECKING:
    import PIL.Image

    from qwenvl_kit.media.web.fetcher import IsEnough

_SOURCES = (
    "a path, file:// or data URL, base64, bytes, an open file, Pillow image, NumPy array "
    '(H, W, C), torch tensor (C, H, W), or {"bytes": ..., "path": ...}'
)

_SCHEME = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]+):")


def open_image(opened: Opened, policy: MediaPolicy) -> PIL.Image.Image:
    """Open a Pillow image, with its header read and checked; encoded pixels are not decoded.

    Args:
        opened: the result of `opened_source`.
        policy: the limits.

    Raises:
        MediaError: it cannot be opened, or the policy refuses it.
    """
    if isinstance(opened, Path):
        data, name = read_path(opened, policy), str(opened)
    elif isinstance(opened, bytes):
        data, name = opened, "the source"
    else:
        return opened
    image = open_bytes(data, policy, name)
    check_passes(image, data, name)
    return image


@contextmanager
def open_header(opened: Opened, policy: MediaPolicy) -> Iterator[PIL.Image.Image]:
    """Open a Pillow image for its header alone: no more of a file is read.

    Raises:
        MediaError: as `open_image`.
    """
    if not isinstance(opened, Path):
        yield open_bytes(opened, policy) if isinstance(opened, bytes) else opened
        return
    with open_file(opened, policy) as file:
        policy.check_num_bytes(os.fstat(file.fileno()).st_size)
        yield identify_stream(file, policy, name=str(opened))


def is_encoded(source: object) -> bool:
    """True if a source is a file or bytes, in any wrapping, that a decoder has to read."""
    if isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview, Mapping)):
        return True
    return is_file(source) and not is_array(source)


def is_web_url(source: object) -> bool:
    """True if a source is an http(s) URL."""
    return isinstance(source, str) and source[:8].lower().startswith(("http://", "https://"))


def is_remote(source: object, policy: MediaPolicy) -> bool:
    """True if a source must be fetched: from the web, or from a store that the policy admits."""
    if not isinstance(source, str):
        return False
    scheme, mark, _ = source[:100].partition("://")
    return is_web_url(source) or (bool(mark) and scheme.lower() in policy.allow_schemes)


def resolve_source(source: Any, policy: MediaPolicy) -> Opened:
    """Return a picture in memory, the path of a file that may be read, or encoded bytes.

    Raises:
        MediaError: the source is none of them, it is not there, or the policy refuses it.
    """
    import PIL.Image

    if isinstance(source, PIL.Image.Image):
        return source
    if is_array(source):
        return array_to_image(source)
    if _is_video_frame(source):
        return _frame_to_image(source)
    if is_encoded(source):
        return _resolve_encoded(source, policy)
    if isinstance(source, DrawnImage):
        return source.draw(policy)
    hint = "the file that source.open() gives" if hasattr(source, "open") else ""
    raise MediaSourceError(
        f"a source of type {type(source).__name__} was given",
        expected=_SOURCES,
        hint="its bytes: source.read_bytes()" if hasattr(source, "read_bytes") else hint,
    )


def _resolve_encoded(source: Any, policy: MediaPolicy) -> Path | bytes:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    if isinstance(source, str):
        return _resolve_text(source, policy)
    if isinstance(source, os.PathLike):
        return checked_file(named_path(source, policy), policy)
    if isinstance(source, Mapping):
        return _resolve_encoded(_of_row(source), policy)
    return read_file(source, policy)


def _of_row(row: Mapping[Any, Any]) -> Any:
    """The bytes, or else the path, in a row of a data set (Hugging Face's `Image`, `Video`)."""
    given = {name: value for name, value in row.items() if value is not None}
    source = given.get("bytes", given.get("path"))
    if not given.keys() <= {"bytes", "path"} or source is None:
        raise MediaSourceError(
            f"a {type(row).__name__} with the keys {', '.join(sorted(map(repr, row)))} was given",
            expected='{"bytes": ..., "path": ...} with one of them, as rows of data sets have',
        )
    name, kinds = (
        ("bytes", (bytes, bytearray, memoryview))
        if "bytes" in given
        else ("path", (str, os.PathLike))
    )
    if not isinstance(source, kinds):
        raise MediaSourceError(
            f"a row whose {name} is a {type(source).__name__} was given",
            expected='{"bytes": bytes, "path": a string}, with one of them',
        )
    return source


def _is_video_frame(source: object) -> bool:
    """True if a source is a frame that PyAV has decoded."""
    av = sys.modules.get("av")
    return av is not None and isinstance(source, getattr(av, "VideoFrame", ()))


def _frame_to_image(frame: Any) -> PIL.Image.Image:
    """A frame of PyAV, upright, as players show it; its converter may run in one thread only."""
    with locked(frame):
        image: PIL.Image.Image = frame.to_image()
    turned = int(getattr(frame, "rotation", 0) or 0)
    return image.rotate(turned, expand=True) if turned % 360 else image


@contextmanager
def opened_source(source: Any, policy: MediaPolicy) -> Iterator[Opened]:
    """Resolve a source, as `resolve_source`, for as long as it is read.

    If files are fenced in, errors within name a file as it was given: the caller must not learn
    the real folders, or the targets of links.
    """
    opened = resolve_source(source, policy)
    try:
        yield opened
    except MediaError as error:
        if policy.allow_folders is not None and isinstance(opened, Path):
            error.rename(str(opened), _named(source))
        raise


def _resolve_text(text: str, policy: MediaPolicy) -> Path | bytes:
    if is_remote(text, policy):
        return fetch_url(text, policy)
    scheme = text[:8].partition(":")[0].lower()
    if scheme == "data":
        return data_url_bytes(text, policy)
    if scheme == "file":
        return checked_file(_file_url_path(text), policy)
    if scheme in ("http", "https") and ":" in text[:8]:
        return fetch_url(text, policy)
    if is_picture_in_base64(text):
        return bare_bytes(text, policy)
    return checked_file(named_path(text, policy), policy)


def fetch_url(url: str, policy: MediaPolicy, is_enough: IsEnough | None = None) -> bytes:
    """Return the bytes behind a URL, if the policy admits it.

    Args:
        url: the URL.
        policy: the media policy.
        is_enough: see `qwenvl_kit.media.web.fetch`.

    Raises:
        MediaError: the policy admits nothing there, or as `fetch` and `fetch_remote`.
    """
    scheme = url.partition(":")[0].lower()
    if scheme in policy.allow_schemes:
        from qwenvl_kit.media.stores import fetch_remote

        return fetch_remote(url, policy)
    if not policy.allow_hosts:
        raise MediaForbiddenError(
            f"the source is on the network ({shown_url(url)})",
            expected="a local file, bytes or an array",
            hint="MediaPolicy(allow_hosts=[...]), or download it yourself and pass the bytes",
        )
    from qwenvl_kit.media.web import fetch

    return fetch(url, policy, is_enough=is_enough)


def named_path(source: str | os.PathLike[str], policy: MediaPolicy) -> Path:
    """Return the path that a source names.

    A text that looks like a URL is a path if such a file exists. If files are fenced in, its form
    alone decides: the caller must not learn which files exist.

    Raises:
        MediaSourceError: a URL of a scheme that the kit does not open.
    """
    name = os.fsdecode(source)
    scheme = _SCHEME.match(name)
    if scheme and isinstance(source, str):
        is_fenced = policy.allow_folders is not None
        if "://" in name if is_fenced else not os.path.exists(name):
            raise _unknown_scheme(name, scheme.group(1)[:20])
    return Path(name)


def _unknown_scheme(url: str, scheme: str) -> MediaSourceError:
    hint = "open it, and pass the bytes" if "://" in url else ""
    if hint and "::" not in url and is_store(scheme.lower()):
        hint = f"MediaPolicy(allow_schemes=[{scheme.lower()!r}]), or {hint}"
    is_user = "@" in url and "://" not in url  # as in me:secret@host
    return MediaSourceError(
        f"a source with scheme {'...' if is_user else scheme} was given",
        expected="file://, data: or a path",
        hint=hint,
    )


def _file_url_path(url: str) -> Path:
    from urllib.request import url2pathname  # slow to import

    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise MediaSourceError(
            "the file URL cannot be read", expected="file:///home/me/photo.jpg"
        ) from error
    if parts.netloc not in ("", "localhost"):
        raise MediaForbiddenError(
            f"the file URL names another machine ({shown_url(url)})",
            expected="three slashes, as in file:///home/me/photo.jpg",
        )
    # A '#' or '?' is a legal character of a file name, though a URL gives it a meaning.
    tail = (f"?{parts.query}" if parts.query else "") + (
        f"#{parts.fragment}" if parts.fragment else ""
    )
    return Path(url2pathname(parts.path) + unquote(tail))


def _named(source: object) -> str:
    """The name of a file, as the source gave it."""
    path = source.get("path") if isinstance(source, Mapping) else source
    return shown(str(path))
