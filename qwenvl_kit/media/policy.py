"""What the kit agrees to open."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwenvl_kit.arguments.checks import tells_arguments
from qwenvl_kit.errors import InputError, MediaForbiddenError, MediaSizeError
from qwenvl_kit.geometry import Size

IMAGE_FORMATS = (
    "PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "ICO", "AVIF", "JPEG2000", "HEIF",
)  # fmt: skip
"""Pillow's decoders that are tried: those of photographs, scans and screenshots. Formats that
run other programs (EPS) or are rarely meant are left out. JPEG covers MPO, its first picture. HEIF
(HEIC), the format of phones, is read by pillow-heif (extra `heic`)."""

_WEB_PORTS = (80, 443)
_MAX_PATH_CHARACTERS = 2**13
"""Twice what Linux opens: a path of a million would be followed for minutes."""


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
"""Schemes of fsspec that open files of this machine, or whatever another URL names."""


@tells_arguments
@dataclass(frozen=True)
class MediaPolicy:
    """What is opened, and how much of it. By default local files, bytes and arrays; no network.

    Example:
        MediaPolicy(allow_hosts=["images.example.com", "*.example.org"], allow_folders=["/data"])

    Attributes:
        allow_hosts: whose http(s) URLs are fetched: "example.com", "*.example.com" for what is
            below it, "*" for all. Ports 80 and 443 are meant, "example.com:8080" another. A host
            may stand for public addresses alone, unless `allow_private_addresses` says otherwise.
        allow_folders: where local files may be, symbolic links followed; None for anywhere, and
            an empty list for nowhere.
        allow_schemes: which stores fsspec may open by URLs: "s3", "gs", "az". Any place there, with
            whatever credentials fsspec finds: keep it empty for URLs that come from strangers.
        allow_private_addresses: whether a host that is admitted may be at an address which is not
            public: this machine, a private network, the metadata service of a cloud.
        max_bytes: largest encoded picture to read, and video that is passed as bytes or fetched.
            Video files are not held in memory and may be larger.
        max_pixels: largest picture to decode, judged by its header before pixels are allocated.
            The default, 134,217,728, is beyond any camera of 128 megapixels, and 400 MB decoded.
        max_frames: most frames of one video to decode.
        max_duration_seconds: longest video to open; None for any.
        max_pages: most pages of one document to draw.
        max_redirects: how often a server may send to another place; each is judged anew.
        timeout_seconds: how long decoding one video, or all pages of a document, may take; what
            hangs is ended then.
        fetch_timeout_seconds: how long fetching one URL may take, redirects and tries included.
        image_formats: Pillow's names of the formats that pictures may have.
        isolate_video: decode video files in a process of its own, which a hang or a crash of a
            decoder costs and nothing else. False where no process may be started.
        isolate_images: the same for pictures and documents in files and bytes, at some milliseconds
            each. None for what is not plain: documents, and pictures that do not begin as JPEG,
            PNG, GIF, WebP or BMP (without compression). True for all of them; False for none, where
            no process may be started: what takes long can then not be ended.
        image_timeout_seconds: how long such a process may take for one picture, or for one page.
        max_decoder_bytes: most memory that it may take for one of them, or for a video, on Linux.
            For a picture it is less, in proportion to the size that its header says; see
            `qwenvl_kit.media.worker.limits`.

    Raises:
        InputError: a value that cannot be meant.
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
        """One that fetches from all public hosts too; other limits as the class takes them."""
        return cls(**{"allow_hosts": ("*",), **limits})

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def check_host(self, scheme: str, host: str, port: int) -> None:
        """Raises MediaForbiddenError for a host, as URLs name it, that is not admitted."""
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
        """Where a file really is, symbolic links followed; `~` is somebody's home.

        Raises:
            MediaForbiddenError: that is in none of the folders that are admitted, or the way there
                goes through another one and back by `..`.
            RuntimeError: nothing is fenced in, and there is no such home.
        """
        if self.allow_folders is None:
            return path.expanduser()
        if len(str(path)) > _MAX_PATH_CHARACTERS:
            raise forbidden_path()
        try:
            return self._followed(path.expanduser())
        except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL byte, nobody's home
            raise forbidden_path() from None

    def _followed(self, path: Path) -> Path:
        """Where a path leads, each `..` from within: from without it tells what is a link there."""
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
        """Raises MediaSizeError for a video that is too long."""
        if self.max_duration_seconds is not None and seconds > self.max_duration_seconds:
            raise MediaSizeError(
                f"the video is {seconds:.1f} s long",
                expected=f"at most {self.max_duration_seconds:g} s",
                hint="MediaPolicy(max_duration_seconds=...) if you trust it",
            )

    def check_num_bytes(self, num_bytes: int) -> None:
        """Raises MediaForbiddenError for an encoded picture that is too large."""
        if num_bytes > self.max_bytes:
            raise MediaForbiddenError(
                f"the source has {num_bytes} bytes",
                expected=f"at most {self.max_bytes}",
                hint="MediaPolicy(max_bytes=...) if you trust it",
            )

    def check_size(self, size: Size) -> None:
        """Raises MediaSizeError for a picture with no pixels or too many of them."""
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
        """Raises MediaSizeError for more frames of a video than are decoded."""
        if num_frames > self.max_frames:
            raise MediaSizeError(
                f"{num_frames} frames of the video are wanted",
                expected=f"at most {self.max_frames}",
                hint="a lower fps, num_frames or max_frames, or MediaPolicy(max_frames=...)",
            )


def forbidden_path() -> MediaForbiddenError:
    """What is said of every path outside, and nothing beside it, whatever is there."""
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
    """Whether a scheme, in small letters, may be among `allow_schemes`."""
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
"""What holds where a door of the kit was given no policy; rooms behind one take the chat's."""


def as_policy(choice: object) -> MediaPolicy:
    """The policy that was chosen; the default one for None.

    Raises:
        InputError: it is no policy.
    """
    if choice is None:
        return DEFAULT_POLICY
    if not isinstance(choice, MediaPolicy):
        raise InputError(f"media={choice!r} was given", expected="a MediaPolicy")
    return choice
