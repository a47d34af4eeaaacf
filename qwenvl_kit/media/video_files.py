"""Video files: their sizes and times, the frames of a plan, their text tracks and chapters."""

from __future__ import annotations

import array
import json
import math
import os
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwenvl_kit.errors import MediaDecodeError, MediaError, MediaSourceError
from qwenvl_kit.geometry import Size
from qwenvl_kit.hardware import count_cores
from qwenvl_kit.media.frame_sequences import new_frames
from qwenvl_kit.media.isolation.process_pool import POOL
from qwenvl_kit.media.isolation.protocol import CHAPTERS, TEXT_TRACK
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.sources import opened_source
from qwenvl_kit.media.subtitles.formats import Cue
from qwenvl_kit.media.types import Resize
from qwenvl_kit.plans import VideoPlan

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True)
class VideoFile:
    """The frames of a video file.

    Attributes:
        size: the size of its frames, upright and with square pixels.
        times_seconds: the time of each frame, from the first frame on.
    """

    size: Size
    times_seconds: Sequence[float]


def measure_file(source: Any, policy: MediaPolicy, end_seconds: float | None = None) -> VideoFile:
    """Measure the frames of a video file: all packets are read, and one frame is decoded.

    Args:
        source: a path, `file://` URL, data URL or bytes.
        policy: the media policy.
        end_seconds: later frames are not needed, and may be missing.

    Raises:
        MediaError: it cannot be read, the policy refuses it, or it is cut short.
    """
    with _as_path(source, policy) as path:
        request = {"kind": "scan", "path": path, "max_pixels": policy.max_pixels}
        ((facts, payload),) = _ask(request, policy)
    times = array.array("d")
    times.frombytes(payload)
    size = Size(height_px=facts["height_px"], width_px=facts["width_px"])
    policy.check_size(size)
    policy.check_duration((times[-1] - times[0] if len(times) else 0.0) + facts["missing_seconds"])
    _check_whole(times, facts["missing_seconds"], end_seconds)
    return VideoFile(size, times)


def decode_file(
    source: Any, plan: VideoPlan, policy: MediaPolicy, resize: Resize
) -> numpy.ndarray[Any, Any]:
    """Decode the frames of a plan, in order: upright, in RGB and at the planned size.

    Each is resized as soon as it is decoded, so that memory depends on the plan alone, not on the
    length of the video or on the size of its frames.

    Returns:
        uint8 (frames, height, width, 3).

    Raises:
        MediaError: as `measure_file`, or the file is damaged where a frame is needed.
    """
    import numpy
    import PIL.Image

    decoded = new_frames(plan)
    with _as_path(source, policy) as path:
        request = {
            "kind": "decode",
            "path": path,
            "max_pixels": policy.max_pixels,
            "indices": plan.frame_indices,
            "times_seconds": plan.timestamps_seconds,
            "size": (plan.original.height_px, plan.original.width_px),
            "num_cores": count_cores(),
        }
        with closing(_ask(request, policy)) as answers:  # the process must not survive an error
            for facts, payload in answers:
                stored = numpy.frombuffer(payload, numpy.uint8)
                stored = stored.reshape(facts["height"], facts["width"], 3)
                upright = numpy.ascontiguousarray(numpy.rot90(stored, facts["rotation"] // 90))
                decoded[facts["position"]] = resize(PIL.Image.fromarray(upright), plan.resized)
    return decoded


@dataclass(frozen=True)
class TextTrack:
    """The text track of a video file.

    Attributes:
        cues: its entries, timed from the first frame on; empty if there is no such track.
        remark: words about the tracks that were passed over; empty if there are none.
    """

    cues: tuple[Cue, ...]
    remark: str = ""


def read_track(source: Any, policy: MediaPolicy) -> TextTrack:
    """Read the default text track of a video file, or its first.

    Raises:
        MediaError: as `measure_file`, or the track is too long.
    """
    facts, entries = _ask_text(TEXT_TRACK, source, policy)
    cues = tuple(Cue(start, end, words) for start, end, words in entries)
    if facts["track"] is None:
        held = f"tracks of pictures ({', '.join(facts['others'])})" if facts["others"] else "none"
        return TextTrack((), f"no file of the film's name beside it, and {held} within it")
    if facts["num_tracks"] == 1:
        return TextTrack(cues, "" if cues else "the film's text track is empty")
    language = f" ({facts['language']})" if facts["language"] else ""
    which = f"subtitles: track {facts['track']} of {facts['num_tracks']}{language}"
    return TextTrack(cues, which)


def read_chapter_marks(source: Any, policy: MediaPolicy) -> list[tuple[float, float, str]]:
    """Read the chapters of a video file: start, end, in seconds from its first frame, and title.

    Raises:
        MediaError: as `measure_file`.
    """
    _, entries = _ask_text(CHAPTERS, source, policy)
    return [(float(start), float(end), str(title)) for start, end, title in entries]


def _ask_text(kind: str, source: Any, policy: MediaPolicy) -> tuple[Mapping[str, Any], list[Any]]:
    with _as_path(source, policy) as path:
        request = {"kind": kind, "path": path, "max_pixels": policy.max_pixels}
        ((facts, payload),) = _ask(request, policy)
    return facts, json.loads(bytes(payload))


def _ask(
    request: Mapping[str, Any], policy: MediaPolicy
) -> Generator[tuple[Mapping[str, Any], Any], None, None]:
    """The decoder's answers, from its own process, or from this one without a memory bound."""
    most = policy.max_decoder_bytes if policy.isolate_video else None
    request = {**request, "max_memory_bytes": most}
    if not policy.isolate_video:
        from qwenvl_kit.media.worker.main import answer

        yield from answer(request)
        return
    with POOL.lease() as process:
        yield from process.ask(request, policy.timeout_seconds)


@contextmanager
def _as_path(source: Any, policy: MediaPolicy) -> Iterator[str]:
    """The path of a video; a video in memory is written to a temporary file."""
    with opened_source(source, policy) as opened:
        if isinstance(opened, Path):
            if not opened.stat().st_size:
                raise MediaDecodeError(f"{opened} is empty (0 bytes)", expected="a video")
            yield str(opened.absolute())
            return
    if not isinstance(opened, bytes):
        raise MediaSourceError(
            f"a video source of type {type(source).__name__} was given",
            expected="a video file, or a sequence of frames",
        )
    policy.check_num_bytes(len(opened))
    if not opened:
        raise MediaDecodeError("the source is empty (0 bytes)", expected="a video")
    handle, name = tempfile.mkstemp(prefix="qwenvl_kit_", suffix=".video")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(opened)
        yield name
    except MediaError as error:
        error.rename(name, "the source")
        raise
    finally:
        os.unlink(name)


def _check_whole(times: Sequence[float], missing_seconds: float, end_seconds: float | None) -> None:
    if not missing_seconds or (end_seconds is not None and end_seconds <= times[-1]):
        return
    raise MediaDecodeError(
        f"the video says that it is {times[-1] + missing_seconds:.1f} s long and ends at "
        f"{times[-1]:.1f} s",
        expected="a whole file",
        hint=f"end_seconds={math.floor(times[-1] * 10) / 10:.1f} takes what there is",
    )
