"""What goes wrong with video files: each trouble has its own error, in time, and costs itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy
import PIL.Image
import pytest

from qwenvl_kit import Failure, MediaPolicy, Reply, Request, Size, VideoPart, VideoPlan, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import (
    MediaDecodeError,
    MediaError,
    MediaForbiddenError,
    MediaNotFoundError,
    MediaSizeError,
    MediaSourceError,
    MediaTimeoutError,
    VideoTimingError,
)
from qwenvl_kit.media.images import resize_image
from qwenvl_kit.media.isolation import process_pool
from qwenvl_kit.media.video_files import decode_file, measure_file
from tests.videos import read_number, remux_video, write_sound, write_video

APART = MediaPolicy()
HERE = MediaPolicy(isolate_video=False)
both = pytest.mark.parametrize("policy", [HERE, APART], ids=["here", "apart"])
posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Sound films, to be damaged in copies."""
    folder = tmp_path_factory.mktemp("films")
    size, options = {"width": 160, "height": 90}, {"g": "20"}
    mp4 = write_video(folder / "a.mp4", 100, **size, options=options)
    return SimpleNamespace(
        mp4=mp4,
        mkv=write_video(folder / "a.mkv", 100, **size, options=options),
        index_first=remux_video(
            mp4, folder / "b.mp4", container_options={"movflags": "faststart"}
        ),
        large=write_video(folder / "c.mp4", 50, width=1280, height=720),
    )  # fmt: skip


def _plan(path: Any, *indices: int, policy: MediaPolicy = HERE) -> VideoPlan:
    film = measure_file(path, policy)
    times = tuple(film.times_seconds[index] for index in indices)
    return VideoPlan("here", film.size, Size(56, 84), indices, times, 1)


def _numbers(path: Any, plan: VideoPlan, policy: MediaPolicy = APART) -> list[int]:
    return [read_number(frame) for frame in decode_file(path, plan, policy, resize_image)]


def _damaged(source: Path, path: Path, start: float, stop: float) -> Path:
    """A copy in which the bytes of a stretch are wrong."""
    data = source.read_bytes()
    path.write_bytes(_noisy(data, start, stop))
    return path


def _noisy(data: bytes, start: float, stop: float) -> bytes:
    first, last = int(len(data) * start), int(len(data) * stop)
    noise = numpy.random.default_rng(0).integers(1, 256, last - first, dtype="uint8")
    wrong = bytes(numpy.frombuffer(data[first:last], "uint8") ^ noise)
    return data[:first] + wrong + data[last:]


def _damaged_frames(source: Path, path: Path, start: float, stop: float) -> Path:
    """A copy in which bytes of frames are wrong, and none of those between, which hold times."""
    data, at, read = bytearray(source.read_bytes()), 0, 0
    with av.open(str(source)) as container:
        frames = [bytes(packet) for packet in container.demux(video=0)]
    noisy = _noisy(b"".join(frames), start, stop)
    for frame in frames:
        at = data.index(frame, at)
        data[at : at + len(frame)] = noisy[read : read + len(frame)]
        at, read = at + len(frame), read + len(frame)
    path.write_bytes(data)
    return path


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _picture(path: Path, format_name: str) -> Path:
    PIL.Image.new("RGB", (64, 64), "red").save(path, format_name)
    return path


def _no_frames(path: Path) -> Path:
    with av.open(str(path), "w", options={"movflags": "empty_moov"}) as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.start_encoding()
    return path


def _cut(path: Path, source: Path, share: float) -> Path:
    return _write(path, source.read_bytes()[: int(source.stat().st_size * share)])


