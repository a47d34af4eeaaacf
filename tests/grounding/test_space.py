"""A box in space is put on its picture as Qwen's cookbook and OpenCV put it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit import Point, Region, Size
from qwenvl_kit.errors import InputError
from qwenvl_kit.grounding.boxes import Box3D
from qwenvl_kit.grounding.place_parser import parse_places
from qwenvl_kit.grounding.space.found import numbers_of
from qwenvl_kit.grounding.space.intrinsics import CameraIntrinsics, as_intrinsics
from qwenvl_kit.grounding.space.projection import NEAR_M, Segment, inside_picture, project_edges
from qwenvl_kit.grounding.space.rotation import EDGES

CAMERA = CameraIntrinsics(1000.0, 900.0, 320.0, 240.0)
SIZE = Size(height_px=480, width_px=640)


def test_intrinsics_take_the_numbers_of_numpy() -> None:
    focal, middle = numpy.float32(500.5), numpy.int64(320)
    camera = CameraIntrinsics(focal, focal, middle, middle)  # type: ignore[arg-type]
    assert camera == CameraIntrinsics(500.5, 500.5, 320.0, 320.0)
    assert [type(value) for value in (camera.fx_px, camera.cx_px)] == [float, float]
    assert as_intrinsics({"fx": focal, "fy": focal, "cx": middle, "cy": middle}) == camera


def box_of(numbers: Sequence[float], label: str = "it") -> Box3D:
    """A box of the nine numbers that a model writes."""
    return Box3D(label, *numbers[:6], *(turn * 180 for turn in numbers[6:]))  # type: ignore[misc]


RECORDED = [
    (
        [2.88, 0.56, 6.28, 4.45, 1.7, 1.84, 0.75, 0.49, 0.75],
        (1266.417, 1266.417, 816.267, 491.507),
        [
            [1987.74, 947.35], [1407.21, 942.67], [1998.62, 415.79], [1412.58, 416.41],
            [1389.63, 694.17], [1114.2, 693.13], [1392.13, 440.79], [1115.46, 440.97],
        ],
    ),
    (
        [-0.4, -0.26, 2.71, 0.76, 0.96, 0.78, 0.16, 0.13, 0.08],
        (1470.424, 1470.424, 715.13, 937.804),
        [
            [762.95, 989.64], [561.93, 1180.24], [787.88, 522.32], [552.59, 608.53],
            [465.38, 909.71], [218.7, 1061.29], [445.13, 478.56], [148.18, 541.86],
        ],
    ),
]  # fmt: skip
"""Boxes and cameras of the cookbook, and the pixels in which cv2.projectPoints (OpenCV 5.0) puts
the corners turned by scipy's Rotation.from_euler("xyz") (1.17)."""


@pytest.mark.parametrize(("numbers", "camera", "pixels"), RECORDED)
def test_corners_lie_where_opencv_and_scipy_put_them(
    numbers: list[float], camera: tuple[float, ...], pixels: list[list[float]]
) -> None:
    fx, fy, cx, cy = camera
    found = box_of(numbers).project({"fx": fx, "fy": fy, "cx": cx, "cy": cy})
    assert [[at.x_px, at.y_px] for at in found if at] == [
        pytest.approx(pixel, abs=0.02) for pixel in pixels
    ]


def test_the_corners_of_a_box_that_is_not_turned_are_in_the_order_of_the_cookbook() -> None:
    corners = numpy.asarray(box_of([0, 0, 5, 2, 4, 6, 0, 0, 0]).corners)
    assert corners.shape == (8, 3)
    assert corners.tolist()[:3] == [[1, 2, 8], [1, 2, 2], [1, -2, 8]]
    assert corners[7].tolist() == [-1, -2, 2]


@pytest.mark.parametrize(
    ("turns", "corner"),
    [
        ((0.5, 0, 0), (1.0, -3.0, 2.0)),  # y becomes z, z becomes -y
        ((0, 0.5, 0), (3.0, 2.0, -1.0)),  # z becomes x, x becomes -z
        ((0, 0, 0.5), (-2.0, 1.0, 3.0)),  # x becomes y, y becomes -x
        ((0.5, 0.5, 0), (2.0, -3.0, -1.0)),  # around x first, then around y
    ],
)
def test_a_box_is_turned_around_x_then_y_then_z(
    turns: tuple[float, ...], corner: tuple[float, ...]
) -> None:
    assert box_of([0, 0, 0, 2, 4, 6, *turns]).corners[0] == pytest.approx(corner)


