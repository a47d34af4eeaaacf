"""Fingerprints of pictures, videos and documents, by which stored results notice another one."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, astuple, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from qwenvl_kit.errors import located
from qwenvl_kit.media.arrays import is_array
from qwenvl_kit.media.documents import DocumentPage
from qwenvl_kit.media.frame_sequences import is_sequence
from qwenvl_kit.media.images import decode_image
from qwenvl_kit.media.local_files import open_file, read_piece, sha256_of_file
from qwenvl_kit.media.pillow_objects import frame_of
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.sources import is_encoded, is_remote, opened_source, resolve_source
from qwenvl_kit.media.subtitles.reading import file_beside
from qwenvl_kit.messages.document_parts import DocumentPart
from qwenvl_kit.messages.message import ImagePart, VideoPart
from qwenvl_kit.messages.subtitles import OWN
from qwenvl_kit.plans import ImagePlan, VideoPlan

_NUM_SAMPLES = 16
_SAMPLE_BYTES = 64 * 2**10


def identify_source(source: Any, policy: MediaPolicy) -> dict[str, Any]:
    """Return the facts that tell a video from another.

    A file is identified by its path, size, time of change and samples of its bytes: reading
    gigabytes to be sure would take longer than it is worth. A URL on the network is identified by
    itself, so that a run continues without fetching media whose answers it has. Its hash is kept,
    as the URL may hold credentials. Data in memory, and an open file, are identified by content.

    Raises:
        MediaSourceError: frames of a kind that cannot be identified.
        MediaNotFoundError: there is no such file.
        MediaError: the policy refuses it.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return {"sha256": hashlib.sha256(source).hexdigest()}
    if isinstance(source, str) and source[:5].lower() == "data:":
        return {"sha256": hashlib.sha256(source.encode()).hexdigest()}
    if is_remote(source, policy):
        return {"url_sha256": hashlib.sha256(source.encode(errors="surrogatepass")).hexdigest()}
    if is_encoded(source):
        return _identify_encoded(source, policy)
    if isinstance(source, Sequence):
        return {"frames": len(source), "sha256": _identify_frames(source, policy)}
    return _identify_pixels(source, policy)


def identify_part(
    source: Any, plan: ImagePlan | VideoPlan | None, policy: MediaPolicy
) -> str | None:
    """Return a hash that identifies a source and its plan, without decoding it.

    A file is identified by its path, size and times of change, encoded bytes by their content.

    Returns:
        The hash; None for pixels in memory, and for a source that is not planned yet.

    Raises:
        MediaError: it is not there, or the policy refuses it.
    """
    if plan is None or (isinstance(plan, VideoPlan) and is_sequence(source)):
        return None
    if isinstance(source, DocumentPage):
        document = source.document
        file = document.cached_key(lambda given: _identify_opened(given, policy))
        known: object = file and (file, source.number, document.dpi)
    else:
        known = _identify_opened(source, policy)
    if known is None:
        return None
    return hashlib.sha256(repr((known, replace(plan, where=""))).encode()).hexdigest()