BAD: dict[str, tuple[Callable[[Path, Any], Any], type[MediaError], str]] = {
    "a missing file": (lambda d, f: d / "no.mp4", MediaNotFoundError, "no file"),
    "a directory": (lambda d, f: d, MediaSourceError, "directory"),
    "no bytes": (lambda d, f: b"", MediaDecodeError, "empty"),
    "an empty file": (lambda d, f: _write(d / "a.mp4", b""), MediaDecodeError, "empty"),
    "text": (lambda d, f: _write(d / "a.mp4", b"Hello. " * 99), MediaDecodeError, "not a video"),
    "bytes of text": (lambda d, f: b"Hello. " * 99, MediaDecodeError, "not a video"),
    "noise": (lambda d, f: numpy.random.default_rng(0).bytes(9999), MediaDecodeError, "video"),
    "a JPEG": (lambda d, f: _picture(d / "a.mp4", "JPEG"), MediaDecodeError, "ImagePart"),
    "a PNG": (lambda d, f: _picture(d / "a.mp4", "PNG"), MediaDecodeError, "ImagePart"),
    "sound alone": (lambda d, f: write_sound(d / "a.m4a", "aac"), MediaDecodeError, "audio"),
    "a song with a cover": (
        lambda d, f: write_sound(d / "a.mp3", "libmp3lame", with_cover=True),
        MediaDecodeError, "cover picture and audio",
    ),
    "a film without frames": (lambda d, f: _no_frames(d / "a.mp4"), MediaDecodeError, "holds no"),
    "a playlist": (
        lambda d, f: _write(d / "a.mp4", f"ffconcat version 1.0\nfile {f.mp4}\n".encode()),
        MediaDecodeError, "not a video",
    ),
    "a playlist of HLS": (
        lambda d, f: _write(d / "a.m3u8", (
            f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{f.mp4}\n#EXT-X-ENDLIST\n"
        ).encode()),
        MediaDecodeError, "not a video",
    ),
    "a film cut short before its index": (
        lambda d, f: _cut(d / "a.mp4", f.mp4, 0.5), MediaDecodeError, "cut short"
    ),
    "a film cut short after its index": (
        lambda d, f: _cut(d / "a.mp4", f.index_first, 0.6), MediaDecodeError, "end_seconds="
    ),
    "a film in Matroska cut short": (
        lambda d, f: _cut(d / "a.mkv", f.mkv, 0.5), MediaDecodeError, "end_seconds="
    ),
    "a film whose index is noise": (
        lambda d, f: _damaged(f.index_first, d / "a.mp4", 0.01, 0.06), MediaDecodeError, ""
    ),
    "a film on the network": (lambda d, f: "http://a.com/b.mp4", MediaForbiddenError, "network"),
    "a set": (lambda d, f: {1}, MediaSourceError, "set"),
    "a number": (lambda d, f: 3, MediaSourceError, "int"),
}  # fmt: skip

SPANS: dict[str, tuple[dict[str, Any], str]] = {
    "a start beyond the end": ({"start_seconds": 60}, "no frame lies between"),
    "a time beyond the end": ({"timestamps_seconds": (0.0, 60.0)}, "60 s"),
    "a time between frames alone": ({"start_seconds": 1.01, "end_seconds": 1.02}, "no frame"),
}


@pytest.mark.parametrize("name", BAD)
@both
def test_a_bad_source_is_refused_by_its_own_error(tmp_path, films, name, policy):
    make, error, words = BAD[name]
    with pytest.raises(MediaError) as caught:
        measure_file(make(tmp_path, films), policy)
    assert type(caught.value) is error
    assert words in str(caught.value)
    assert caught.value.expected or caught.value.hint


def _ask_beside(part: VideoPart, good: Path, policy: MediaPolicy = APART) -> Failure:
    """The failure of a request about the part, whose neighbours must be answered."""
    chat = VisionChat(ScriptedBackend(lambda request: "seen"), media=policy)
    requests = [
        Request.about("What?", VideoPart(good)),
        Request.about("What?", part),
        Request.about("What?", VideoPart(good)),
    ]
    first, failure, last = chat.ask_many(requests, on_error="return")
    assert isinstance(first, Reply)
    assert isinstance(last, Reply)
    assert isinstance(failure, Failure)
    assert failure.error.where.startswith("requests[1].messages[0].parts[0]")
    return failure


def test_a_bad_film_in_a_batch_costs_its_own_request_alone(tmp_path, films):
    for name in ("text", "a film cut short after its index", "a song with a cover"):
        make, error, _ = BAD[name]
        failure = _ask_beside(VideoPart(make(tmp_path, films)), films.mp4)
        assert type(failure.error) is error


@pytest.mark.parametrize("name", SPANS)
def test_a_time_that_no_frame_has_is_refused(films, name):
    timing, words = SPANS[name]
    failure = _ask_beside(VideoPart(films.mp4, **timing), films.mp4)
    assert type(failure.error) is VideoTimingError
    assert words in str(failure.error)


