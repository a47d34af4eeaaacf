"""Decoding of chosen frames, with no more other frames than they need.

Chosen frames are sorted into groups, each from a key frame on. Of each group the packets up to the
last chosen frame are decoded; the decoder skips frames that no other frame refers to, unless they
were chosen. Groups are independent, so that several are decoded at once, each on one core. This
serves sparse and dense choices alike: few frames skip most of a file, many read it through once.
"""

from __future__ import annotations

import queue
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import av
import numpy

from qwenvl_kit.errors import MediaDecodeError
from qwenvl_kit.media.worker.video_index import VideoIndex, check_pixels, open_video

_SEEK_BYTES = 4 * 2**20
"""Longest gap that is read instead of seeking: reading costs less, and cannot miss its end."""

_DECODER_BYTES = 384 * 2**20
"""Most memory of all decoders together; each keeps up to 17 frames of the video."""


@dataclass(frozen=True)
class Group:
    """Chosen frames that are decoded from the same key frame on.

    Attributes:
        first: the key frame, as an index into the file's entries.
        before: the second key frame before that one, or the first there is.
        last: the last packet that they need.
        picks: the wanted `pts`, each with its position in the answer.
    """

    first: int
    before: int
    last: int
    picks: dict[int, int]


@dataclass(frozen=True)
class Pick:
    """A decoded frame.

    Attributes:
        position: its place among the requested frames.
        pixels: uint8 (height, width, 3), RGB, as it is stored: neither turned nor stretched.
    """

    position: int
    pixels: Any


def group_picks(index: VideoIndex, indices: Sequence[int]) -> list[Group]:
    """Group the chosen frames by the key frames from which they are decoded.

    A frame belongs to the last key frame that is shown no later than itself: frames that are
    decoded after a key frame and shown before it may refer to frames of the group before.
    """
    order = {entry.pts: at for at, entry in enumerate(index.entries)}
    keys = sorted((e.pts, at) for at, e in enumerate(index.entries) if e.is_key) or [(0, 0)]
    starts = [pts for pts, _ in keys]
    groups: dict[int, dict[int, int]] = {}
    for position, chosen in enumerate(indices):
        pts = index.shown[chosen]
        key = max(0, bisect_right(starts, pts) - 1)
        groups.setdefault(min(keys[key][1], order[pts]), {})[pts] = position
    marked = sorted(at for _, at in keys)
    return [
        Group(
            first,
            marked[max(0, bisect_left(marked, first) - 2)],
            max(order[pts] for pts in picks),
            picks,
        )
        for first, picks in sorted(groups.items())
    ]


def decode_picks(
    path: str, index: VideoIndex, indices: Sequence[int], num_cores: int
) -> Iterator[Pick]:
    """Decode frames; yield them in any order.

    Args:
        path: the file.
        index: the index of the file.
        indices: positions of the wanted frames among those that are shown, rising.
        num_cores: most decoders that may run at once.

    Raises:
        MediaDecodeError: the file is damaged where a frame is needed.
    """
    if not index.has_pts:
        yield from _decode_in_order(path, index, indices, num_cores)
        return
    groups = group_picks(index, indices)
    most = _DECODER_BYTES // (17 * 2 * index.size.area_pixels)
    num_decoders = max(1, min(num_cores, len(groups), most))
    num_threads = max(1, num_cores // num_decoders)
    work = iter(groups)
    lock, results = threading.Lock(), queue.Queue[Any](maxsize=2 * num_decoders)
    stopped = threading.Event()

    def take() -> Group | None:
        with lock:
            return None if stopped.is_set() else next(work, None)

    def run() -> None:
        try:
            with closing(_GroupReader(path, index, num_threads)) as reader:
                while (group := take()) is not None:
                    for pick in reader.decode(group):
                        results.put(pick)
            results.put(None)
        except BaseException as error:
            results.put(error)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(num_decoders)]
    for thread in threads:
        thread.start()
    try:
        yield from _collect(results, num_decoders)
    finally:
        stopped.set()
        while any(thread.is_alive() for thread in threads):  # one may wait to hand over a frame
            _discard(results)


def _collect(results: queue.Queue[Any], num_running: int) -> Iterator[Pick]:
    while num_running:
        result = results.get()
        if result is None:
            num_running -= 1
        elif isinstance(result, BaseException):
            try:
                raise result
            finally:
                del result  # its traceback holds this frame: a reference cycle
        else:
            yield result


def _discard(results: queue.Queue[Any]) -> None:
    with suppress(queue.Empty):
        results.get(timeout=0.01)


