"""Reading frames of a long film: the kit beside other readers, each run in a process of its own.

`python -m tests.benchmarks.sections.videos READER NUM_FRAMES FILM` is one run. The film is made on
the spot: 20 minutes of 720p H.264, each frame with its number drawn in, so that picks can be
verified.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from tests.benchmarks.measuring import table
from tests.videos import read_number, write_video

if TYPE_CHECKING:
    from qwenvl_kit.media.policy import MediaPolicy

NUM_FRAMES, FPS, WIDTH, HEIGHT = 30_000, 25, 504, 280
ROUNDS = 5
MAX_BYTES = 18 * 10**9
"""A reader that asks for more is ended, lest it take the machine with it."""
PICKS = (16, 64, 600, 1200)
FILM = Path(os.environ.get("QWENVL_KIT_FILM", "build/film20.mp4"))

Frames = Sequence[Any]


def make_film(path: Path = FILM) -> Path:
    """The film; three minutes of work the first time."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"unfinished_{path.name}")
        options = {"preset": "veryfast", "crf": "23"}
        write_video(unfinished, NUM_FRAMES, width=1280, height=720, fps=FPS, options=options)
        unfinished.rename(path)
    return path


def section() -> list[str]:
    """Frames of a long film."""
    return [
        "Frames evenly spread over 20 minutes of 720p H.264 at 25 fps, resized to 504 x 280: each "
        "run is a process of its own, with all libraries loaded before its time begins, and the "
        "kit's decoding process started, which takes 0.2 s once. The ratio is the reader's time "
        f"over the kit's, median of {ROUNDS} rounds in which all take turns; qwen-vl-utils is run "
        "once. Memory is the most that the process and its children held, over what was there "
        "before. Every frame has its number drawn in; the last column counts those that are the "
        "ones asked for.",
        "",
        *table(("frames", "reader", "time", "ratio", "peak memory", "right frames"), _rows()),
    ]


def _rows() -> Iterator[str]:
    """A row for each number of frames and each reader."""
    film = make_film()
    for picks in PICKS:
        runs = {reader: [] for reader in READERS}  # type: dict[str, list[dict[str, Any]]]
        for round_index in range(ROUNDS):
            for reader, done in runs.items():
                if round_index == 0 or ("seconds" in done[0] and reader not in SLOW):
                    done.append(_run(reader, picks, film))
        kit = runs.pop("kit")
        yield _row("kit", picks, kit, kit)
        for reader, done in runs.items():
            yield _row(reader, picks, done, kit)


def _row(reader: str, picks: int, done: list[dict[str, Any]], kit: list[dict[str, Any]]) -> str:
    if "seconds" not in done[0]:
        return f"| {picks} | {reader} | {done[0]['reason']} | | | |"
    seconds = [run["seconds"] for run in done]
    ratios = sorted(theirs / ours["seconds"] for theirs, ours in zip(seconds, kit))
    peak = statistics.median(run["peak_bytes"] for run in done) / 1e6
    return (
        f"| {picks} | {reader} | {statistics.median(seconds):.2f} s | "
        f"**{statistics.median(ratios):.2f}x** ({ratios[0]:.2f} - {ratios[-1]:.2f}, "
        f"{len(done)} run{'s' if len(done) > 1 else ''}) | {peak:.0f} MB | "
        f"{done[0]['num_right']}/{picks} |"
    )


def _run(reader: str, picks: int, film: Path) -> dict[str, Any]:
    """Seconds, peak memory over what was there before, and right picks; or why it fails."""
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.sections.videos",
        reader,
        str(picks),
        str(film),
    ]
    limit = partial(resource.setrlimit, resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limit)
    if done.returncode:
        print(f"{reader}: {done.stderr[-300:]}", file=sys.stderr)
        is_memory = "allocate" in done.stderr or "MemoryError" in done.stderr
        needs = f"needs more than {MAX_BYTES / 1e9:.0f} GB of memory"
        return {"reason": needs if is_memory else "does not run here"}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _indices(picks: int) -> list[int]:
    return [int(index) for index in np.linspace(0, NUM_FRAMES - 1, picks).round()]


def by_kit(film: Path, picks: int, policy: MediaPolicy | None = None) -> Frames:
    """Some frames, evenly spread, by the kit."""
    from qwenvl_kit import Size, VideoPart, VideoPlan
    from qwenvl_kit.budget.frames import sample_frames
    from qwenvl_kit.media.policy import MediaPolicy
    from qwenvl_kit.media.video_files import decode_file, measure_file
    from qwenvl_kit.processing.resizing import resize_image

    policy = policy or MediaPolicy()
    measured = measure_file(film, policy)
    times = measured.times_seconds
    chosen = sample_frames(VideoPart(film, num_frames=picks), times)
    plan = VideoPlan(
        "film", measured.size, Size(HEIGHT, WIDTH), chosen, tuple(times[at] for at in chosen), 0
    )
    return decode_file(film, plan, policy, resize_image)


