"""From what a user calls a picture to a Pillow image whose header is read."""

from __future__ import annotations

import base64
import binascii
import io
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from qwenvl_kit.errors import (
    MediaDecodeError,
    MediaError,
    MediaForbiddenError,
    MediaNotFoundError,
    MediaSizeError,
    MediaSourceError,
)
from qwenvl_kit.media.arrays import array_to_image, is_array
from qwenvl_kit.media.policy import MediaPolicy

if TYPE_CHECKING:
    import PIL.Image

    from qwenvl_kit.media.web.fetching import IsEnough

_VIDEO_HINT = "VideoPart(...) for a video"

_START_OF_SCAN = b"\xff\xda"
_MAX_PASSES = 100
"""Of a progressive JPEG; encoders write about ten, and a picture may hold others beside it."""

_SCHEME = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]+):")


def open_image(source: Any, policy: MediaPolicy) -> PIL.Image.Image:
    """A Pillow image, its header read and judged; the pixels of an encoded picture are not.

    Raises:
        MediaError: what the source is, and why it cannot be opened.
    """
    with opened_source(source, policy) as opened:
        if isinstance(opened, Path):
            data, name = _read_file(opened, policy), str(opened)
        elif isinstance(opened, bytes):
            data, name = opened, "the source"
        else:
            return opened
        image = _open_bytes(data, policy, name)
        _check_passes(image, data, name)
        return image


@contextmanager
def open_header(source: Any, policy: MediaPolicy) -> Iterator[PIL.Image.Image]:
    """The same for those who want the header alone: of a file no more than that is read.

    Raises:
        MediaError: as `open_image`.
    """
    with opened_source(source, policy) as opened:
        if not isinstance(opened, Path):
            yield _open_bytes(opened, policy) if isinstance(opened, bytes) else opened
            return
        try:
            policy.check_num_bytes(opened.stat().st_size)
            file = opened.open("rb")
        except OSError as error:
            raise _unreadable(opened, error) from error
        with file:
            yield _identify(file, policy, name=str(opened))


def is_encoded(source: object) -> bool:
    """Whether a source is a file or bytes, which a decoder has to read."""
    return isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview))


def is_on_the_web(source: object) -> bool:
    """Whether a source is a URL that would have to be fetched."""
    return isinstance(source, str) and source[:8].lower().startswith(("http://", "https://"))


