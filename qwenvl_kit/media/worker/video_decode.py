"""Decoding of chosen frames, and of no more than they need.

Frames are kept as groups that begin with a key frame. Of each group that holds a chosen frame the
packets up to the last chosen one are decoded; those that no other frame refers to are passed over
by the decoder unless they were chosen. Groups are independent, so that several are decoded at
once, each on a core of its own. This serves sparse and dense choices alike: with few frames most
of a file is skipped, with many it is read through once.
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
"""Reading packets costs less than seeking across so much, and cannot land in a wrong place."""

_DECODER_BYTES = 384 * 2**20
"""What all decoders together may hold; each keeps up to 17 frames of the film."""


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
        position: its place among those that were asked for.
        pixels: uint8 (height, width, 3), RGB, as it is stored: neither turned nor stretched.
    """

    position: int
    pixels: Any


def group_picks(index: VideoIndex, indices: Sequence[int]) -> list[Group]:
    """The chosen frames by the key frames that they are decoded from.

    A frame belongs to the last key frame that is shown no later than itself: those that are
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
    """Decode frames, in whatever order they come.

    Args:
        path: the file.
        index: its frames.
        indices: which of those that are shown, rising.
        num_cores: how many decoders may run at once.

    Raises:
        MediaDecodeError: the file is damaged where a frame is needed.
    """
    if not index.has_pts:
        yield from _decode_in_order(path, index, indices, num_cores)
        return
    groups = group_picks(index, indices)
    room = _DECODER_BYTES // (17 * 2 * index.size.area_pixels)
    num_decoders = max(1, min(num_cores, len(groups), room))
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
                del result  # this frame is in its traceback: each would keep the other
        else:
            yield result


def _discard(results: queue.Queue[Any]) -> None:
    with suppress(queue.Empty):
        results.get(timeout=0.01)


class _GroupReader:
    """Decodes groups one after another, going forwards through the file."""

    def __init__(self, path: str, index: VideoIndex, num_threads: int) -> None:
        self._path = path
        self._index = index
        self._num_threads = num_threads
        self._files = ExitStack()
        try:
            self._open(is_careful=False)
        except BaseException:  # nobody else has it yet, to close it
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._files.close()

    def _open(self, *, is_careful: bool) -> None:
        """Read the file from its beginning, anew if it was open."""
        self._files.close()
        self._is_careful = is_careful
        self._container, self._stream = self._files.enter_context(
            open_video(self._path, self._index.max_pixels)
        )
        _set_up(self._stream, self._num_threads)
        self._packets = self._demux()
        self._at = 0  # the entry that comes next

    def decode(self, group: Group) -> Iterator[Pick]:
        """The chosen frames of a group.

        Where that fails the rest of the film is read with care: without seeking, which may have
        landed in a wrong place, and all packets from an earlier key frame on, as some films become
        whole only some frames after a mark.
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
        """The frames that come out of decoding a group, up to the first that is damaged."""
        context = self._stream.codec_context
        context.flush_buffers()
        begins, wanted = self._index.entries[group.first].pts, dict(wanted)
        try:
            for packet in self._read(group):
                is_needed = self._is_careful or packet.pts in wanted
                context.skip_frame = "DEFAULT" if is_needed else "NONREF"
                yield from _sound([context.decode(packet)], begins)
            yield from _sound([context.decode(None)], begins)  # those that wait to be put in order
        except (av.FFmpegError, _DamageError):
            return  # whatever is missing now is noticed by who asked
        finally:
            context.skip_frame = "DEFAULT"
            context.flush_buffers()

    def _read(self, group: Group) -> Iterator[Any]:
        """The packets of a group, once the reader has come to its first one."""
        self._go_to(group.before if self._is_careful else group.first)
        for packet in self._packets:
            if packet.pts != self._index.entries[self._at].pts:
                raise _DamageError  # not where it was when the file was scanned
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
        """Whether seeking landed exactly on an entry; in MPEG-TS it lands too late."""
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
    """Where the width is odd, PyAV gives rows with gaps between them."""
    check_pixels(frame, max_pixels)
    return numpy.ascontiguousarray(frame.to_ndarray(format="rgb24"))


def _set_up(stream: Any, num_threads: int) -> None:
    """Prepare a decoder.

    Never with frame threads: FFmpeg's H.264 then hides some of what is damaged, and one time or
    another gives a picture of it. They are no faster for few frames either.
    """
    stream.thread_type = "SLICE"
    stream.codec_context.thread_count = num_threads


class _DamageError(Exception):
    """What was read is not as it should be."""


def _sound(decoded: Iterable[Sequence[Any]], begins: int | None = None) -> Iterator[Any]:
    """Frames until one is damaged; those before the key frame may lack what they refer to."""
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
    """Frames of a file without times, counted as they come from the first key frame on."""
    missing = {chosen: position for position, chosen in enumerate(indices)}
    with open_video(path, index.max_pixels) as (container, stream):
        _set_up(stream, num_cores)
        packets = islice(container.demux(stream), index.shown[0], None)
        frames = _sound(stream.codec_context.decode(packet) for packet in packets)
        with suppress(av.FFmpegError, _DamageError):  # what is missing then is named below
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
