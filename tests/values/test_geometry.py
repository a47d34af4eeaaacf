"""Places in what a model sees map back to the pixels of the original."""

from __future__ import annotations

import io

import numpy
import PIL.Image
import PIL.ImageOps
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenvl_kit import PixelMap, Point, Region, Size
from qwenvl_kit.errors import BudgetError

SIDES = st.integers(1, 5000)
SIZES = st.builds(Size, SIDES, SIDES)


@st.composite
def maps(draw):
    original = draw(SIZES)
    x1 = draw(st.integers(0, original.width_px - 1))
    y1 = draw(st.integers(0, original.height_px - 1))
    x2 = draw(st.integers(x1 + 1, original.width_px))
    y2 = draw(st.integers(y1 + 1, original.height_px))
    crop = draw(st.sampled_from([None, Region(x1, y1, x2, y2)]))
    shown = original if crop is None else crop.size
    margin = draw(st.integers(0, 300))
    padded = Size(shown.height_px + margin, shown.width_px)
    resized = draw(SIZES)
    return PixelMap(original=original, resized=resized, padded=padded, crop=crop)


@given(maps(), st.floats(-100, 6000), st.floats(-100, 6000))
def test_a_place_of_the_original_goes_to_the_model_and_comes_back(pixel_map, x, y):
    there = pixel_map.to_resized(Point(x, y))
    back = pixel_map.to_original(there)
    assert (back.x_px, back.y_px) == pytest.approx((x, y), abs=1e-6)


@given(maps())
def test_the_corners_of_what_is_shown_are_those_of_the_padded_region(pixel_map):
    start = pixel_map.to_original(Point(0, 0))
    end = pixel_map.to_original(Point(pixel_map.resized.width_px, pixel_map.resized.height_px))
    assert end.x_px - start.x_px == pytest.approx(pixel_map.padded.width_px)
    assert end.y_px - start.y_px == pytest.approx(pixel_map.padded.height_px)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_place_maps_to_the_stored_pixel_whatever_exif_turned(orientation):
    pixels = numpy.arange(4 * 6, dtype=numpy.uint8).reshape(4, 6)
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG", exif=exif)
    upright = numpy.asarray(PIL.ImageOps.exif_transpose(PIL.Image.open(buffer)))
    size = Size(*upright.shape)
    pixel_map = PixelMap(original=size, resized=size, padded=size, orientation=orientation)
    for y, x in numpy.ndindex(upright.shape):
        stored = pixel_map.to_stored(Point(x + 0.5, y + 0.5))
        assert pixels[int(stored.y_px), int(stored.x_px)] == upright[y, x]


@pytest.mark.parametrize(
    "sides", [(0, 0, 0, 5), (3, 0, 2, 5), (-1, 0, 2, 5), (0.5, 0, 2, 5), (True, 0, 2, 5)]
)
def test_a_region_without_pixels_is_refused(sides):
    with pytest.raises(BudgetError):
        Region(*sides)
