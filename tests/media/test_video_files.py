"""What is read of video files: the very frames that were asked for, whatever the file."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy
import PIL.Image
import pytest

from qwenvl_kit import MediaPolicy, Message, Size, VideoPart, VideoPlan, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.media.images import resize_image
from qwenvl_kit.media.video_files import VideoFile, decode_file, measure_file
from qwenvl_kit.media.worker import video_decode
from tests.videos import (
    decode_all,
    read_number,
    remux_video,
    write_silence,
    write_sound,
    write_video,
)

HERE = MediaPolicy(isolate_video=False)
APART = MediaPolicy()
NUM_FRAMES = 60
STORED = Size(90, 160)
GROUPS = {"g": "20"}
OPEN_GROUPS = "open-gop=1:b-adapt=0:bframes=3:scenecut=0:keyint=12:min-keyint=12"
QUICK_VP9 = {"g": "20", "deadline": "realtime", "cpu-used": "8"}
HIDDEN_FRAMES = {**QUICK_VP9, "deadline": "good", "auto-alt-ref": "1", "lag-in-frames": "16"}
UNEVEN = [int(time) for time in numpy.random.default_rng(1).integers(5, 400, NUM_FRAMES).cumsum()]

FILMS: dict[str, dict[str, Any]] = {
    "groups.mp4": {"options": GROUPS},
    "b_pyramid.mp4": {"options": {**GROUPS, "bf": "8", "x264-params": "b-pyramid=normal"}},
    "open_groups.mp4": {"options": {"x264-params": OPEN_GROUPS}},
    "open_groups.ts": {"options": {"x264-params": OPEN_GROUPS}},
    "one_giant_group.mp4": {"options": {"g": "1000"}},
    "every_frame_a_key.mp4": {"options": {"g": "1"}},
    "slices.mp4": {"options": {**GROUPS, "x264-params": "slices=4"}},
    "keys_that_heal_slowly.mp4": {"options": {"x264-params": "intra-refresh=1:keyint=15"}},
    "interlaced.ts": {"height": 96, "options": {"x264-params": "interlaced=1:keyint=15"}},
    "ten_bits.mp4": {"options": GROUPS, "pixel_format": "yuv420p10le"},
    "odd_sides.mp4": {
        "options": GROUPS, "pixel_format": "yuv444p", "width": 321, "height": 181, "num_frames": 20
    },
    "h265.mp4": {
        "codec": "libx265",
        "options": {"x265-params": "log-level=none:keyint=20:open-gop=1:b-adapt=0:bframes=4"},
    },
    "vp9.webm": {"codec": "libvpx-vp9", "options": QUICK_VP9},
    "vp9_with_hidden_frames.webm": {"codec": "libvpx-vp9", "options": HIDDEN_FRAMES},
    "vp8_with_hidden_frames.webm": {"codec": "libvpx", "options": HIDDEN_FRAMES},
    "av1.webm": {"codec": "libsvtav1", "options": {**GROUPS, "preset": "12"}},
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"g": "12", "bf": "2"}},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"g": "12", "bf": "2"}},
    "mpeg2.ts": {"codec": "mpeg2video", "options": {"g": "12", "bf": "2"}},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"g": "12", "bf": "2"}},
    "dvd.vob": {
        "codec": "mpeg2video", "options": {"g": "12", "bf": "2"}, "container_format": "vob"
    },
    "motion_jpeg.avi": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
    "matroska.mkv": {"options": GROUPS},
    "transport.ts": {"options": GROUPS},
    "quicktime.mov": {"options": GROUPS},
    "flash.flv": {"options": GROUPS},
    "windows.wmv": {"codec": "wmv2", "container_format": "asf", "options": {"g": "12"}},
    "fragments.mp4": {
        "options": GROUPS, "container_options": {"movflags": "frag_keyframe+empty_moov"}
    },
    "uneven.mp4": {
        "options": GROUPS, "fps": 1000, "time_base": Fraction(1, 1000), "pts": UNEVEN
    },
    "uneven.mkv": {
        "options": GROUPS, "fps": 1000, "time_base": Fraction(1, 1000), "pts": UNEVEN
    },
    "without_times.h264": {"options": GROUPS, "container_format": "h264"},
    "h264_with_b_frames.avi": {"options": GROUPS},
    "with_sound.mp4": {"options": GROUPS, "with_audio": True},
    "animation.gif": {"codec": "gif", "pixel_format": "gray"},
    "animation.apng": {"codec": "apng", "pixel_format": "gray"},
    "one_frame.mp4": {"num_frames": 1},
    "two_frames.mkv": {"num_frames": 2},
}  # fmt: skip


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A film of `FILMS` by its name; each is made once."""
    folder = tmp_path_factory.mktemp("films")

    def make(name: str) -> Path:
        path = folder / name
        if not path.exists():
            setting = {"num_frames": NUM_FRAMES, "width": 160, "height": 90, **FILMS[name]}
            write_video(path, setting.pop("num_frames"), **setting)
        return path

    return make


