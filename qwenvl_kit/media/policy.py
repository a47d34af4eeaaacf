"""The media policy: the sources that may be opened, and their limits."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.errors import InputError, MediaForbiddenError, MediaSizeError
from qwenvl_kit.geometry import Size

IMAGE_FORMATS = (
    "PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "ICO", "AVIF", "JPEG2000", "HEIF",
)  # fmt: skip
"""Pillow's decoders that are tried: those of photographs, scans and screenshots. Formats that run
other programs (EPS) or are rare are left out. JPEG covers MPO, its first picture. HEIF (HEIC), the
format of phones, is read by pillow-heif (extra `heic`)."""

_WEB_PORTS = (80, 443)
_MAX_PATH_CHARACTERS = 2**13
"""Twice the longest path that Linux opens: to resolve a path of a million would take minutes."""


_JUDGED_ELSEWHERE = {
    **dict.fromkeys(("http", "https"), "allow_hosts=[...]"),
    **dict.fromkeys(("file", "local"), "allow_folders=[...], and paths"),
    "data": "no permission: data URLs are bytes",
}
_LEADING_ELSEWHERE = frozenset(
    (
        *("asynclocal", "blockcache", "cached", "dir", "filecache", "generic", "libarchive"),
        *("reference", "simplecache", "tar", "zip", "arrow_local", "asyncwrapper"),
    )
)
"""Schemes of fsspec that open files of this machine, or any other URL that they name."""


@explains_wrong_arguments
@dataclass(frozen=True)
class MediaPolicy:
    """The sources that may be opened, and limits for them.

    By default these are local files, bytes and arrays, and nothing on the network.

    Example:
        MediaPolicy(allow_hosts=["images.example.com", "*.example.org"], allow_folders=["/data"])

    Attributes:
        allow_hosts: hosts whose http(s) URLs are fetched: "example.com", "*.example.com" for its
            subdomains, "*" for all. Ports are 80 and 443, unless one is named: "example.com:8080".
            A host must have public addresses only, unless `allow_private_addresses` is True.
        allow_folders: folders in which local files must be, after symbolic links are resolved;
            None for any folder, an empty list for none.
        allow_schemes: stores that fsspec may open by URLs: "s3", "gs", "az". Any place there may be
            read, with any credentials that fsspec finds: keep it empty for URLs from strangers.
        allow_private_addresses: True if an admitted host may have an address that is not public:
            this machine, a private network, the metadata service of a cloud.
        max_bytes: largest encoded picture to read, and largest video that is passed as bytes or
            fetched. Video files are not held in memory and may be larger.
        max_pixels: largest picture to decode, checked in its header before pixels are allocated.
            The default, 134,217,728, is more than a camera of 128 megapixels has, and takes 400 MB
            decoded.
        max_frames: most frames of one video to decode.
        max_duration_seconds: longest video to open; None for any.
        max_pages: most pages of one document to draw.
        max_redirects: most redirects of one URL; each target is checked again.
        timeout_seconds: time to decode one video, or all pages of a document; a decoder that
            hangs is ended then.
        fetch_timeout_seconds: time to fetch one URL, redirects and retries included.
        image_formats: Pillow's names of the formats that pictures may have.
        isolate_video: True to decode video files in a separate process, so that a decoder that
            hangs or crashes harms nothing else. False if no process may be started.
        isolate_images: the same for pictures and documents in files and bytes; it takes some
            milliseconds for each. None isolates those that are not plain: documents, and pictures
            that do not begin as JPEG, PNG, GIF, WebP or BMP (without compression). True isolates
            all of them. False isolates none, if no process may be started; a decoder that hangs
            can then not be ended.
        image_timeout_seconds: time of such a process for one picture, or for one page.
        max_decoder_bytes: most memory of such a process for one of them, or for a video, on Linux.
            A picture is given less, in proportion to the size in its header; see
            `qwenvl_kit.media.worker.limits`.

    Raises:
        InputError: a value is out of range or of the wrong type.
    """

    allow_hosts: Sequence[str] = ()
    allow_folders: Sequence[str | os.PathLike[str]] | None = None
    allow_schemes: Sequence[str] = ()
    allow_private_addresses: bool = False
    max_bytes: int = 256 * 2**20
    max_pixels: int = 128 * 2**20
    max_frames: int = 16_384
    max_duration_seconds: float | None = None
    max_pages: int = 200
    max_redirects: int = 3
    timeout_seconds: float = 600.0
    fetch_timeout_seconds: float = 30.0
    image_formats: Sequence[str] = IMAGE_FORMATS
    isolate_video: bool = True
    isolate_images: bool | None = None
    image_timeout_seconds: float = 30.0
    max_decoder_bytes: int = 2 * 2**30

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels", "max_frames", "max_pages", "max_decoder_bytes"):
            _check_count(name, getattr(self, name), least=1)
        _check_count("max_redirects", self.max_redirects, least=0)
        for name in ("timeout_seconds", "fetch_timeout_seconds", "image_timeout_seconds"):
            _check_seconds(name, getattr(self, name))
        if self.max_duration_seconds is not None:
            _check_seconds("max_duration_seconds", self.max_duration_seconds)
        for name in ("isolate_video", "allow_private_addresses"):
            _check_choice(name, getattr(self, name), (True, False))
        _check_choice("isolate_images", self.isolate_images, (True, False, None))
        self._set(
            "allow_hosts", tuple(map(_host_pattern, _listed("allow_hosts", self.allow_hosts)))
        )
        self._set(
            "allow_schemes", tuple(map(_scheme, _listed("allow_schemes", self.allow_schemes)))
        )
        self._set("image_formats", _formats(_listed("image_formats", self.image_formats)))
        if self.allow_folders is not None:
            folders = _listed("allow_folders", self.allow_folders)
            self._set("allow_folders", tuple(map(_folder, folders)))

    @classmethod
    def web(cls, **limits: Any) -> MediaPolicy:
        """Return a policy that fetches from all public hosts; takes the limits of the class."""
        return cls(**{"allow_hosts": ("*",), **limits})

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def check_host(self, scheme: str, host: str, port: int) -> None:
        """Raise MediaForbiddenError for a host, as URLs name it, that is not admitted."""
        for pattern in self.allow_hosts:
            name, _, asked = pattern.rpartition(":") if _has_port(pattern) else (pattern, "", "")
            is_port = port == int(asked) if asked else port in _WEB_PORTS
            if is_port and _fits(host, name):
                return
        shown = host if port in _WEB_PORTS else f"{host}:{port}"
        raise MediaForbiddenError(
            f"the source is on the network ({scheme}://{shown})",
            expected="a host that the policy admits" if self.allow_hosts else "no URL",
            hint="MediaPolicy(allow_hosts=[...]), or download it yourself and pass the bytes",
        )

    def check_path(self, path: Path) -> Path:
        """Return the real path of a file, with symbolic links resolved and `~` expanded.

        Raises:
            MediaForbiddenError: it is in no admitted folder, or the path leaves such a folder and
                comes back by `..`.
            RuntimeError: files are not fenced in, and there is no such home folder.
        """
        if self.allow_folders is None:
            return path.expanduser()
        if len(str(path)) > _MAX_PATH_CHARACTERS:
            raise forbidden_path()
        try:
            return self._followed(path.expanduser())
        except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL byte, no such home
            raise forbidden_path() from None

    def _followed(self, path: Path) -> Path:
        """Resolve a path; each `..` must stay inside the fence: outside it would reveal links."""
        here, names = Path(path.anchor), list[str]()
        for name in path.parts[1:] if path.anchor else path.parts:
            if name == ".." and any(given != ".." for given in (*here.parts[1:], *names[-1:])):
                here, names = self._within(here.joinpath(*names)).parent, []
            else:
                names.append(name)
        return self._within(here.joinpath(*names))

    def _within(self, path: Path) -> Path:
        real = path.resolve()
        if not any(map(real.is_relative_to, self.allow_folders or ())):
            raise forbidden_path()
        return real

    def check_duration(self, seconds: float) -> None:
        """Raise MediaSizeError for a video that is too long."""
        if self.max_duration_seconds is not None and seconds > self.max_duration_seconds:
            raise MediaSizeError(
                f"the video is {seconds:.1f} s long",
                expected=f"at most {self.max_duration_seconds:g} s",
                hint="MediaPolicy(max_duration_seconds=...) if you trust it",
            )

    def check_num_bytes(self, num_bytes: int) -> None:
        """Raise MediaForbiddenError for an encoded picture that is too large."""
        if num_bytes > self.max_bytes:
            raise MediaForbiddenError(
                f"the source has {num_bytes} bytes",
                expected=f"at most {self.max_bytes}",
                hint="MediaPolicy(max_bytes=...) if you trust it",
            )

    def check_size(self, size: Size) -> None:
        """Raise MediaSizeError for a picture with no pixels or too many of them."""
        if size.area_pixels == 0:
            raise MediaSizeError(
                f"the picture has no pixels ({size})", expected="sides of at least one pixel"
            )
        if size.area_pixels > self.max_pixels:
            raise MediaSizeError(
                f"the picture is {size}, {size.area_pixels} pixels",
                expected=f"at most {self.max_pixels}",
                hint="MediaPolicy(max_pixels=...) if you trust it",
            )

    def check_num_frames(self, num_frames: int) -> None:
        """Raise MediaSizeError for too many frames of a video."""
        if num_frames > self.max_frames:
            raise MediaSizeError(
                f"{num_frames} frames of the video are wanted",
                expected=f"at most {self.max_frames}",
                hint="a lower fps, num_frames or max_frames, or MediaPolicy(max_frames=...)",
            )


def forbidden_path() -> MediaForbiddenError:
    """Return the one error for every path outside the fence: it does not say if a file is there."""
    return MediaForbiddenError(
        "the file is in no folder that may be read",
        expected="one that the policy admits",
        hint="MediaPolicy(allow_folders=[...])",
    )


def _check_count(name: str, value: object, least: int) -> None:
    if type(value) is not int or value < least:
        raise InputError(
            f"{name}={value!r} was given",
            expected="a whole number above 0" if least else "a whole number, 0 or above",
        )


def _check_seconds(name: str, value: object) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 < value < float("inf"):  # type: ignore[operator]
        raise InputError(f"{name}={value!r} was given", expected="a number of seconds above 0")


def _check_choice(name: str, value: object, choices: tuple[bool | None, ...]) -> None:
    if not any(value is choice for choice in choices):
        *others, last = map(str, choices)
        raise InputError(f"{name}={value!r} was given", expected=f"{', '.join(others)} or {last}")


def _listed(name: str, values: object) -> list[Any]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        raise InputError(f"{name}={values!r} was given", expected="a list of them")
    return list(values)


_HOST_PATTERN = re.compile(r"(\*|(\*\.)?[a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


def _host_pattern(value: object) -> str:
    pattern = value.lower().rstrip(".") if isinstance(value, str) else ""
    if not _HOST_PATTERN.fullmatch(pattern):
        raise InputError(
            f"allow_hosts holds {value!r}",
            expected="a name such as 'example.com', '*.example.com', 'example.com:8080' or '*'",
        )
    return pattern


def is_store(scheme: str) -> bool:
    """True if a scheme, in lower case, may be among `allow_schemes`."""
    return scheme not in _JUDGED_ELSEWHERE and scheme not in _LEADING_ELSEWHERE


def _scheme(value: object) -> str:
    scheme = value.lower().removesuffix("://") if isinstance(value, str) else ""
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme):
        raise InputError(f"allow_schemes holds {value!r}", expected="a name such as 's3' or 'gs'")
    if not is_store(scheme):
        raise InputError(
            f"allow_schemes holds {scheme!r}, which opens more than one store",
            expected="a store such as 's3' or 'gs'",
            hint=_JUDGED_ELSEWHERE.get(scheme, "open it yourself, and pass the bytes"),
        )
    return scheme


def _has_port(pattern: str) -> bool:
    return re.search(r":[0-9]{1,5}$", pattern) is not None and not pattern.endswith("]")


def _fits(host: str, name: str) -> bool:
    if name == "*":
        return True
    if name.startswith("*."):
        return host.endswith(name[1:]) and host != name[2:]
    return host == name.strip("[]")


def _formats(values: Sequence[object]) -> tuple[str, ...]:
    unknown = [value for value in values if value not in IMAGE_FORMATS]
    if unknown or not values:
        raise InputError(
            f"image_formats={list(values)!r} was given",
            expected=f"some of {', '.join(IMAGE_FORMATS)}",
        )
    return tuple(map(str, values))


def _folder(value: object) -> Path:
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        raise InputError(f"allow_folders holds {value!r}", expected="a folder")
    return Path(os.fsdecode(value)).expanduser().resolve()


DEFAULT_POLICY = MediaPolicy()
"""The policy of functions that were given none; code inside a chat takes the chat's policy."""


def as_policy(choice: object) -> MediaPolicy:
    """Return the policy that was chosen; the default one for None.

    Raises:
        InputError: the choice is no `MediaPolicy`.
    """
    if choice is None:
        return DEFAULT_POLICY
    if not isinstance(choice, MediaPolicy):
        raise InputError(f"media={choice!r} was given", expected="a MediaPolicy")
    return choice