@pytest.mark.parametrize(
    "timing",
    [
        {"fps": 0}, {"fps": float("nan")}, {"fps": float("inf")}, {"fps": -1}, {"num_frames": 0},
        {"num_frames": -3}, {"num_frames": 2.5}, {"start_seconds": 2, "end_seconds": 1},
        {"start_seconds": -1}, {"end_seconds": float("nan")}, {"timestamps_seconds": (0, None)},
    ],
)  # fmt: skip
def test_a_timing_that_cannot_be_meant_is_refused_where_it_is_written(timing):
    with pytest.raises(VideoTimingError):
        VideoPart("film.mp4", **timing)


def test_more_frames_than_there_are_give_all_there_are(films):
    backend = ScriptedBackend(["x"], context_tokens=10**6)
    VisionChat(backend).ask("What?", VideoPart(films.mp4, num_frames=10**6))
    assert len(backend.requests[0].media[0]) == 100


def test_more_frames_than_the_policy_allows_are_refused(films):
    failure = _ask_beside(
        VideoPart(films.mp4, num_frames=10**6), films.mp4, MediaPolicy(max_frames=90)
    )
    assert type(failure.error) is MediaSizeError
    assert "max_frames" in failure.error.hint


def test_a_million_given_frames_are_refused_before_one_is_opened(films):
    started = time.perf_counter()
    failure = _ask_beside(VideoPart(["/no/such/frame.png"] * 10**6, fps=1), films.mp4)
    assert type(failure.error) is MediaSizeError
    assert time.perf_counter() - started < 5


def test_a_million_times_give_each_frame_once(films):
    backend = ScriptedBackend(["x"], context_tokens=10**6)
    times = tuple(index * 3.9e-6 for index in range(10**6))
    VisionChat(backend).ask("What?", VideoPart(films.mp4, timestamps_seconds=times))
    assert len(backend.requests[0].media[0]) == 98


@both
def test_frames_with_too_many_pixels_are_refused_by_the_header(films, policy):
    small = MediaPolicy(max_pixels=160 * 90 - 1, isolate_video=policy.isolate_video)
    with pytest.raises(MediaSizeError, match="160 x 90 px") as caught:
        measure_file(films.mp4, small)
    assert "max_pixels" in caught.value.hint


def test_bytes_beyond_the_policys_limit_are_refused(films):
    with pytest.raises(MediaForbiddenError, match="max_bytes"):
        measure_file(films.mp4.read_bytes(), MediaPolicy(max_bytes=1000))


@both
def test_what_there_is_of_a_film_cut_short_can_be_had(tmp_path, films, policy):
    path = _cut(tmp_path / "a.mkv", films.mkv, 0.5)
    end = measure_file(path, policy, end_seconds=1.0).times_seconds[-1]
    assert 1.0 < end < 3.0
    with pytest.raises(MediaDecodeError, match=f"end_seconds={int(end * 10) / 10}"):
        measure_file(path, policy)
    plan = VideoPlan("here", Size(90, 160), Size(56, 84), (0, 25), (0.0, 1.0), 1)
    assert _numbers(path, plan, policy) == [0, 25]


def _readable(path: Path, policy: MediaPolicy) -> dict[int, int | None]:
    """What each frame shows, by the number that belongs to its time; None where it is refused."""
    found: dict[int, int | None] = {}
    for index, seconds in enumerate(measure_file(path, policy).times_seconds):
        plan = _plan(path, index)
        try:
            (number,) = _numbers(path, plan, policy)
        except MediaDecodeError:
            with pytest.raises(MediaDecodeError, match=rf"damaged at {seconds:.2f} s.*start_sec"):
                _numbers(path, plan, policy)
            number = None
        found[round(seconds * 25)] = number
    return found


@both
def test_damage_is_named_where_a_frame_needs_it_and_costs_no_other_group(tmp_path, films, policy):
    path = _damaged(films.mp4, tmp_path / "a.mp4", 0.5, 0.52)
    found = _readable(path, policy)
    lost = [number for number, shown in found.items() if shown is None]
    assert len(found) == 100
    assert lost
    assert lost == list(range(lost[0], lost[-1] + 1))
    assert len(lost) <= 20
    assert all(shown == number for number, shown in found.items() if shown is not None)


STRETCHES = [(0.3, 0.301), (0.5, 0.52), (0.6, 0.62), (0.8, 0.95)]