def _in_sequence(film: Path, picks: int) -> Frames:
    """Decode all and keep some, as one writes it with PyAV."""
    import av

    frames, wanted = [], set(_indices(picks))
    with av.open(str(film)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for index, frame in enumerate(container.decode(video=0)):
            if index in wanted:
                frames.append(frame.reformat(WIDTH, HEIGHT, "rgb24").to_ndarray())
    return frames


def _by_seeking(film: Path, picks: int, thread_type: str) -> Frames:
    """Seek to the key frame before each pick, where it lies ahead."""
    import av

    frames = []
    with av.open(str(film)) as container:
        packets = [(p.pts, p.is_keyframe) for p in container.demux(video=0) if p.pts is not None]
    times = np.sort([pts for pts, _ in packets])
    keys = np.sort([pts for pts, is_key in packets if is_key])
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        stream.thread_type = thread_type
        position, decoded = -1, iter(())  # type: tuple[int, Iterator[Any]]
        for target in times[_indices(picks)]:
            key = int(keys[np.searchsorted(keys, target, "right") - 1])
            if key > position + 1 or position < 0:
                container.seek(key, stream=stream)
                decoded = container.decode(stream)
            for frame in decoded:
                position = frame.pts
                if position >= target:
                    frames.append(frame.reformat(WIDTH, HEIGHT, "rgb24").to_ndarray())
                    break
    return frames


def _by_qwen_vl_utils(film: Path, picks: int, reader: str) -> Frames:
    from qwen_vl_utils import vision_process

    vision_process.FORCE_QWENVL_VIDEO_READER = reader
    fallback = vision_process.VIDEO_READER_BACKENDS["torchvision"]
    vision_process.VIDEO_READER_BACKENDS["torchvision"] = (
        fallback if reader == "torchvision" else _no_fallback
    )
    video = vision_process.fetch_video(
        {"video": str(film), "nframes": picks, "max_pixels": 360 * 420, "total_pixels": 10**12}
    )
    return [frame.permute(1, 2, 0).byte().numpy() for frame in video]


def _no_fallback(_: Any) -> Any:
    raise RuntimeError("this reader does not run here")


READERS: dict[str, Callable[[Path, int], Frames]] = {
    "kit": by_kit,
    "PyAV, all frames in sequence": _in_sequence,
    "PyAV, seeking, frame threads": lambda film, picks: _by_seeking(film, picks, "AUTO"),
    "PyAV, seeking, slice threads": lambda film, picks: _by_seeking(film, picks, "SLICE"),
    "qwen-vl-utils with torchcodec": lambda f, n: _by_qwen_vl_utils(f, n, "torchcodec"),
    "qwen-vl-utils with decord": lambda f, n: _by_qwen_vl_utils(f, n, "decord"),
    "qwen-vl-utils with torchvision": lambda f, n: _by_qwen_vl_utils(f, n, "torchvision"),
}
SLOW = tuple(name for name in READERS if name.startswith("qwen-vl-utils"))
"""Measured once: they take minutes."""


class _PeakMemory:
    """Most memory of this process and its children together, looked at every 10 ms."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._done = threading.Event()
        self.before = self.peak = self._now()

    def __enter__(self) -> _PeakMemory:
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.01):
            self.peak = max(self.peak, self._now())

    def _now(self) -> int:
        total = 0
        for process in (self._process, *self._process.children(recursive=True)):
            try:
                total += process.memory_info().rss
            except psutil.Error:
                continue  # gone by now
        return total


def _start_decoder() -> None:
    """Load what the kit loads, its process that decodes included, as those of others are loaded."""
    import qwenvl_kit.processing.patches
    from qwenvl_kit.errors import MediaDecodeError
    from qwenvl_kit.media.policy import MediaPolicy
    from qwenvl_kit.media.video_files import measure_file

    del qwenvl_kit
    with contextlib.suppress(MediaDecodeError):
        measure_file(b"no film", MediaPolicy())


def main() -> None:
    reader, picks, film = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    import av
    import qwen_vl_utils
    import torch

    del av, qwen_vl_utils
    if reader == "kit":
        _start_decoder()
    torch.set_num_threads(os.cpu_count() or 1)
    with _PeakMemory() as memory:
        started = time.perf_counter()
        frames = READERS[reader](film, picks)
        seconds = time.perf_counter() - started
    right = sum(read_number(frame) == at for frame, at in zip(frames, _indices(picks)))
    print(
        json.dumps(
            {"seconds": seconds, "peak_bytes": memory.peak - memory.before, "num_right": right}
        )
    )


if __name__ == "__main__":
    main()