def _identify_opened(source: Any, policy: MediaPolicy) -> object:
    """A file by its path, size and times of change, bytes by their hash; None for other sources."""
    if not is_encoded(source):  # an array need not become a picture for this
        return None
    opened = resolve_source(source, policy)
    if not isinstance(opened, Path):
        return hashlib.sha256(_encoded(opened)).hexdigest()
    status = os.stat(opened)
    form = (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
    return os.path.realpath(opened), form


def identify_content(
    part: ImagePart | VideoPart | DocumentPart, policy: MediaPolicy
) -> dict[str, Any]:
    """Return the facts that tell a picture, video or document from another, with its settings.

    A journal keeps their hash. Pictures and documents in files are identified by their bytes, all
    other sources as in `identify_source`.

    Raises:
        MediaError: the file is not there, the policy refuses it, or it cannot be identified.
    """
    settings = {
        field.name: getattr(part, field.name)
        for field in fields(part)
        if field.name not in ("source", "subtitles")
    }
    shown = {name: _as_plain(value) for name, value in settings.items() if value is not None}
    if isinstance(part, VideoPart) and part.subtitles is not None:
        with located("subtitles"):
            shown["subtitles"] = identify_subtitles(part, policy)
    return {"kind": type(part).__name__, "source": _identify_bytes(part, policy), **shown}


def identify_subtitles(part: VideoPart, policy: MediaPolicy) -> dict[str, Any]:
    """Return the facts that tell the subtitles of a film from others: lines, or a file's bytes.

    Those within the film are told by the film itself.

    Raises:
        MediaError: the file is not there, or the policy refuses it.
    """
    source: Any = part.subtitles
    if isinstance(source, str) and source == OWN:
        is_alone = is_sequence(part.source) or is_remote(part.source, policy)
        source = None if is_alone else file_beside(part.source, policy)
        if source is None:
            return {"own": True}
    if source is None or isinstance(source, tuple):
        lines = [astuple(line) for line in source or ()]
        return {"lines": len(lines), "sha256": _digest(lines)}
    if is_encoded(source) and not is_remote(source, policy):
        with opened_source(source, policy) as opened:
            if isinstance(opened, Path):
                return {"sha256": sha256_of_file(opened, policy)}
    return identify_source(source, policy)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _identify_bytes(
    part: ImagePart | VideoPart | DocumentPart, policy: MediaPolicy
) -> dict[str, Any]:
    is_named = is_encoded(part.source) and not is_remote(part.source, policy)
    if isinstance(part, (ImagePart, DocumentPart)) and is_named:
        with opened_source(part.source, policy) as opened:
            if isinstance(opened, Path):
                return {"sha256": sha256_of_file(opened, policy)}
    source = part.source
    if isinstance(part, ImagePart):
        source = frame_of(part.source, part.frame_index)  # type: ignore[arg-type]
    return identify_source(source, policy)


def _as_plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _identify_encoded(source: Any, policy: MediaPolicy) -> dict[str, Any]:
    with opened_source(source, policy) as opened:
        if not isinstance(opened, Path):
            return {"sha256": hashlib.sha256(_encoded(opened)).hexdigest()}
        return {"path": os.path.realpath(opened), **_form_of(opened, policy)}


def _form_of(path: Path, policy: MediaPolicy) -> dict[str, Any]:
    """Size, time of change and samples of a file of any size; reads 1 MiB of it at most."""
    with open_file(path, policy) as file:
        status = os.fstat(file.fileno())
        digest = hashlib.sha256()
        last = max(0, status.st_size - _SAMPLE_BYTES)
        for index in range(_NUM_SAMPLES):
            start = last * index // (_NUM_SAMPLES - 1)
            digest.update(read_piece(file, path, _SAMPLE_BYTES, start))
    return {
        "num_bytes": status.st_size,
        "changed_ns": status.st_mtime_ns,
        "samples_sha256": digest.hexdigest(),
    }


def _encoded(opened: Any) -> bytes:
    """The bytes of a resolved source that is no file."""
    return bytes(opened)


def _identify_frames(frames: Sequence[Any], policy: MediaPolicy) -> str:
    digest = hashlib.sha256()
    for index, frame in enumerate(frames):
        with located(f"source[{index}]"):
            digest.update(json.dumps(identify_source(frame, policy), sort_keys=True).encode())
    return digest.hexdigest()


def _identify_pixels(source: Any, policy: MediaPolicy) -> dict[str, Any]:
    """An array or tensor by its values; another picture by its decoded pixels."""
    if not is_array(source):
        picture = decode_image(source, policy)
        form, pixels = [picture.mode, list(picture.size)], picture.tobytes()
    else:
        array = source.detach().cpu().numpy() if hasattr(source, "detach") else source
        form, pixels = [str(array.dtype), list(array.shape)], array.tobytes()
    return {"form": form, "sha256": hashlib.sha256(pixels).hexdigest()}