def resolve_source(source: Any, policy: MediaPolicy) -> PIL.Image.Image | Path | bytes:
    """What a source stands for: a picture in memory, a file that may be read, or encoded bytes.

    Raises:
        MediaError: it is none of them, it is not there, or the policy refuses it.
    """
    import PIL.Image

    if isinstance(source, PIL.Image.Image):
        return source
    if is_array(source):
        return array_to_image(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    if isinstance(source, str) and _SCHEME.match(source):
        return _resolve_url(source, policy)
    if isinstance(source, (str, os.PathLike)):
        return _checked_path(named_path(source), policy)
    from qwenvl_kit.media.documents import DocumentPage  # which opens documents by this module

    if isinstance(source, DocumentPage):
        return source.drawn(policy)
    raise MediaSourceError(
        f"a source of type {type(source).__name__} was given",
        expected="a path, file:// or data URL, bytes, Pillow image, NumPy array or torch tensor",
    )


@contextmanager
def opened_source(source: Any, policy: MediaPolicy) -> Iterator[PIL.Image.Image | Path | bytes]:
    """What `resolve_source` says, for as long as it is read.

    Where files are fenced in, errors within name a file as it was given: where the fences are, and
    what links lead to, is not for those who name files.
    """
    opened = resolve_source(source, policy)
    try:
        yield opened
    except MediaError as error:
        if policy.allow_folders is not None and isinstance(opened, Path):
            error.rename(str(opened), _shorten(source))
        raise


def _resolve_url(url: str, policy: MediaPolicy) -> Path | bytes:
    scheme = url.partition(":")[0].lower()
    if scheme == "data":
        return _data_url_bytes(url, policy)
    if scheme == "file":
        return _checked_path(_file_url_path(url), policy)
    if scheme in ("http", "https"):
        return fetch_url(url, policy)
    return _checked_path(named_path(url), policy)


def fetch_url(url: str, policy: MediaPolicy, is_enough: IsEnough | None = None) -> bytes:
    """What is on the network, if anything there may be opened at all.

    Args:
        url: where it is.
        policy: what may be opened.
        is_enough: see `qwenvl_kit.media.web.fetch`.

    Raises:
        MediaError: the policy admits nothing there, or as `fetch`.
    """
    if not policy.allow_hosts:
        raise MediaForbiddenError(
            f"the source is on the network ({url.partition(':')[0].lower()}://{_host(url)})",
            expected="a local file, bytes or an array",
            hint="MediaPolicy(allow_hosts=[...]), or download it yourself and pass the bytes",
        )
    from qwenvl_kit.media.web import fetch

    return fetch(url, policy, is_enough=is_enough)


def named_path(source: str | os.PathLike[str]) -> Path:
    """The path that a source names; one that looks like a URL is a path if it exists.

    Raises:
        MediaSourceError: a URL of a scheme that the kit does not open.
    """
    name = os.fsdecode(source)
    scheme = _SCHEME.match(name)
    if scheme and isinstance(source, str) and not os.path.exists(name):
        raise MediaSourceError(
            f"a source with scheme {scheme.group(1)} was given", expected="file://, data: or a path"
        )
    return Path(name)


def _file_url_path(url: str) -> Path:
    from urllib.request import url2pathname  # slow to import

    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise MediaSourceError(
            f"{url[:100]!r} is not a URL ({error})", expected="file:///home/me/photo.jpg"
        ) from error
    if parts.netloc not in ("", "localhost"):
        raise MediaForbiddenError(
            f"the file URL names another machine ({parts.netloc})",
            expected="three slashes, as in file:///home/me/photo.jpg",
        )
    # A '#' or '?' is a legal character of a file name, though a URL gives it a meaning.
    tail = (f"?{parts.query}" if parts.query else "") + (
        f"#{parts.fragment}" if parts.fragment else ""
    )
    return Path(url2pathname(parts.path) + unquote(tail))


def _data_url_bytes(url: str, policy: MediaPolicy) -> bytes:
    comma = url.find(",")
    if comma < 0:
        raise MediaDecodeError("the data URL has no comma", expected="data:image/png;base64,...")
    policy.check_num_bytes((len(url) - comma - 1) * 3 // 4)
    header, payload = url[:comma], url[comma + 1 :]
    if not header.lower().endswith(";base64"):
        return unquote_to_bytes(payload.encode(errors="replace"))
    try:
        return base64.b64decode("".join(unquote(payload).split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise MediaDecodeError(
            f"the data URL is not valid base64 ({error})",
            expected="data:image/png;base64,...",
            hint=_VIDEO_HINT if header.lower().startswith("data:video/") else "",
        ) from error


def _checked_path(given: Path, policy: MediaPolicy) -> Path:
    """The path of a file that may be read; messages name it as it was given."""
    try:
        path = policy.check_path(given.expanduser())
        status = path.stat()
    except MediaForbiddenError:
        raise
    except FileNotFoundError as error:
        # Where files are fenced in, the one who names them is not to learn where this is.
        is_ours = policy.allow_folders is None
        hint = f"an absolute path; the working directory is {_working_directory()}"
        raise MediaNotFoundError(f"no file at {given}", hint=hint if is_ours else "") from error
    except (OSError, ValueError, RuntimeError) as error:  # a NUL byte, a name too long, an odd ~
        raise MediaNotFoundError(
            f"{_shorten(given)} cannot be a file ({_shorten(error)})", expected="a file"
        ) from error
    if stat.S_ISDIR(status.st_mode):
        raise MediaSourceError(f"{given} is a directory", expected="a file")
    if not stat.S_ISREG(status.st_mode):  # reading a device or a pipe might never end
        raise MediaSourceError(f"{given} is a device or a pipe", expected="a file")
    return path


def _read_file(path: Path, policy: MediaPolicy) -> bytes:
    try:
        policy.check_num_bytes(path.stat().st_size)
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> MediaNotFoundError:
    return MediaNotFoundError(
        f"{path} cannot be read ({error.strerror})", expected="a file that you may read"
    )


def _open_bytes(data: bytes, policy: MediaPolicy, name: str = "the source") -> PIL.Image.Image:
    policy.check_num_bytes(len(data))
    return _identify(io.BytesIO(data), policy, name)


def _identify(stream: BinaryIO, policy: MediaPolicy, name: str) -> PIL.Image.Image:
    """A Pillow image whose header is read from a stream."""
    import PIL.Image

    try:
        image = PIL.Image.open(stream, formats=tuple(policy.image_formats))
    except PIL.UnidentifiedImageError as error:
        raise _not_a_picture(stream, policy, name) from error
    except PIL.Image.DecompressionBombError as error:
        raise MediaSizeError(
            f"{name} is too large to decode ({error})",
            hint="if you trust it: PIL.Image.MAX_IMAGE_PIXELS and MediaPolicy(max_pixels=...)",
        ) from error
    except Exception as error:  # decoders raise nearly anything on damaged headers
        raise MediaDecodeError(
            f"{name} has a damaged header ({error})", hint="fetch or save it again"
        ) from error
    if image.format == "PNG" and "Raw profile type exif" not in image.info:
        # Without this entry Pillow decodes the whole picture to look for it behind the pixels.
        image.info.setdefault("exif", _png_exif(stream))
    return image


def _check_passes(image: PIL.Image.Image, data: bytes, name: str) -> None:
    """Refuse a progressive JPEG that goes over its pixels again and again.

    A pass may take ten bytes of a file and a second of a processor, so that 300 KB last minutes.
    """
    is_progressive = "progressive" in image.info and image.format in ("JPEG", "MPO")
    num_passes = data.count(_START_OF_SCAN) if is_progressive else 1
    if num_passes > _MAX_PASSES:
        raise MediaSizeError(
            f"{name} is a JPEG in {num_passes} passes",
            expected=f"at most {_MAX_PASSES}",
            hint="save it again, if you trust it",
        )


def _not_a_picture(stream: BinaryIO, policy: MediaPolicy, name: str) -> MediaDecodeError:
    num_bytes = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    start = stream.read(12)
    if not num_bytes:
        return MediaDecodeError(f"{name} is empty (0 bytes)", expected="a picture")
    return MediaDecodeError(
        f"{name} is not a picture ({num_bytes} bytes that begin with {start!r})",
        expected=f"one of {', '.join(policy.image_formats)}",
        hint=_VIDEO_HINT if _is_video(start) else "",
    )


def _png_exif(stream: BinaryIO) -> bytes:
    """The EXIF chunk of a PNG, found without reading the others; empty if there is none."""
    position = stream.tell()  # Pillow goes on reading from here
    found = b""
    offset = 8
    while not found:
        stream.seek(offset)
        head = stream.read(8)
        if len(head) < 8:
            break
        num_bytes = int.from_bytes(head[:4], "big")
        if head[4:] == b"eXIf":
            found = stream.read(num_bytes)
        offset += 12 + num_bytes
    stream.seek(position)
    return found


def _is_video(data: bytes) -> bool:
    """Whether bytes begin as MP4 and MOV files do, or as Matroska and WebM files."""
    return data[4:8] == b"ftyp" or data[:4] == b"\x1a\x45\xdf\xa3"


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "gone"


def _host(url: str) -> str:
    """The machine that a URL names, without the password and query that it may hold."""
    return url.partition("//")[2].partition("/")[0].rpartition("@")[2][:100]


def _shorten(value: object) -> str:
    text = str(value) if isinstance(value, Exception) else repr(str(value))
    return text if len(text) <= 200 else f"{text[:150]}...{text[-20:]}"
