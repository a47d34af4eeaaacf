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
from tests.benchmarks.videos import by_kit
from tests.by_hand import picture
from tests.hostile.__main__ import rows as hostile_rows
from tests.hostile.corpus import corpus
from tests.media.web.servers import serving
from tests.videos import write_video

ROUNDS, FEW_ROUNDS = 25, 7
_UNCOUNTED = 2
SIDES = ((640, 480), (1920, 1080), (4000, 3000))


def section() -> list[str]:
    """Ratios of what is careful over what is not, and what hostile files come to."""
    milliseconds, megabytes = _bomb()
    return [
        "Honest files: a JPEG under a policy of allowed folders, which is decoded in this process, "
        "beside no more than Pillow's `open` and `load`; and what is decoded in a process of its "
        "own beside the same in this one. TIFFs, PDFs and films are so by default, JPEGs where "
        "the policy says so. Milliseconds, in turn, median of as many rounds as are named, after "
        "some that are not counted. The ratio is the careful side's time over the other's, with "
        "its smallest and largest.",
        "",
        "| what | file | rounds | careful | other | more | ratio | spread |",
        "|---|---|---|---|---|---|---|---|",
        *_pictures(),
        *_others(),
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


def _pictures() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        for width, height in SIDES:
            path = Path(folder) / f"{width}.jpg"
            picture(width, height, width).save(path, quality=90)
            size = f"JPEG, {width} x {height}"
            fenced, apart = MediaPolicy(allow_folders=[folder]), MediaPolicy(isolate_images=True)
            for what, careful, other in (
                ("policy", _by(path, fenced), _by_pillow(path)),
                ("process", _by(path, apart), _by(path, MediaPolicy())),
            ):
                yield f"| {what} | {size} | {_compared(careful, other)} |"
    POOL.close()


def _others() -> Iterator[str]:
    """What is decoded apart by default."""
    scan, pages = io.BytesIO(), io.BytesIO()
    picture(4000, 3000, 1).save(scan, "TIFF", compression="tiff_lzw")
    shown = [picture(1240, 1754, number) for number in range(10)]
    shown[0].save(pages, "PDF", save_all=True, append_images=shown[1:])
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.mp4"
        write_video(film, 30_000, options={"preset": "ultrafast"})
        yield from _compared_uses(scan.getvalue(), pages.getvalue(), film)
    POOL.close()


def _compared_uses(scan: bytes, pages: bytes, film: Path) -> Iterator[str]:
    here = MediaPolicy(isolate_images=False, isolate_video=False)
    uses: tuple[tuple[str, Callable[[MediaPolicy], object]], ...] = (
        ("TIFF, 4000 x 3000", lambda policy: decode_image(scan, policy)),
        ("PDF, 10 pages", lambda policy: len(read_pages(pages, policy))),
        ("film, 20 minutes of 320 x 180, 16 frames", lambda policy: by_kit(film, 16, policy)),
    )
    for name, use in uses:
        careful, other = (partial(use, policy) for policy in (MediaPolicy(), here))
        yield f"| process | {name} | {_compared(careful, other, FEW_ROUNDS)} |"


def _by(path: Path, policy: MediaPolicy) -> Callable[[], object]:
    return lambda: decode_image(path, policy)


def _by_pillow(path: Path) -> Callable[[], object]:
    def load() -> object:
        with PIL.Image.open(path) as image:
            return image.load()

    return load


def _compared(
    careful: Callable[[], object], other: Callable[[], object], rounds: int = ROUNDS
) -> str:
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + _UNCOUNTED):
        for side, seconds in zip((careful, other), times):
            started = time.perf_counter()
            side()
            seconds.append((time.perf_counter() - started) * 1000)
    kept = [seconds[_UNCOUNTED:] for seconds in times]
    first, second = map(statistics.median, kept)
    ratios = sorted(a / b for a, b in zip(*kept))
    return (
        f"{rounds} | {first:.2f} | {second:.2f} | {first - second:.2f} | "
        f"**{statistics.median(ratios):.3f}** | {ratios[0]:.2f} - {ratios[-1]:.2f}"
    )


def _bomb() -> tuple[float, float]:
    """Milliseconds and megabytes until it is refused."""
    bomb = next(corpus()).content
    times = []
    tracemalloc.start()
    for _ in range(ROUNDS):
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
