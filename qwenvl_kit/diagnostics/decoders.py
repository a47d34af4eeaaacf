"""Checks of the decoders of pictures and videos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from qwenvl_kit.diagnostics.environment import Environment, reason_of
from qwenvl_kit.diagnostics.findings import Finding

PICTURES: Mapping[str, str] = MappingProxyType(
    {"jpg": "JPEG", "zlib": "PNG", "webp": "WebP", "avif": "AVIF", "jpg_2000": "JPEG 2000"}
)
"""Picture formats, by the name of Pillow's feature that opens each."""

_INDISPENSABLE = ("JPEG", "PNG")

VIDEOS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "H.264": ("h264",),
        "HEVC": ("hevc",),
        "VP9": ("vp9", "libvpx-vp9"),
        "AV1": ("libdav1d", "libaom-av1"),  # FFmpeg's own "av1" needs a GPU that decodes it
    }
)
"""Video formats, each with the FFmpeg decoders that can open it."""


def pictures(environment: Environment) -> Iterator[Finding]:
    """Check the formats that this build of Pillow opens."""
    if environment.versions("pillow") is None:
        return
    check = environment.load("PIL.features").check
    kinds = {kind: bool(check(feature)) for feature, kind in PICTURES.items()}
    cure = "pip install --force-reinstall --no-cache-dir pillow"
    yield _judge("pictures", kinds, "Pillow", cure, _INDISPENSABLE)


def videos(environment: Environment) -> Iterator[Finding]:
    """Check the decoders in PyAV, which brings its own FFmpeg."""
    if environment.versions("av") is None:
        return
    available = environment.load("av.codec").codecs_available
    kinds = {kind: any(name in available for name in names) for kind, names in VIDEOS.items()}
    yield _judge("videos", kinds, "PyAV", "pip install --force-reinstall av", ("H.264",))


def torchcodec(environment: Environment) -> Iterator[Finding]:
    """Check that torchcodec finds FFmpeg and fits this torch; pip ensures neither."""
    version = environment.versions("torchcodec")
    if version is None:
        return
    environment.torch()  # raises NoTorchError without torch: another check reports that
    try:
        environment.load("torchcodec.decoders")
    except Exception as error:
        detail = f"{version} cannot be loaded ({reason_of(error)}); the kit does not need it"
        cure = "install FFmpeg (apt-get install ffmpeg), or pip uninstall torchcodec"
        yield Finding("torchcodec", "note", detail, cure)
        return
    yield Finding("torchcodec", "ok", version)


def _judge(
    name: str, kinds: Mapping[str, bool], library: str, cure: str, indispensable: tuple[str, ...]
) -> Finding:
    missing = [kind for kind, is_there in kinds.items() if not is_there]
    if not missing:
        return Finding(name, "ok", ", ".join(kinds))
    is_grave = any(kind in indispensable for kind in missing)
    detail = f"this build of {library} cannot open {', '.join(missing)}"
    return Finding(name, "problem" if is_grave else "note", detail, cure)
