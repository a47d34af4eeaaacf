"""A source is watched: the newest frames are asked about, and everything ends cleanly."""

from __future__ import annotations

import contextlib
import functools
import gc
import http.server
import itertools
import threading
import time
import weakref
from datetime import datetime, timedelta, timezone
from pathlib import Path

import PIL.Image
import psutil
import pytest

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import (
    GenerationError,
    InputError,
    MediaDecodeError,
    MediaError,
    MediaForbiddenError,
    MediaNotFoundError,
    MediaSourceError,
    MediaTimeoutError,
    MessageError,
)
from qwenvl_kit.live import CameraSource, FileSource, LiveFrame, StreamSource, WatchEvent
from tests.videos import read_number, write_video

RED = PIL.Image.new("RGB", (64, 48), "red")
FPS = 25


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_video(path, 12 * FPS, width=160, height=96, options={"g": "50"})


@pytest.fixture(autouse=True)
def nothing_is_left():
    """Threads and processes of a watch end with it."""
    before = {child.pid for child in psutil.Process().children()}  # of other tests
    yield
    gc.collect()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        threads = [t for t in threading.enumerate() if t.name == "qwenvl_kit watch"]
        if not threads and not _players(before):
            return
        time.sleep(0.02)
    assert not threads
    assert not _players(before)


def _players(before):
    """Processes of this one that play something; idle decoders wait for the next film."""
    from qwenvl_kit.media.isolation.process_pool import POOL

    idle = {process._process.pid for process in POOL._idle}
    return [
        child
        for child in psutil.Process().children()
        if child.pid not in idle | before and child.status() != psutil.STATUS_ZOMBIE
    ]


def _numbers(request):
    return " ".join(str(read_number(frame)) for frame in request.media[0])


def _chat(script=_numbers):
    return VisionChat(ScriptedBackend(script, context_tokens=100_000))


def _shown(event):
    return [int(number) for number in event.reply.text.split()]


def _frames(seconds, step=0.5):
    """Frames of a source that gives all of them at once."""
    start = datetime.now(timezone.utc)
    for index in range(int(seconds / step) + 1):
        at = index * step
        yield LiveFrame(RED, start + timedelta(seconds=at), at)


def test_each_event_is_about_the_frames_of_its_window(film):
    source = FileSource(film, speed=12)
    with _chat().watch(source, "?", every_seconds=3, window_seconds=2, max_frames=4) as watch:
        events = list(watch)
    assert [event.index for event in events] == list(range(len(events)))
    for event in events:
        shown = _shown(event)
        assert shown == sorted(shown)
        assert len(shown) == event.num_frames <= 4
        assert shown[-1] == pytest.approx(event.end_seconds * FPS, abs=1)
        assert shown[0] == pytest.approx(event.start_seconds * FPS, abs=1)
        assert event.end_seconds - event.start_seconds <= 2
    # Three fall due; what comes after them is a fourth, unless the third was late and had it all.
    assert sum(1 + event.num_skipped for event in events) in (3, 4)


def test_times_are_those_of_the_clock_on_the_wall(film):
    before = datetime.now(timezone.utc)
    (event,) = _chat().watch(FileSource(film, speed=50), "?", every_seconds=100, max_frames=4)
    times = [before, event.started_at, event.ended_at, event.asked_at, event.answered_at]
    assert times == sorted(times)
    assert all(moment.tzinfo is not None for moment in times)
    assert event.delay_seconds < 5


def test_a_slow_model_is_asked_about_the_newest_frames_and_what_it_missed_is_counted(film):
    def slow(request):
        time.sleep(0.5)
        return _numbers(request)

    watch = _chat(slow).watch(FileSource(film, speed=12), "?", every_seconds=1, max_frames=2)
    events = list(watch)
    assert len(events) < 6
    assert max(event.num_skipped for event in events) >= 2
    gaps = [b.end_seconds - a.end_seconds for a, b in itertools.pairwise(events)]
    assert max(gaps) > 2  # no queue is worked off


def test_what_a_film_leaves_at_its_end_is_asked_about_too():
    events = list(_chat(lambda _: "x").watch(_frames(7), "?", every_seconds=100))
    assert [(event.end_seconds, event.num_skipped) for event in events] == [(7, 0)]


@pytest.mark.long
def test_an_answer_that_fails_costs_its_event_alone(film):
    answers = itertools.count()

    def failing(_):
        if next(answers) == 0:
            raise GenerationError("broken")
        return "fine"

    watch = _chat(failing).watch(FileSource(film, speed=8), "?", every_seconds=3, max_frames=2)
    first, *others = list(watch)
    assert isinstance(first.error, GenerationError)
    assert (first.reply, str(first).startswith("broken")) == (None, True)
    assert [str(event) for event in others] == ["fine"] * len(others) != []


def test_a_source_that_breaks_off_raises_after_the_events_before():
    def breaking():
        yield from _frames(4)
        time.sleep(0.2)
        raise OSError("unplugged")

    watch = _chat(lambda _: "x").watch(breaking(), "?", every_seconds=2)
    assert isinstance(next(watch), WatchEvent)
    with pytest.raises(OSError, match="unplugged"):
        list(watch)
    assert list(watch) == []