@settings(deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=9, max_size=9))
def test_a_box_keeps_its_lengths_and_its_middle_however_it_is_turned(numbers: list[float]) -> None:
    corners = numpy.asarray(box_of(numbers).corners)
    lengths = [float(numpy.linalg.norm(corners[a] - corners[b])) for a, b in EDGES]
    assert lengths == pytest.approx([abs(numbers[5 - at // 4]) for at in range(12)], abs=1e-9)
    assert corners.mean(axis=0).tolist() == pytest.approx(numbers[:3], abs=1e-9)


@settings(deadline=None)
@given(st.lists(st.integers(-300, 300).map(lambda n: n / 100), min_size=9, max_size=9))
def test_a_box_comes_back_from_the_form_that_models_write(numbers: list[float]) -> None:
    written = json.dumps([{"bbox_3d": numbers_of(box_of(numbers)), "label": "car"}])
    (place,) = parse_places(written).boxes_3d
    assert place.numbers == pytest.approx(tuple(numbers))


def test_a_corner_behind_the_camera_has_no_place_and_its_edges_are_cut() -> None:
    passing = box_of([0.4, 0, 0.5, 0.2, 0.2, 2, 0, 0, 0])
    found = passing.project(CAMERA)
    assert [at is None for at in found] == [False, True] * 4
    edges = passing.edges(CAMERA)
    assert len(edges) == 8  # four that come near, and the face that is far
    nearest = [max(edge.start.x_px, edge.stop.x_px) for edge in edges]
    assert max(nearest) == pytest.approx(320 + 1000 * 0.5 / NEAR_M)
    seen = passing.edges(CAMERA, SIZE)
    assert all(0 <= at.x_px <= 640 for edge in seen for at in (edge.start, edge.stop))


def test_a_box_behind_the_camera_has_no_edges_and_no_box() -> None:
    behind = box_of([0, 0, -5, 1, 1, 1, 0, 0, 0])
    assert behind.project(CAMERA) == (None,) * 8
    assert behind.edges(CAMERA) == ()
    assert behind.to_box(CAMERA, SIZE) is None


def test_a_camera_within_a_box_sees_the_edges_before_it() -> None:
    around = box_of([0, 0, 0, 4, 4, 40, 0, 0, 0])
    assert len(around.edges(CAMERA)) == 8
    box = around.to_box(CAMERA, SIZE)
    assert box is not None
    assert (box.x1_px, box.x2_px) == pytest.approx((0, 640), abs=120)


def test_the_box_around_is_that_of_the_corners_where_all_are_seen() -> None:
    whole = box_of([0, 0, 10, 1, 1, 1, 0.1, 0.2, 0.3], "car")
    box = whole.to_box(CAMERA, SIZE)
    xs = [at.x_px for at in whole.project(CAMERA) if at]
    assert box is not None
    assert box.label == "car"
    assert (box.x1_px, box.x2_px) == pytest.approx((min(xs), max(xs)))


@settings(deadline=None)
@given(*[st.floats(-2000, 2000)] * 4)
def test_a_line_is_cut_at_the_border_and_stays_on_itself(
    x1: float, y1: float, x2: float, y2: float
) -> None:
    line = Segment(Point(x1, y1), Point(x2, y2))
    cut = inside_picture(line, SIZE)
    samples = [(x1 + (x2 - x1) * t / 64, y1 + (y2 - y1) * t / 64) for t in range(65)]
    if cut is None:
        assert not any(1e-6 < x < 640 - 1e-6 and 1e-6 < y < 480 - 1e-6 for x, y in samples)
        return
    for at in (cut.start, cut.stop):
        assert -1e-6 <= at.x_px <= 640 + 1e-6
        assert -1e-6 <= at.y_px <= 480 + 1e-6
        off = (at.x_px - x1) * (y2 - y1) - (at.y_px - y1) * (x2 - x1)
        assert abs(off) <= 1e-6 * max(1.0, math.hypot(x2 - x1, y2 - y1) ** 2)


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=9, max_size=9))
def test_any_box_gives_edges_of_finite_numbers_within_the_picture(numbers: list[float]) -> None:
    for edge in project_edges(box_of(numbers).corners, CAMERA, SIZE):
        for at in (edge.start, edge.stop):
            assert -1 <= at.x_px <= 641
            assert -1 <= at.y_px <= 481


MATRIX = [[1000.0, 0.0, 320.0], [0.0, 900.0, 240.0], [0.0, 0.0, 1.0]]


@pytest.mark.parametrize(
    "given",
    [CAMERA, MATRIX, numpy.array(MATRIX), {"fx": 1000, "fy": 900, "cx": 320, "cy": 240}],
    ids=["value", "lists", "array", "dict"],
)
def test_intrinsics_come_in_the_forms_that_people_have(given: object) -> None:
    camera = as_intrinsics(given)
    assert camera == CAMERA
    assert [list(row) for row in camera.matrix] == MATRIX
    assert camera.source == "given"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([[1, 0, 3, 0], [0, 1, 3, 0], [0, 0, 1, 0]], "3 x 4"),
        ([[1, 0], [0, 1]], "2 x 2"),
        ([[1, 2, 3], [0, 1, 3], [0, 0, 1]], "skew"),
        ([[1, 0, 3], [0, 1, 3], [0, 0, 2]], "was given"),
        ([[1, 0, 0], [0, 1, 0], [3, 3, 1]], "was given"),
        ([["a", 0, 0], [0, 1, 0], [0, 0, 1]], "CameraIntrinsics, a 3 x 3 matrix"),
        ({"fx": 1, "fy": 1, "cx": 1}, "fx, fy, cx and cy"),
        ({"fx": "1", "fy": 1, "cx": 1, "cy": 1}, "fx_px='1'"),
        ([[math.nan, 0, 3], [0, 1, 3], [0, 0, 1]], "fx_px=nan"),
        ([[0, 0, 3], [0, 1, 3], [0, 0, 1]], "above 0"),
        ([[-5, 0, 3], [0, 1, 3], [0, 0, 1]], "above 0"),
        ([[1, 0, math.inf], [0, 1, 3], [0, 0, 1]], "cx_px=inf"),
        (60, "CameraIntrinsics, a 3 x 3 matrix"),
        ("60", "was given"),
    ],
)
def test_other_intrinsics_are_refused_with_their_place(given: object, words: str) -> None:
    with pytest.raises(InputError, match=r"^intrinsics: ") as caught:
        as_intrinsics(given)
    assert words in str(caught.value)


