"""What a model sees of a picture: cut, padded and resized, and where each place came from."""

from __future__ import annotations

import io

import numpy
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit import ImagePart, Message, PixelBudget, Point, Region, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import BudgetError, MediaSizeError


def _shown(part, **settings_):
    """The plan of a picture, and the pixels that the backend is given."""
    backend = ScriptedBackend(["x"])
    reply = VisionChat(backend).ask([Message.user(part, "?")], **settings_)
    return reply.plan.images[0], numpy.asarray(backend.requests[0].media[0])


def _noise(width, height, seed=0):
    pixels = numpy.random.default_rng(seed).integers(0, 256, (height, width, 3), numpy.uint8)
    return PIL.Image.fromarray(pixels)


def _dot(size, x, y, radius=6):
    """A black dot on white; returns a picture."""
    pixels = numpy.full((size[1], size[0], 3), 255, numpy.uint8)
    pixels[max(0, y - radius) : y + radius, max(0, x - radius) : x + radius] = 0
    return PIL.Image.fromarray(pixels)


def _centre_of_dark(pixels):
    rows, columns = numpy.nonzero(pixels[:, :, 0] < 128)
    return Point(columns.mean() + 0.5, rows.mean() + 0.5)


@pytest.mark.parametrize("size", [(1, 1), (5, 5), (10, 500), (27, 27), (4000, 1), (20, 5000)])
def test_a_picture_under_one_token_or_too_long_a_strip_gets_a_white_margin(size):
    picture = PIL.Image.new("RGB", size, "black")
    plan, pixels = _shown(ImagePart(picture))
    assert (plan.original.width_px, plan.original.height_px) == size
    assert plan.pixel_map.is_padded
    height, width = pixels.shape[:2]
    edge = plan.pixel_map.to_resized(Point(*size))
    if plan.padded.width_px > 1.2 * size[0]:
        assert pixels[height // 2, min(width - 1, int(edge.x_px) + width // 8 + 4)].min() > 200
    if plan.padded.height_px > 1.2 * size[1]:
        assert pixels[min(height - 1, int(edge.y_px) + height // 8 + 4), width // 2].min() > 200


@pytest.mark.parametrize("size", [(28, 28), (28, 5600), (640, 480)])
def test_a_picture_that_needs_none_gets_no_margin(size):
    plan, _ = _shown(ImagePart(PIL.Image.new("RGB", size)))
    assert plan.padded is None


def test_an_exact_size_is_given_without_a_margin():
    plan, pixels = _shown(ImagePart(PIL.Image.new("RGB", (5, 5)), height_px=56, width_px=84))
    assert plan.padded is None
    assert pixels.shape == (56, 84, 3)


def test_a_crop_shows_its_region_alone():
    picture = _noise(300, 200)
    region = Region(100, 50, 212, 106)
    plan, pixels = _shown(ImagePart(picture, crop=region))
    assert numpy.array_equal(pixels, numpy.asarray(picture)[50:106, 100:212])
    assert (plan.original.width_px, plan.tokens) == (300, 8)


def test_a_crop_is_of_the_upright_picture():
    upright = _noise(112, 56)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # stored turned to the left
    buffer = io.BytesIO()
    upright.transpose(PIL.Image.Transpose.ROTATE_90).save(buffer, "PNG", exif=exif)
    plan, pixels = _shown(ImagePart(buffer.getvalue(), crop=Region(0, 0, 56, 56)))
    assert plan.orientation == 6
    assert numpy.array_equal(pixels, numpy.asarray(upright)[:, :56])


@pytest.mark.parametrize("region", [Region(0, 0, 301, 10), Region(0, 0, 10, 201)])
def test_a_crop_beyond_the_picture_is_refused(region):
    with pytest.raises(MediaSizeError, match="reaches beyond"):
        _shown(ImagePart(_noise(300, 200), crop=region))


@pytest.mark.parametrize("crop", [(0, 0, 10, 10), "all", 3])
def test_a_crop_that_is_no_region_is_refused(crop):
    with pytest.raises(BudgetError, match="Region"):
        ImagePart("a.png", crop=crop)


@given(
    size=st.tuples(st.integers(15, 900), st.integers(15, 900)),
    where=st.tuples(st.floats(0.1, 0.9), st.floats(0.1, 0.9)),
    tokens=st.integers(60, 400),
    orientation=st.integers(1, 8),
)
@settings(max_examples=60, deadline=None)
def test_what_the_model_sees_at_a_place_is_at_the_mapped_place_of_the_original(
    size, where, tokens, orientation
):
    x, y = int(size[0] * where[0]), int(size[1] * where[1])
    radius = max(2, min(size) // 12)
    upright = _dot(size, x, y, radius)
    buffer = io.BytesIO()
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    _stored(upright, orientation).save(buffer, "PNG", exif=exif)
    plan, pixels = _shown(ImagePart(buffer.getvalue()), budget=PixelBudget(4, tokens))
    seen = _centre_of_dark(pixels)
    found = plan.pixel_map.to_original(seen)
    expected = _centre_of_dark(numpy.asarray(upright))
    step = max(
        plan.pixel_map.padded.width_px / plan.resized.width_px,
        plan.pixel_map.padded.height_px / plan.resized.height_px,
    )
    assert abs(found.x_px - expected.x_px) <= 1 + step
    assert abs(found.y_px - expected.y_px) <= 1 + step
    stored = plan.pixel_map.to_stored(seen)
    dark = _centre_of_dark(numpy.asarray(PIL.Image.open(buffer)))
    assert abs(stored.x_px - dark.x_px) <= 1 + step
    assert abs(stored.y_px - dark.y_px) <= 1 + step


def _stored(upright, orientation):
    """The pixels that EXIF's orientation turns into the upright picture."""
    turn = PIL.Image.Transpose
    turns = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_90,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_270,
    }
    return upright if orientation == 1 else upright.transpose(turns[orientation])


@given(
    size=st.tuples(st.integers(28, 3000), st.integers(28, 3000)),
    longest=st.integers(1, 2000),
    tokens=st.integers(4, 2000),
)
@settings(max_examples=200, deadline=None)
def test_the_longer_side_never_exceeds_its_limit(size, longest, tokens):
    chat = VisionChat(ScriptedBackend(["x"], context_tokens=100_000))
    budget = PixelBudget(max_tokens=tokens, max_long_edge_px=longest)
    (plan,) = chat.plan("?", PIL.Image.new("L", size), budget=budget).images
    assert max(plan.resized.height_px, plan.resized.width_px) <= max(28, longest)


def test_the_limit_of_the_longer_side_is_written_in_dicts_too():
    part = {"type": "image", "image": _noise(900, 300), "max_long_edge_px": 280}
    chat = VisionChat(ScriptedBackend(["x"]))
    (plan,) = chat.plan([{"role": "user", "content": [part]}]).images
    assert (plan.resized.width_px, plan.resized.height_px) == (280, 84)