def _plan(film: VideoFile, indices: Sequence[int], size: Size | None = None) -> VideoPlan:
    times = tuple(film.times_seconds[index] for index in indices)
    return VideoPlan("here", film.size, size or film.size, tuple(indices), times, 1)


def _frames(path: Any, indices: Sequence[int], policy: MediaPolicy = HERE) -> Any:
    """Frames at the size at which they are stored."""
    film = measure_file(path, policy)
    return decode_file(path, _plan(film, indices), policy, lambda image, size: image)


def _numbers(path: Path, size: Size | None = None) -> list[int]:
    """The numbers that all frames show."""
    film = measure_file(path, HERE)
    plan = _plan(film, range(len(film.times_seconds)), size)
    return [read_number(frame) for frame in decode_file(path, plan, HERE, resize_image)]


def _choices(count: int) -> list[list[int]]:
    """All frames, single ones, neighbours, and some far apart."""
    middle = count // 2
    return [
        list(range(count)),
        [count - 1],
        [middle],
        sorted({0, count - 1}),
        list(range(middle, min(count, middle + 3))),
        list(range(count // 7, count, 9)) or [0],
    ]


@pytest.mark.parametrize("name", FILMS)
def test_the_frames_are_those_that_decoding_the_whole_film_gives(film, name):
    stored = decode_all(film(name))
    assert len(stored) == FILMS[name].get("num_frames", NUM_FRAMES)
    for indices in _choices(len(stored)):
        decoded = _frames(film(name), indices)
        assert numpy.array_equal(decoded, numpy.stack([stored[index] for index in indices]))
    assert [read_number(frame) for frame in stored] == list(range(len(stored)))


@pytest.mark.parametrize("name", FILMS)
def test_the_frames_are_the_same_where_the_reader_jumps_ahead(film, name, monkeypatch):
    monkeypatch.setattr(video_decode, "_SEEK_BYTES", -1)
    stored = decode_all(film(name))
    for indices in _choices(len(stored))[1:]:
        decoded = _frames(film(name), indices)
        assert numpy.array_equal(decoded, numpy.stack([stored[index] for index in indices]))


@pytest.mark.parametrize("name", ["groups.mp4", "open_groups.mp4", "one_giant_group.mp4"])
@pytest.mark.parametrize("num_cores", [1, 2, 7])
def test_the_frames_are_the_same_on_any_number_of_cores(film, name, num_cores, monkeypatch):
    monkeypatch.setattr("qwenvl_kit.media.video_files.count_cores", lambda: num_cores)
    expected = numpy.stack(decode_all(film(name)))
    assert numpy.array_equal(_frames(film(name), range(NUM_FRAMES)), expected)
    assert numpy.array_equal(_frames(film(name), [5, 44, 45]), expected[[5, 44, 45]])


@pytest.mark.parametrize("name", ["open_groups.mp4", "h265.mp4", "without_times.h264"])
def test_the_frames_are_the_same_in_a_process_of_their_own(film, name):
    indices = [0, 13, 14, 30, 59]
    apart, here = _frames(film(name), indices, APART), _frames(film(name), indices)
    assert apart.dtype == numpy.uint8
    assert apart.shape == (5, 90, 160, 3)
    assert numpy.array_equal(apart, here)
    assert measure_file(film(name), APART) == measure_file(film(name), HERE)


@pytest.mark.parametrize(
    "name", ["groups.mp4", "transport.ts", "flash.flv", "mpeg2.mpg", "without_times.h264"]
)
def test_times_count_from_the_first_frame(film, name):
    times = measure_file(film(name), HERE).times_seconds
    assert list(times) == pytest.approx([index / 25 for index in range(NUM_FRAMES)], abs=1e-3)


@pytest.mark.parametrize("name", ["uneven.mp4", "uneven.mkv"])
def test_the_times_of_a_film_of_changing_rate_are_its_own(film, name):
    times = measure_file(film(name), HERE).times_seconds
    assert list(times) == pytest.approx([(time - UNEVEN[0]) / 1000 for time in UNEVEN], abs=1e-3)


def test_a_film_that_begins_late_is_whole_and_begins_at_zero(film, tmp_path):
    late = remux_video(film("groups.mp4"), tmp_path / "late.mkv", shift=512 * 25 * 20)
    assert measure_file(late, HERE).times_seconds[0] == 0
    assert _numbers(late) == list(range(NUM_FRAMES))


def test_pictures_that_stay_for_long_are_a_whole_film(tmp_path):
    pts = [0, 10_000, 20_000, 30_000, 40_000]
    path = tmp_path / "slides.mkv"
    write_video(path, 5, width=160, height=90, fps=1, time_base=Fraction(1, 1000), pts=pts)
    assert list(measure_file(path, HERE).times_seconds) == [0, 10, 20, 30, 40]


def test_a_film_whose_sound_goes_on_is_whole(film, tmp_path):
    path = tmp_path / "long_sound.mkv"
    with av.open(str(film("groups.mp4"))) as old, av.open(str(path), "w") as new:
        pictures = new.add_stream_from_template(old.streams.video[0])
        sound: Any = new.add_stream("aac", rate=16000)
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = pictures
                new.mux(packet)
        write_silence(new, sound, 12)
    assert len(measure_file(path, HERE).times_seconds) == NUM_FRAMES


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv", "cut.ts"])
def test_a_film_cut_between_key_frames_begins_with_the_first_that_can_be_decoded(
    film, tmp_path, name
):
    cut = remux_video(film("groups.mp4"), tmp_path / name, skip=7)
    assert measure_file(cut, HERE).times_seconds[0] == 0
    assert _numbers(cut) == list(range(20, NUM_FRAMES))


@pytest.mark.parametrize("codec", ["libvpx-vp9", "mpeg4"])
def test_what_nothing_can_decode_at_the_beginning_is_left_out_with_every_codec(tmp_path, codec):
    options = QUICK_VP9 if codec == "libvpx-vp9" else {"g": "20"}
    whole = write_video(tmp_path / "a.mkv", 60, width=160, height=90, codec=codec, options=options)
    numbers = _numbers(remux_video(whole, tmp_path / "cut.mkv", skip=7))
    assert numbers == list(range(60 - len(numbers), 60))
    assert len(numbers) >= 40


def test_an_edit_list_hides_frames_that_others_refer_to(film, tmp_path):
    edited = remux_video(
        film("groups.mp4"),
        tmp_path / "edited.mp4",
        shift=-512 * 10,
        container_options={"avoid_negative_ts": "disabled"},
    )
    assert measure_file(edited, HERE).times_seconds[0] == 0
    assert _numbers(edited) == list(range(10, NUM_FRAMES))


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_film_stands_upright(tmp_path, rotation):
    path = write_video(tmp_path / "a.mp4", 9, width=160, height=90, rotation=rotation)
    upright = [numpy.rot90(frame, rotation // 90) for frame in decode_all(path)]
    assert measure_file(path, HERE).size == Size(*upright[0].shape[:2])
    assert numpy.array_equal(_frames(path, [0, 5, 8]), numpy.stack([upright[i] for i in (0, 5, 8)]))


@pytest.mark.parametrize(("rotation", "size"), [(0, Size(90, 213)), (90, Size(213, 90))])
def test_a_film_with_oblong_pixels_has_the_size_at_which_it_is_shown(tmp_path, rotation, size):
    path = tmp_path / "a.mp4"
    write_video(path, 9, width=160, height=90, rotation=rotation, aspect=Fraction(4, 3))
    assert measure_file(path, HERE).size == size
    film = measure_file(path, HERE)
    decoded = decode_file(path, _plan(film, [3]), HERE, resize_image)
    stored = PIL.Image.fromarray(numpy.rot90(decode_all(path)[3], rotation // 90))
    assert numpy.array_equal(decoded[0], numpy.asarray(resize_image(stored, size)))


def test_frames_come_at_the_planned_size(film):
    assert _numbers(film("groups.mp4"), Size(56, 84)) == list(range(NUM_FRAMES))
    found = measure_file(film("groups.mp4"), HERE)
    decoded = decode_file(
        film("groups.mp4"), _plan(found, [1, 2], Size(56, 84)), HERE, resize_image
    )
    assert decoded.shape == (2, 56, 84, 3)


def test_frames_that_change_their_size_are_brought_to_one(tmp_path):
    first = write_video(tmp_path / "a.ts", 30, width=160, height=90, fps=25)
    second = write_video(
        tmp_path / "b.ts", 30, width=320, height=180, first=30, pts=list(range(40, 70))
    )
    path = tmp_path / "both.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    assert measure_file(path, HERE).size == STORED
    assert _numbers(path) == list(range(60))


def test_of_several_films_in_a_file_the_one_that_players_show_is_taken(film, tmp_path):
    path = tmp_path / "two.mkv"
    large = write_video(tmp_path / "large.mp4", 30, width=320, height=180)
    with av.open(str(path), "w") as new:
        with av.open(str(film("groups.mp4"))) as small, av.open(str(large)) as big:
            files = [(old, new.add_stream_from_template(old.streams.video[0]))
                     for old in (small, big)]  # fmt: skip
            for old, stream in files:
                for packet in old.demux(video=0):
                    if packet.size:
                        packet.stream = stream
                        new.mux(packet)
    assert measure_file(path, HERE).size == STORED
    assert _numbers(path) == list(range(NUM_FRAMES))


def test_a_cover_is_no_film(tmp_path):
    with pytest.raises(Exception, match="no video, but a cover picture and audio"):
        measure_file(write_sound(tmp_path / "a.mp3", "libmp3lame", with_cover=True), HERE)


@pytest.mark.parametrize("policy", [HERE, APART], ids=["here", "apart"])
def test_bytes_and_urls_are_sources_and_leave_no_file_behind(film, policy, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = film("groups.mp4")
    data = path.read_bytes()
    url = "data:video/mp4;base64," + base64.b64encode(data).decode()
    expected = _frames(path, [7, 33])
    for source in (data, bytearray(data), memoryview(data), url, path.as_uri(), str(path)):
        assert numpy.array_equal(_frames(source, [7, 33], policy), expected)
    assert list(tmp_path.iterdir()) == []


def test_a_chat_sees_two_frames_a_second_of_a_film(film):
    backend = ScriptedBackend(["Noise."])
    VisionChat(backend).ask("What?", VideoPart(film("groups.mp4")))
    (request,) = backend.requests
    assert [read_number(frame) for frame in request.media[0]] == [0, 20, 39, 59]
    assert request.plan.videos[0].timestamps_seconds == (0.0, 0.8, 1.56, 2.36)


def test_a_chat_sees_the_frames_that_are_shown_at_given_times(film):
    backend = ScriptedBackend(["Noise."])
    part = VideoPart(film("uneven.mkv"), timestamps_seconds=(0.0, 1.0, 5.0))
    VisionChat(backend).ask([Message.user(part, "What?")])
    times = numpy.array(UNEVEN) - UNEVEN[0]
    expected = [int((times <= moment).sum()) - 1 for moment in (0, 1000, 5000)]
    assert [read_number(frame) for frame in backend.requests[0].media[0]] == expected