class _GroupReader:
    """A reader that decodes groups one after another, forwards through the file."""

    def __init__(self, path: str, index: VideoIndex, num_threads: int) -> None:
        self._path = path
        self._index = index
        self._num_threads = num_threads
        self._files = ExitStack()
        try:
            self._open(is_careful=False)
        except BaseException:  # nobody else could close it
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._files.close()

    def _open(self, *, is_careful: bool) -> None:
        """Open the file at its beginning; close it first if it was open."""
        self._files.close()
        self._is_careful = is_careful
        self._container, self._stream = self._files.enter_context(
            open_video(self._path, self._index.max_pixels)
        )
        _set_up(self._stream, self._num_threads)
        self._packets = self._demux()
        self._at = 0  # the next entry

    def decode(self, group: Group) -> Iterator[Pick]:
        """Decode the chosen frames of a group.

        If that fails, the rest of the file is read with care: without seeks, which may have missed
        their target, and with all packets from an earlier key frame on, as some videos become whole
        only some frames after a key frame.
        """
        missing = dict(group.picks)
        while True:
            for frame in self._frames(group, missing):
                position = missing.pop(frame.pts, None)
                if position is not None:
                    yield Pick(position, _pixels(frame, self._index.max_pixels))
            if not missing:
                return
            if self._is_careful:
                break
            self._open(is_careful=True)
        pts, position = next(iter(missing.items()))
        raise _damage(self._index, self._index.shown.index(pts), position)

    def _frames(self, group: Group, wanted: dict[int, int]) -> Iterator[Any]:
        """The frames of a group as they are decoded, up to the first damaged one."""
        context = self._stream.codec_context
        context.flush_buffers()
        begins, wanted = self._index.entries[group.first].pts, dict(wanted)
        try:
            for packet in self._read(group):
                is_needed = self._is_careful or packet.pts in wanted
                context.skip_frame = "DEFAULT" if is_needed else "NONREF"
                yield from _sound([context.decode(packet)], begins)
            yield from _sound([context.decode(None)], begins)  # frames that wait for their turn
        except (av.FFmpegError, _DamageError):
            return  # the caller notices missing frames
        finally:
            context.skip_frame = "DEFAULT"
            context.flush_buffers()

    def _read(self, group: Group) -> Iterator[Any]:
        """The packets of a group, after the reader has reached its first one."""
        self._go_to(group.before if self._is_careful else group.first)
        for packet in self._packets:
            if packet.pts != self._index.entries[self._at].pts:
                raise _DamageError  # the file has changed since it was scanned
            self._at += 1
            yield packet
            if self._at > group.last:
                return

    def _go_to(self, target: int) -> None:
        entries = self._index.entries
        gap = entries[target].num_bytes - entries[min(self._at, target)].num_bytes
        may_seek = gap > _SEEK_BYTES and not self._is_careful
        if target < self._at or (may_seek and not self._seek(target)):
            self._open(is_careful=self._is_careful)
        while self._at < target:
            if next(self._packets, None) is None:
                raise _DamageError
            self._at += 1

    def _seek(self, target: int) -> bool:
        """True if a seek reached exactly the entry; in MPEG-TS it lands too late."""
        pts = self._index.entries[target].pts
        try:
            self._container.seek(pts, stream=self._stream, backward=True)
            self._packets = self._demux()
            first = next(self._packets, None)
        except av.FFmpegError:
            return False
        if first is None or first.pts != pts:
            return False
        self._packets = _put_back(first, self._packets)
        self._at = target
        return True

    def _demux(self) -> Iterator[Any]:
        return (packet for packet in self._container.demux(self._stream) if packet.size)


def _pixels(frame: Any, max_pixels: int) -> Any:
    """The pixels of a frame; for odd widths PyAV leaves gaps between rows."""
    check_pixels(frame, max_pixels)
    return numpy.ascontiguousarray(frame.to_ndarray(format="rgb24"))


def _set_up(stream: Any, num_threads: int) -> None:
    """Prepare a decoder.

    It has no frame threads: with them FFmpeg's H.264 hides some damage, and now and then gives a
    picture of it. For few frames they are no faster either.
    """
    stream.thread_type = "SLICE"
    stream.codec_context.thread_count = num_threads


class _DamageError(Exception):
    """Damage in the frames that were read."""


def _sound(decoded: Iterable[Sequence[Any]], begins: int | None = None) -> Iterator[Any]:
    """Yield frames until one is damaged; those before the key frame may lack their references."""
    for frame in chain.from_iterable(decoded):
        is_early = begins is not None and frame.pts is not None and frame.pts < begins
        if frame.is_corrupt and not is_early:
            raise _DamageError
        yield frame


def _put_back(first: Any, others: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from others


def _decode_in_order(
    path: str, index: VideoIndex, indices: Sequence[int], num_cores: int
) -> Iterator[Pick]:
    """The frames of a file without times, counted from the first key frame on."""
    missing = {chosen: position for position, chosen in enumerate(indices)}
    with open_video(path, index.max_pixels) as (container, stream):
        _set_up(stream, num_cores)
        packets = islice(container.demux(stream), index.shown[0], None)
        frames = _sound(stream.codec_context.decode(packet) for packet in packets)
        with suppress(av.FFmpegError, _DamageError):  # missing frames are reported below
            for at, frame in enumerate(frames):
                position = missing.pop(at, None)
                if position is not None:
                    yield Pick(position, _pixels(frame, index.max_pixels))
                if not missing:
                    return
    raise _damage(index, min(missing), missing[min(missing)])


def _damage(index: VideoIndex, chosen: int, position: int) -> MediaDecodeError:
    return MediaDecodeError(
        f"the video is damaged at {index.times_seconds[chosen]:.2f} s: frame {position} of those "
        "that were chosen cannot be decoded",
        expected=f"whole frames of at most {index.max_pixels} pixels",
        hint="start_seconds and end_seconds around the damage, or a copy that is whole",
    )
