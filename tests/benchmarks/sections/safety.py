"""What it costs to be careful with what strangers give."""

from __future__ import annotations

import io
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import PIL.Image

from qwenvl_kit import MediaPolicy
from qwenvl_kit.errors import MediaError
from qwenvl_kit.media.images import decode_image, read_header
from qwenvl_kit.media.isolation.process_pool import POOL
from qwenvl_kit.media.pages import read_pages
from qwenvl_kit.media.web import connections
from qwenvl_kit.media.web.fetcher import fetch
from tests.benchmarks.measuring import Case, Run, Side, at_once, case_table
from tests.benchmarks.sections.videos import by_kit
from tests.by_hand import picture
from tests.hostile.__main__ import rows as hostile_rows
from tests.hostile.corpus import corpus
from tests.media.web.servers import serving
from tests.videos import write_video

NUM_PAIRS = 4
"""Runs of each side in a round, in turn: what is compared takes milliseconds."""

SIDES = ((640, 480), (1920, 1080), (4000, 3000))


def section() -> list[str]:
    """Ratios of what is careful over what is not, and what hostile files come to."""
    milliseconds, megabytes = _bomb()
    with tempfile.TemporaryDirectory() as name:
        honest = case_table([*_pictures(Path(name)), *_others(Path(name))], at_once)
    POOL.close()
    return [
        "Honest files: a JPEG under a policy of allowed folders, which is decoded in this process, "
        "beside no more than Pillow's `open` and `load`; and what is decoded in a process of its "
        "own beside the same in this one. TIFFs, PDFs and films are so by default, JPEGs where "
        "the policy says so. Here the kit is the careful side: below 1 is what care costs.",
        "",
        *honest,
        "",
        "A PNG of 477,820 bytes that stands for 164 megapixels is refused in "
        f"{milliseconds:.2f} ms and {megabytes:.2f} MB of Python's memory. Of an answer without "
        f"end {_beyond():,} bytes are read beyond the limit, headers included.",
        "",
        "Files that were made to do harm (`tests/hostile`), by what they are meant to do; those "
        "that are taken do none. They are opened under a policy as it is by default, but for small "
        "limits where that is what is tried. Memory is what this process and those that decode for "
        "it take at their most beyond what they had; its bound is `max_bytes`, 4 bytes for each of "
        "`max_pixels`, and 64 MiB:",
        "",
        *hostile_rows(),
    ]


def _pictures(folder: Path) -> Iterator[Case]:
    for width, height in SIDES:
        path = folder / f"{width}.jpg"
        picture(width, height, width).save(path, quality=90)
        fenced, apart = MediaPolicy(allow_folders=[str(folder)]), MediaPolicy(isolate_images=True)
        size = f"JPEG, {width} x {height}"
        yield _case(f"{size}, allowed folders", _by(path, fenced), "Pillow", _by_pillow(path))
        here = _by(path, MediaPolicy())
        yield _case(f"{size}, process of its own", _by(path, apart), "this process", here)


def _others(folder: Path) -> Iterator[Case]:
    """What is decoded apart by default."""
    scan, pages = io.BytesIO(), io.BytesIO()
    picture(4000, 3000, 1).save(scan, "TIFF", compression="tiff_lzw")
    shown = [picture(1240, 1754, number) for number in range(10)]
    shown[0].save(pages, "PDF", save_all=True, append_images=shown[1:])
    film = folder / "film.mp4"
    write_video(film, 30_000, options={"preset": "ultrafast"})
    uses: tuple[tuple[str, Callable[[MediaPolicy], object]], ...] = (
        ("TIFF, 4000 x 3000", lambda policy: decode_image(scan.getvalue(), policy)),
        ("PDF, 10 pages", lambda policy: len(read_pages(pages.getvalue(), policy))),
        ("film, 20 minutes of 320 x 180, 16 frames", lambda policy: by_kit(film, 16, policy)),
    )
    here = MediaPolicy(isolate_images=False, isolate_video=False)
    for name, use in uses:
        careful, other = partial(use, MediaPolicy()), partial(use, here)
        yield _case(f"{name}, process of its own", careful, "this process", other, num_pairs=1)


def _case(
    title: str,
    careful: Callable[[], object],
    name: str,
    other: Callable[[], object],
    num_pairs: int = NUM_PAIRS,
) -> Case:
    """Sides of which only the time counts: the pixels have tests of their own.

    The time is that of the wall alone, since a process that decodes is not this one.
    """

    def side(act: Callable[[], object]) -> Side:
        def run() -> Run:
            started = time.perf_counter()
            act()
            return Run(time.perf_counter() - started)

        return run

    return Case(title, side(careful), {name: side(other)}, num_pairs=num_pairs)


def _by(path: Path, policy: MediaPolicy) -> Callable[[], object]:
    return lambda: decode_image(path, policy)


def _by_pillow(path: Path) -> Callable[[], object]:
    def load() -> object:
        with PIL.Image.open(path) as image:
            return image.load()

    return load


def _bomb() -> tuple[float, float]:
    """Milliseconds and megabytes until it is refused."""
    bomb = next(corpus()).content
    times = []
    tracemalloc.start()
    for _ in range(25):
        started = time.perf_counter()
        try:
            read_header(bomb, MediaPolicy())
        except MediaError:
            times.append((time.perf_counter() - started) * 1000)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return statistics.median(times), most / 1e6


def _beyond() -> int:
    """Bytes that are read of an answer that is too long, beyond what is allowed."""
    read = 0
    original = connections._TimedStream.read

    def counted(
        self: connections._TimedStream, max_bytes: int, timeout: float | None = None
    ) -> bytes:
        nonlocal read
        content = original(self, max_bytes, timeout)
        read += len(content)
        return content

    def endless(connection: io.RawIOBase) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")  # type: ignore[attr-defined]
        while True:
            connection.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")  # type: ignore[attr-defined]

    limit = 2**20
    with serving({}, endless) as server:  # type: ignore[arg-type]
        policy = MediaPolicy(
            allow_hosts=["*:" + str(server.port)], allow_private_addresses=True, max_bytes=limit
        )
        connections._TimedStream.read = counted  # type: ignore[method-assign]
        try:
            fetch(server.url(), policy, lambda *_: ["127.0.0.1"])
        except MediaError:
            pass
        finally:
            connections._TimedStream.read = original  # type: ignore[method-assign]
    return read - limit