def test_what_a_source_broke_off_with_goes_without_python_looking_for_cycles():
    class UnpluggedError(OSError):
        pass

    def breaking():
        yield from _frames(1)
        error = UnpluggedError("unplugged")
        alive.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    alive = []
    gc.collect()
    gc.disable()
    try:
        watch = _chat(lambda _: "x").watch(breaking(), "?", every_seconds=0.5)
        with contextlib.suppress(UnpluggedError):
            list(watch)
        watch.stop()
        assert alive[0]() is None
    finally:
        gc.enable()


def test_a_source_that_gives_nothing_is_given_up():
    class Silent:
        def __init__(self):
            self.closed = threading.Event()

        def frames(self, max_fps):
            self.closed.wait(20)
            return iter(())

        def close(self):
            self.closed.set()

    source = Silent()
    watch = _chat().watch(source, "?", timeout_seconds=0.2)
    with pytest.raises(MediaTimeoutError, match="no frame for"):
        next(watch)
    assert source.closed.is_set()


def test_stop_from_another_thread_ends_the_iteration(film):
    watch = _chat().watch(FileSource(film), "?", every_seconds=60)
    threading.Timer(0.3, watch.stop).start()
    started = time.monotonic()
    assert list(watch) == []
    assert time.monotonic() - started < 8
    watch.stop()


def test_leaving_the_block_or_dropping_the_watch_stops_it(film):
    with _chat().watch(FileSource(film), "?", every_seconds=60) as watch:
        pass
    assert list(watch) == []
    _chat().watch(FileSource(film), "?", every_seconds=60)  # nobody keeps it


def test_frames_of_somebody_elses_code_are_watched():
    def pictures():
        for _ in range(3):
            yield RED
            time.sleep(0.01)

    (event,) = _chat(lambda request: str(request.media[0].shape[0])).watch(pictures(), "?")
    assert event.num_frames == int(event.reply.text) >= 1


def test_a_large_frame_is_reduced_as_it_comes():
    large = PIL.Image.new("RGB", (4000, 2000))
    (event,) = _chat(lambda _: "x").watch([large], "?")
    assert event.reply.plan.videos[0].original.width_px == 1280


def test_a_stream_is_opened_if_its_host_is_named(tmp_path):
    write_video(tmp_path / "film.ts", 3 * FPS, width=160, height=96, container_format="mpegts")
    with _served(tmp_path) as port:
        url = f"http://127.0.0.1:{port}/film.ts"
        source = StreamSource(url, allow_hosts=["127.0.0.1"])
        watch = _chat().watch(source, "?", every_seconds=0.001, max_frames=1)
        assert len(_shown(next(watch))) == 1
        watch.stop()


@contextlib.contextmanager
def _served(folder):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


SECRET = "rtsp://me:hunter2@camera.local/live"


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (SECRET, MediaForbiddenError),
        ("http://127.0.0.1/a.m3u8", MediaForbiddenError),
        ("/no/such/film.mp4", MediaNotFoundError),
        (b"bytes", MediaSourceError),
        (None, MediaSourceError),
        (3.5, MediaSourceError),
        (True, MediaSourceError),
    ],
)
def test_what_cannot_be_watched_is_refused_at_once(source, error):
    with pytest.raises(error) as caught:
        _chat().watch(source, "?")
    assert "hunter2" not in str(caught.value)


def test_a_stream_shows_its_password_nowhere():
    source = StreamSource(SECRET, allow_hosts=["camera.local"])
    assert "hunter2" not in repr(source)
    with pytest.raises(MediaSourceError):
        StreamSource("gopher://camera.local", allow_hosts=["camera.local"])


def test_a_camera_that_is_not_there_is_said_to_be_so():
    with pytest.raises(MediaError) as caught:
        list(_chat().watch(CameraSource(77), "?"))
    assert "camera /dev/video77" in str(caught.value)


def test_a_file_that_is_no_video_ends_the_watch(tmp_path):
    (tmp_path / "film.mp4").write_text("once upon a time")
    with pytest.raises(MediaDecodeError):
        list(_chat().watch(tmp_path / "film.mp4", "?"))


@pytest.mark.parametrize(
    "settings_",
    [
        {"every_seconds": 0},
        {"every_seconds": float("nan")},
        {"window_seconds": -1},
        {"window_seconds": float("inf")},
        {"max_frames": 0},
        {"max_frames": 2.5},
        {"timeout_seconds": True},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings_):
    with pytest.raises(InputError, match=next(iter(settings_))):
        _chat().watch([RED], "?", **settings_)


def test_a_question_that_is_no_text_is_refused_before_the_camera_opens():
    with pytest.raises(MessageError):
        _chat().watch(0, 5)


@pytest.mark.parametrize("speed", [0, -1, float("nan"), "fast"])
def test_a_speed_that_cannot_be_meant_is_refused(film, speed):
    with pytest.raises(InputError, match="speed"):
        FileSource(film, speed=speed)
