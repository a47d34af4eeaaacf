from __future__ import annotations

import base64
import io

import numpy
import PIL.Image
import pytest

from qwenvl_kit import MediaPolicy, Message, Size, VideoPart, VideoPlan, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import (
    MediaArrayError,
    MediaDecodeError,
    MediaNotFoundError,
    MediaSizeError,
    MediaSourceError,
    VideoTimingError,
)
from qwenvl_kit.media.frame_sequences import decode_frames, measure_frames
from qwenvl_kit.media.images import resize_image

POLICY = MediaPolicy()
COLOURS = [(0, 0, 0), (60, 0, 0), (120, 0, 0), (180, 0, 0)]
FRAMES = [PIL.Image.new("RGB", (6, 4), colour) for colour in COLOURS]


def _plan(*indices: int) -> VideoPlan:
    times = tuple(float(index) for index in indices)
    return VideoPlan("messages[0].parts[0]", Size(4, 6), Size(28, 56), indices, times, 2)


def _paths(folder):
    for index, frame in enumerate(FRAMES):
        frame.save(folder / f"{index}.png")
    return [folder / f"{index}.png" for index in range(len(FRAMES))]


def _shapes(folder):
    array = numpy.stack([numpy.asarray(frame) for frame in FRAMES])
    mixed = [_paths(folder)[0], str(_paths(folder)[1]), FRAMES[2], array[3]]
    return {
        "list": FRAMES,
        "tuple": tuple(FRAMES),
        "array": array,
        "paths": _paths(folder),
        "mixed": mixed,
    }


@pytest.mark.parametrize("shape", ["list", "tuple", "array", "paths", "mixed"])
def test_frames_come_as_any_sequence_of_pictures(tmp_path, shape):
    source = _shapes(tmp_path)[shape]
    found = measure_frames(source, POLICY)
    assert (found.size, found.num_frames) == (Size(4, 6), 4)
    decoded = decode_frames(source, _plan(0, 1, 2, 3), POLICY, resize_image)
    assert decoded.dtype == numpy.uint8
    assert [tuple(frame[0, 0]) for frame in decoded] == COLOURS


def test_a_tensor_of_frames_has_its_channels_second():
    torch = pytest.importorskip("torch")
    frames = torch.from_numpy(numpy.stack([numpy.asarray(f) for f in FRAMES])).permute(0, 3, 1, 2)
    assert measure_frames(frames, POLICY).size == Size(4, 6)


def test_only_the_planned_frames_are_decoded_at_the_planned_size():
    decoded = decode_frames(FRAMES, _plan(1, 3), POLICY, resize_image)
    assert decoded.shape == (2, 28, 56, 3)
    assert [tuple(frame[0, 0]) for frame in decoded] == [COLOURS[1], COLOURS[3]]


def test_a_damaged_frame_that_is_not_used_does_not_matter():
    buffer = io.BytesIO()
    FRAMES[0].save(buffer, "PNG")
    cut = buffer.getvalue()[:45]
    source = [FRAMES[0], cut, FRAMES[2]]
    assert measure_frames(source, POLICY).num_frames == 3
    assert len(decode_frames(source, _plan(0, 2), POLICY, resize_image)) == 2
    with pytest.raises(MediaDecodeError) as caught:
        decode_frames(source, _plan(0, 1), POLICY, resize_image)
    assert caught.value.where == "source[1]"


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        ("/no/such/frame.png", MediaNotFoundError),
        (None, MediaSourceError),
        (numpy.zeros((4, 6, 2)), MediaArrayError),
        (b"text", MediaDecodeError),
        ([FRAMES[0]], MediaSourceError),
    ],
)
def test_a_bad_frame_is_refused_with_its_number(frame, error):
    with pytest.raises(error) as caught:
        measure_frames([FRAMES[0], FRAMES[1], frame], POLICY)
    assert caught.value.where == "source[2]"


def test_frames_of_different_sizes_are_refused_with_the_first_that_differs():
    with pytest.raises(MediaSizeError, match="frame 1 is 3 x 3 px, the first is 6 x 4 px"):
        measure_frames([FRAMES[0], PIL.Image.new("RGB", (3, 3)), FRAMES[1]], POLICY)


@pytest.mark.parametrize(
    "source",
    [
        [],
        (),
        "video.mp4",
        b"bytes of a video",
        bytearray(b"bytes of a video"),
        memoryview(b"bytes of a video"),
        None,
        3,
        {0: FRAMES[0]},
        set(),
        iter(FRAMES),
        FRAMES[0],
        numpy.zeros((4, 6, 3), "uint8"),
        numpy.zeros((0, 4, 6, 3), "uint8"),
        range(0),
    ],
)
def test_a_source_that_is_no_sequence_of_frames_is_refused(source):
    with pytest.raises(MediaSourceError) as caught:
        measure_frames(source, POLICY)
    assert caught.value.expected


def test_frames_that_are_one_animated_picture_again_and_again_are_refused():
    import io

    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    animation = PIL.Image.open(buffer)
    with pytest.raises(MediaSourceError, match="animated"):
        measure_frames([animation] * 3, MediaPolicy())


def _frames_url(count: int = 4) -> str:
    """Frames as vLLM's clients send them: JPEGs in base64 one after another."""
    encoded = []
    for colour in COLOURS[:count]:
        buffer = io.BytesIO()
        PIL.Image.new("RGB", (60, 40), colour).save(buffer, "JPEG", quality=95)
        encoded.append(base64.b64encode(buffer.getvalue()).decode())
    return "data:video/jpeg;base64," + ",".join(encoded)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_url_of_several_jpegs_is_a_sequence_of_frames(count):
    backend = ScriptedBackend(["yes"])
    part = VideoPart(_frames_url(count), fps=2)
    reply = VisionChat(backend).ask([Message.user(part, "?")])
    (video,) = reply.plan.videos
    assert video.timestamps_seconds == tuple(index / 2 for index in range(count))
    (frames,) = backend.requests[0].media
    assert [abs(int(frame[5, 5, 0]) - colour[0]) < 4 for frame, colour in zip(frames, COLOURS)] == (
        [True] * count
    )


def test_a_url_of_several_jpegs_without_a_rate_says_how_to_give_it():
    chat = VisionChat(ScriptedBackend([]))
    with pytest.raises(VideoTimingError) as caught:
        chat.ask([Message.user(VideoPart(_frames_url()), "?")])
    assert caught.value.where == "messages[0].parts[0]"
    assert "fps=2" in caught.value.hint


def test_a_url_of_several_jpegs_as_a_picture_says_what_takes_it():
    with pytest.raises(MediaDecodeError) as caught:
        VisionChat(ScriptedBackend([])).ask("?", _frames_url())
    assert "VideoPart" in caught.value.hint
    assert "/9j/" not in str(caught.value)


@pytest.mark.parametrize("tail", [",", ",!", ",AAAA"])
def test_a_frame_of_a_url_that_is_none_is_told_with_its_place(tail):
    part = VideoPart(_frames_url(2) + tail, fps=1)
    with pytest.raises(MediaDecodeError) as caught:
        VisionChat(ScriptedBackend([])).ask([Message.user(part, "?")])
    assert caught.value.where == "messages[0].parts[0].source[2]"


def test_a_url_of_several_jpegs_counts_as_many_frames():
    policy = MediaPolicy(max_frames=3)
    with pytest.raises(MediaSizeError, match="4 frames"):
        VisionChat(ScriptedBackend([]), media=policy).plan(
            [Message.user(VideoPart(_frames_url(), fps=1), "?")]
        )