def test_without_anything_known_the_camera_is_that_of_the_cookbook() -> None:
    camera = CameraIntrinsics.from_field_of_view(Size(height_px=768, width_px=1024))
    assert (camera.fx_px, camera.fy_px) == pytest.approx((886.81, 665.11), abs=0.01)
    assert (camera.cx_px, camera.cy_px, camera.source) == (512, 384, "field of view")


def test_one_angle_gives_square_pixels() -> None:
    size = Size(height_px=768, width_px=1024)
    wide = CameraIntrinsics.from_field_of_view(size, across_degrees=90)
    assert (wide.fx_px, wide.fy_px) == pytest.approx((512, 512))
    high = CameraIntrinsics.from_field_of_view(size, down_degrees=90)
    assert high.fx_px == high.fy_px == pytest.approx(384)
    assert high.field_of_view_degrees(size)[1] == pytest.approx(90)
    for angle in (0, 180, -60, math.nan, True, "60"):
        with pytest.raises(InputError, match="field of view"):
            CameraIntrinsics.from_field_of_view(size, across_degrees=angle)  # type: ignore[arg-type]


def test_a_lens_keeps_its_diagonal_angle_in_pictures_of_any_shape() -> None:
    for size in (Size(24, 36), Size(3000, 4000), Size(4000, 3000), Size(1080, 1920)):
        camera = CameraIntrinsics.from_equivalent_focal_length(size, 28)
        diagonal = math.hypot(size.width_px, size.height_px)
        angle = 2 * math.degrees(math.atan(diagonal / 2 / camera.fx_px))
        assert angle == pytest.approx(75.4, abs=0.05)  # that of a 28 mm lens, in any catalogue
        assert camera.source == "EXIF"


def test_the_camera_of_a_crop_looks_at_the_middle_of_the_crop() -> None:
    moved = CAMERA.shifted(Region(100, 50, 200, 150))
    assert (moved.cx_px, moved.cy_px, moved.fx_px) == (420, 290, 1000)
