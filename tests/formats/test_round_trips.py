from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from qwenvl_kit import (
    ImagePart,
    MediaPolicy,
    Message,
    PixelBudget,
    TextPart,
    VideoPart,
    from_dicts,
    to_openai,
    to_qwen,
)
from qwenvl_kit.errors import MediaDecodeError, MediaSourceError, UnsupportedFeatureError
from qwenvl_kit.media.images import decode_image

TEXTS = st.text(max_size=30)
COUNTS = st.integers(1, 10**6)
SECONDS = st.floats(0, 1e6, allow_nan=False)
PIXELS = arrays.arrays("uint8", arrays.array_shapes(min_dims=3, max_dims=3, max_side=4).map(
    lambda shape: (shape[0], shape[1], 3)
))  # fmt: skip
PATHS = st.text("ab /.#?%\u00e9", min_size=1, max_size=12).map(lambda name: f"/folder/{name}")
URLS = st.sampled_from(["https://example.com/a.png", "file:///a%20b.png", "data:image/png,abc"])
IN_MEMORY = st.one_of(PIXELS, PIXELS.map(PIL.Image.fromarray))
SOURCES = st.one_of(PATHS, PATHS.map(Path), URLS, st.binary(max_size=20), IN_MEMORY)


@st.composite
def budgets(draw):
    if draw(st.booleans()):
        return draw(st.sampled_from([None, "native", "quick", "standard", "fine"]))
    unit = draw(st.sampled_from(["tokens", "pixels"]))
    limits = sorted(draw(st.tuples(COUNTS, COUNTS, COUNTS)))
    names = [f"{limit}_{unit}" for limit in ("min", "max", "total")]
    kept = draw(st.sets(st.sampled_from(names), min_size=1))
    return PixelBudget(**{name: limit for name, limit in zip(names, limits) if name in kept})


@st.composite
def images(draw):
    sides = draw(st.one_of(st.just((None, None)), st.tuples(COUNTS, COUNTS)))
    return ImagePart(draw(SOURCES), budget=draw(budgets()), height_px=sides[0], width_px=sides[1])


@st.composite
def videos(draw):
    start, length = draw(SECONDS), draw(st.floats(0.5, 100))
    frames = draw(st.lists(SOURCES, min_size=1, max_size=3))
    fps = draw(st.one_of(st.none(), st.floats(0.01, 1000)))
    source = draw(st.sampled_from([frames, tuple(frames), "/folder/a.mp4"]))
    times = draw(st.one_of(st.none(), st.tuples(SECONDS, SECONDS))) if fps is None else None
    if fps is None and times is None:  # frames want either, and get a rate where dicts have none
        source = "/folder/a.mp4"
    return VideoPart(
        source,
        fps=fps,
        num_frames=draw(st.one_of(st.none(), COUNTS)),
        start_seconds=draw(st.sampled_from([None, start])),
        end_seconds=draw(st.sampled_from([None, start + length])),
        budget=draw(budgets()),
        timestamps_seconds=times,
    )


def conversations(image, video):
    texts = TEXTS.map(TextPart)
    held = {
        "system": texts,
        "user": st.one_of(texts, image, video),
        "assistant": texts,
        "tool": st.one_of(texts, image),
    }
    turns = [
        st.lists(parts, min_size=1, max_size=3).map(
            lambda given, role=role: Message(role, tuple(given))
        )
        for role, parts in held.items()
    ]
    return st.lists(st.one_of(turns), max_size=4).map(tuple)


@given(conversations(images(), videos()))
@settings(max_examples=150, deadline=None)
def test_a_conversation_comes_back_from_qwens_dialect_as_it_was(messages):
    assert from_dicts(to_qwen(messages)) == messages


def test_bounds_of_frames_are_written_under_qwens_names():
    (message,) = to_qwen([Message.user(VideoPart("a.mp4", fps=1, min_frames=2, max_frames=64))])
    item = {"type": "video", "video": "a.mp4", "fps": 1, "min_frames": 2, "max_frames": 64}
    assert message["content"] == [item]


@given(conversations(st.builds(ImagePart, URLS), st.builds(VideoPart, URLS)))
@settings(max_examples=100, deadline=None)
def test_a_conversation_of_text_and_urls_comes_back_from_openais_dialect_as_it_was(messages):
    assert from_dicts(to_openai(messages)) == messages


@given(conversations(st.builds(ImagePart, URLS), st.builds(VideoPart, URLS)))
@settings(max_examples=50, deadline=None)
def test_what_is_written_for_openai_is_json(messages):
    assert from_dicts(json.loads(json.dumps(to_openai(messages)))) == messages


@given(st.builds(ImagePart, IN_MEMORY))
@settings(max_examples=50, deadline=None)
def test_a_picture_in_memory_goes_through_openais_dialect_as_a_png_of_equal_pixels(part):
    ((message,),) = [from_dicts(to_openai([Message.user(part)]))]
    (url,) = [p.source for p in message.parts]
    assert url.startswith("data:image/png;base64,")
    before, after = decode_image(part.source, MediaPolicy()), decode_image(url, MediaPolicy())
    assert numpy.array_equal(numpy.asarray(before), numpy.asarray(after))


@pytest.mark.parametrize("name", ["a.png", "a b.png", "a#b.png", "a?b.png", "100%.png", "é.png"])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_goes_through_openais_dialect_as_a_file_url_that_opens(tmp_path, name, kind):
    PIL.Image.new("RGB", (3, 2), "red").save(tmp_path / name)
    part = ImagePart(kind(tmp_path / name))
    (message,) = from_dicts(to_openai([Message.user(part)]))
    assert message.parts[0].source == (tmp_path / name).as_uri()
    assert decode_image(message.parts[0].source, MediaPolicy()).getpixel((0, 0)) == (255, 0, 0)


def test_encoded_bytes_go_through_openais_dialect_byte_for_byte():
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (3, 2), "red").save(buffer, "JPEG")
    (message,) = to_openai([Message.user(ImagePart(buffer.getvalue()))])
    url = message["content"][0]["image_url"]["url"]
    assert url == f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


@pytest.mark.parametrize(
    "part",
    [
        ImagePart("a.png", budget="native"),
        ImagePart("a.png", height_px=28, width_px=28),
        VideoPart("a.mp4", fps=2),
        VideoPart("a.mp4", min_frames=2),
        VideoPart("a.mp4", max_frames=2),
        VideoPart(["a.png"], fps=2),
    ],
)
def test_a_setting_that_openais_dialect_cannot_carry_is_refused_rather_than_lost(part):
    with pytest.raises(UnsupportedFeatureError) as caught:
        to_openai([Message.system("x"), Message.user("y", part)])
    assert caught.value.where == "messages[1].parts[1]"


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (b"no picture", MediaDecodeError),
        (None, MediaSourceError),
        ("s3://bucket/a.png", MediaSourceError),
    ],
)
def test_a_source_that_is_no_picture_is_refused_with_its_place(source, error):
    with pytest.raises(error) as caught:
        to_openai([Message.user("y", ImagePart(source))])
    assert caught.value.where == "messages[0].parts[1]"
