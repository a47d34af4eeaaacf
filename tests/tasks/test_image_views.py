"""Parts and turned copies of a picture have its pixels, and boxes in them come back to it."""

from __future__ import annotations

import numpy
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenvl_kit.geometry import Point
from qwenvl_kit.tasks.image_tools.views import Affine, View


def numbered(width: int, height: int) -> PIL.Image.Image:
    """A picture each of whose pixels says where it is."""
    ys, xs = numpy.mgrid[0:height, 0:width]
    return PIL.Image.fromarray(
        numpy.stack([xs % 256, ys % 256, xs // 256 * 16 + ys // 256], axis=2).astype("uint8")
    )


def place_of(pixel: tuple[int, ...]) -> tuple[int, int]:
    return pixel[2] // 16 * 256 + pixel[0], pixel[2] % 16 * 256 + pixel[1]


SIZES = st.tuples(st.integers(40, 700), st.integers(40, 700))
QUARTERS = st.sampled_from([0, 90, 180, 270, -90, 360, 450])


@given(SIZES, st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), QUARTERS), max_size=4))
def test_each_pixel_of_a_chain_of_parts_and_right_angles_is_that_of_its_place(size, chain):
    view = View.of(numbered(*size), None, 0)
    for left, top, angle in chain:
        width, height = view.image.size
        x1, y1 = left * width * 0.5, top * height * 0.5
        view = view.part((x1, y1, x1 + width * 0.5, y1 + height * 0.5)).turned(angle)
    width, height = view.image.size
    for x, y in ((0, 0), (width - 1, height - 1), (width // 2, height // 3)):
        at = view.to_original(Point(x + 0.5, y + 0.5))
        pixel = view.image.getpixel((x, y))
        assert isinstance(pixel, tuple)
        assert place_of(pixel) == (int(at.x_px), int(at.y_px))


@given(SIZES, st.floats(-720, 720), st.floats(0.2, 0.8), st.floats(0.2, 0.8))
def test_a_place_in_a_turned_picture_comes_back_to_the_original(size, angle, x, y):
    width, height = size
    turned = View.of(numbered(width, height), None, 0).turned(angle)
    # The middle stays the middle, and distances stay.
    middle = turned.to_original(Point(turned.image.width / 2, turned.image.height / 2))
    assert (middle.x_px, middle.y_px) == (pytest.approx(width / 2), pytest.approx(height / 2))
    at = turned.to_original(Point(x * turned.image.width, y * turned.image.height))
    before = (at.x_px - width / 2) ** 2 + (at.y_px - height / 2) ** 2
    dx, dy = (x - 0.5) * turned.image.width, (y - 0.5) * turned.image.height
    assert before == pytest.approx(dx**2 + dy**2, abs=1e-3)


@pytest.mark.parametrize("angle", [10, 45, 133.5, -30])
def test_a_pixel_of_a_skew_copy_shows_its_place(angle):
    marked = PIL.Image.new("RGB", (400, 300), "blue")
    marked.paste("red", (100, 200, 140, 230))
    turned = View.of(marked, None, 0).turned(angle)
    pixels = numpy.asarray(turned.image)
    ys, xs = numpy.nonzero((pixels[..., 0] > 200) & (pixels[..., 1] < 60))
    middle = turned.to_original(Point(float(xs.mean()) + 0.5, float(ys.mean()) + 0.5))
    assert (middle.x_px, middle.y_px) == (pytest.approx(120, abs=0.5), pytest.approx(215, abs=0.5))
    assert turned.image.getpixel((0, 0)) == (255, 255, 255)


def test_a_positive_angle_turns_counter_clockwise():
    marked = PIL.Image.new("RGB", (40, 60), "blue")
    marked.putpixel((39, 0), (255, 0, 0))  # upper right
    assert View.of(marked, None, 0).turned(90).image.getpixel((0, 0)) == (255, 0, 0)


@given(
    SIZES,
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0.001, 1), st.floats(0.001, 1)),
)
def test_a_part_is_never_too_small_or_too_thin_to_be_shown_and_holds_what_was_asked_for(size, box):
    width, height = size
    x1, y1 = box[0] * (width - 1), box[1] * (height - 1)
    x2, y2 = x1 + box[2] * (width - x1), y1 + box[3] * (height - y1)
    view = View.of(numbered(width, height), None, 0).part((x1, y1, x2, y2))
    assert min(view.image.size) >= 32
    assert max(view.image.size) <= 100 * min(view.image.size)
    left, top, right, bottom = view.original_box(view.bounds)
    assert left <= x1 + 1e-6 <= right
    assert top <= y1 + 1e-6 <= bottom
    assert right >= x2 - 1e-6
    assert bottom >= y2 - 1e-6
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


def test_a_part_of_a_given_part_stays_inside_it():
    view = View.of(numbered(400, 400), (100.0, 100.0, 300.0, 300.0), 0)
    part = view.part((0, 0, 110, 110))
    assert part.original_box(part.bounds) == (100, 100, 132, 132)
    turned = view.turned(180)
    assert turned.image.size == (200, 200)
    assert turned.original_box((0, 0, 10, 10)) == (290, 290, 300, 300)


@given(st.lists(st.floats(-5, 5), min_size=14, max_size=14))
def test_maps_are_done_one_after_the_other(numbers):
    first, second = Affine(*numbers[:6]), Affine(*numbers[6:12])
    x, y = numbers[12:]
    once = second.after(first)(Point(x, y))
    twice = second(first(Point(x, y)))
    assert once.x_px == pytest.approx(twice.x_px, abs=1e-6)
    assert once.y_px == pytest.approx(twice.y_px, abs=1e-6)