@pytest.mark.parametrize("stretch", STRETCHES)
def test_no_frame_of_a_damaged_film_is_given_for_another(tmp_path, films, stretch):
    path = _damaged_frames(films.mkv, tmp_path / "a.mkv", *stretch)
    found = _readable(path, HERE)
    assert len(found) == 100
    assert all(shown in (number, None) for number, shown in found.items())


@pytest.mark.parametrize("stretch", STRETCHES)
def test_of_a_film_with_damaged_times_frames_are_given_or_refused(tmp_path, films, stretch):
    path = _damaged(films.mkv, tmp_path / "a.mkv", *stretch)
    assert len(_readable(path, HERE)) > 10


def test_damage_in_the_tail_costs_the_tail_alone(tmp_path, films):
    path = _damaged(films.index_first, tmp_path / "a.mp4", 0.97, 1.0)
    plan = _plan(path, 0, 25, 50, 75)
    assert _numbers(path, plan) == [0, 25, 50, 75]
    with pytest.raises(MediaDecodeError, match=r"damaged at 3\.96 s"):
        _numbers(path, _plan(path, 50, 99))


@both
def test_a_file_that_vanishes_is_missed(tmp_path, films, policy):
    path = _write(tmp_path / "a.mp4", films.mp4.read_bytes())
    plan = _plan(path, 3, policy=policy)
    path.unlink()
    with pytest.raises(MediaNotFoundError):
        _numbers(path, plan, policy)


@both
def test_a_file_that_is_replaced_by_another_film_is_noticed(tmp_path, films, policy):
    path = _write(tmp_path / "a.mp4", films.mp4.read_bytes())
    plan = _plan(path, 3, 49, policy=policy)
    path.write_bytes(films.large.read_bytes())
    with pytest.raises(MediaDecodeError, match="changed"):
        _numbers(path, plan, policy)


@both
def test_a_file_that_shrinks_is_noticed_and_one_that_grows_is_read(tmp_path, films, policy):
    data = films.mkv.read_bytes()
    path = _write(tmp_path / "a.mkv", data[: int(len(data) * 0.7)])
    film = measure_file(path, policy, end_seconds=1)
    times = (film.times_seconds[10], film.times_seconds[45])
    plan = VideoPlan("here", film.size, Size(56, 84), (10, 45), times, 1)
    path.write_bytes(data)
    assert _numbers(path, plan, policy) == [10, 45]
    path.write_bytes(data[: int(len(data) * 0.3)])
    with pytest.raises(MediaDecodeError, match="changed"):
        _numbers(path, plan, policy)


def _process_of(policy: MediaPolicy, path: Path) -> int:
    """The id of the process that will answer next."""
    process_pool.POOL.close()
    measure_file(path, policy)
    (idle,) = process_pool.POOL._idle
    return idle._process.pid


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@posix
@pytest.mark.alone
def test_a_decoder_that_hangs_is_ended_in_time_and_the_next_one_answers(films):
    pid = _process_of(APART, films.mp4)
    os.kill(pid, signal.SIGSTOP)
    started = time.perf_counter()
    with pytest.raises(MediaTimeoutError, match=r"longer than 0\.3 s") as caught:
        measure_file(films.mp4, MediaPolicy(timeout_seconds=0.3))
    assert 0.3 <= time.perf_counter() - started < 2
    assert "timeout_seconds" in caught.value.hint
    assert not _is_there(pid)
    assert len(measure_file(films.mp4, APART).times_seconds) == 100


@posix
def test_a_decoder_that_hangs_costs_its_own_request_alone(films):
    def resize(image: Any, size: Size) -> Any:
        os.kill(pid, signal.SIGSTOP)
        return resize_image(image, size)

    pid = _process_of(APART, films.large)
    plan = _plan(films.large, *range(50))
    with pytest.raises(MediaTimeoutError):
        decode_file(films.large, plan, MediaPolicy(timeout_seconds=0.5), resize)
    assert not _is_there(pid)
    assert _numbers(films.mp4, _plan(films.mp4, 9)) == [9]


@posix
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_decoder_that_crashes_between_requests_is_replaced_unseen(films, number):
    pid = _process_of(APART, films.mp4)
    os.kill(pid, number)
    time.sleep(0.1)
    assert len(measure_file(films.mp4, APART).times_seconds) == 100


@posix
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_decoder_that_crashes_midway_fails_that_film_and_the_next_one_is_read(films, number):
    def resize(image: Any, size: Size) -> Any:
        if _is_there(pid):
            os.kill(pid, number)
        return resize_image(image, size)

    pid = _process_of(APART, films.large)
    with pytest.raises(MediaDecodeError, match=f"exit status -{int(number)}") as caught:
        decode_file(films.large, _plan(films.large, *range(50)), APART, resize)
    assert caught.value.hint
    assert _numbers(films.mp4, _plan(films.mp4, 9)) == [9]


@posix
@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_whatever_interrupts_decoding_leaves_no_process_behind(films, error):
    def resize(image: Any, size: Size) -> Any:
        raise error

    pid = _process_of(APART, films.large)
    with pytest.raises(error):
        decode_file(films.large, _plan(films.large, *range(50)), APART, resize)
    assert not _is_there(pid)


@posix
def test_ctrl_c_at_the_terminal_does_not_reach_the_decoder(films):
    pid = _process_of(APART, films.mp4)
    os.kill(pid, signal.SIGINT)
    measure_file(films.mp4, APART)
    assert process_pool.POOL._idle[0]._process.pid == pid


@both
def test_eight_threads_read_eight_films_at_once(tmp_path, films, policy):
    paths = [
        write_video(tmp_path / f"{first}.mp4", 40, width=160, height=90, first=first * 100)
        for first in range(8)
    ]

    def read(number: int) -> list[int]:
        return _numbers(paths[number], _plan(paths[number], 2, 21, 39, policy=policy), policy)

    before = threading.active_count()
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(read, range(8)))
    assert found == [[n * 100 + index for index in (2, 21, 39)] for n in range(8)]
    assert len(process_pool.POOL._idle) <= 2
    assert threading.active_count() <= before


def test_a_forked_process_starts_a_decoder_of_its_own(films):
    if not hasattr(os, "fork"):
        pytest.skip("there is no fork here")
    _run(
        f"""
        import os, sys
        from qwenvl_kit import MediaPolicy
        from qwenvl_kit.media.video_files import measure_file
        count = lambda: len(measure_file({str(films.mp4)!r}, MediaPolicy()).times_seconds)
        assert count() == 100
        child = os.fork()
        if child == 0:
            os._exit(count())
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 100
        assert count() == 100
        """
    )


def _run(code: str, **options: Any) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        check=False, capture_output=True, text=True, timeout=60, cwd=ROOT, **options,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_a_program_prints_its_own_words_alone_and_leaves_no_process(films):
    pid = _run(
        f"""
        from qwenvl_kit import MediaPolicy
        from qwenvl_kit.media.isolation import process
        from qwenvl_kit.media.video_files import measure_file
        assert len(measure_file({str(films.mp4)!r}, MediaPolicy()).times_seconds) == 100
        print(process_pool.POOL._idle[0]._process.pid)
        """
    )
    if os.name == "posix":
        assert not _is_there(int(pid))


def test_a_script_without_a_main_guard_reads_films(tmp_path, films):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            print("once")
            import sys; sys.path.insert(0, {str(ROOT)!r})
            from qwenvl_kit import MediaPolicy
            from qwenvl_kit.media.video_files import measure_file
            print(len(measure_file({str(films.mp4)!r}, MediaPolicy()).times_seconds))
            """
        )
    )
    done = subprocess.run(
        [sys.executable, str(script)], check=True, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("once\n100\n", "")


def test_the_decoder_finds_the_kit_where_the_program_left_its_folder(tmp_path, films):
    _run(
        f"""
        import os
        from qwenvl_kit import MediaPolicy
        from qwenvl_kit.media.video_files import measure_file
        os.chdir({str(tmp_path)!r})
        assert len(measure_file({str(films.mp4)!r}, MediaPolicy()).times_seconds) == 100
        """
    )


def test_where_no_process_can_be_started_the_way_out_is_named(films, monkeypatch):
    process_pool.POOL.close()
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(MediaDecodeError, match="isolate_video=False"):
        measure_file(films.mp4, APART)


@both
def test_nothing_is_left_in_the_folder_for_temporary_files(tmp_path, films, policy, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(MediaDecodeError):
        measure_file(b"no film", policy)
    plan = VideoPlan("here", Size(9, 9), Size(9, 9), (1,), (0.5,), 1)
    with pytest.raises(MediaDecodeError, match="changed"):
        decode_file(films.mp4.read_bytes(), plan, policy, resize_image)
    assert list(tmp_path.iterdir()) == []
