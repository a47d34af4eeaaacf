"""Heat maps map visual tokens to the pixels of the original, by the plan alone."""

from __future__ import annotations

import numpy
import PIL.Image
import pytest

from qwenvl_kit import ImagePlan, Size
from qwenvl_kit.explain import HeatMap
from qwenvl_kit.explain.faithfulness import measure_faithfulness
from qwenvl_kit.explain.occlusion import GREY, TokenGrid, hidden, occlude, patches
from qwenvl_kit.geometry import Region


def heat_map(relevance: list[list[float]], **plan: object) -> HeatMap:
    grid = numpy.array(relevance, numpy.float32)
    resized = Size(height_px=28 * grid.shape[0], width_px=28 * grid.shape[1])
    whole = {"original": resized, **plan}
    made = ImagePlan("messages[0].parts[0]", resized=resized, tokens=grid.size, **whole)  # type: ignore[arg-type]
    pixels = PIL.Image.new("RGB", (resized.width_px, resized.height_px))
    return HeatMap(made, grid, float(grid.max()), 1, pixels)


def test_a_token_heats_its_own_square() -> None:
    heat = heat_map([[0, 0, 0], [0, 1, 0], [0, 0, 0]]).heatmap
    assert heat.shape == (84, 84)
    assert heat[41:43, 41:43].min() > 0.95
    assert heat[:14].max() == heat[70:].max() == 0


def test_the_peak_is_the_middle_of_a_lonely_token() -> None:
    peak = heat_map([[0, 0, 0, 0], [0, 0, 1, 0]]).peak_px
    assert (peak.x_px, peak.y_px) == pytest.approx((70, 42))


def test_the_peak_leans_to_the_warmer_neighbour() -> None:
    peak = heat_map([[0, 0, 0], [0, 1, 0.5], [0, 0, 0]]).peak_px
    assert 42 < peak.x_px < 56
    assert peak.y_px == pytest.approx(42)


def test_equal_relevance_has_a_peak_too() -> None:
    peak = heat_map([[1, 1], [1, 1]]).peak_px
    assert (peak.x_px, peak.y_px) == (14, 14)


def test_nothing_relevant_is_cold_everywhere() -> None:
    drawn = heat_map([[-1, 0], [0, -2]])
    assert drawn.heatmap.max() == 0
    assert drawn.draw().size == (56, 56)


def test_original_pixels_are_those_of_the_plan() -> None:
    original = Size(height_px=560, width_px=280)
    peak = heat_map([[0, 1], [0, 0]], original=original).peak_px
    assert (peak.x_px, peak.y_px) == pytest.approx((210, 140))


def test_heat_outside_of_a_crop_is_zero() -> None:
    crop = Region(x1_px=100, y1_px=50, x2_px=156, y2_px=106)
    made = heat_map([[1, 1], [1, 1]], original=Size(height_px=200, width_px=300), crop=crop)
    heat = made.heatmap
    assert heat.shape == (200, 300)
    assert heat[50:106, 100:156].min() == 1
    heat = heat.copy()
    heat[50:106, 100:156] = 0
    assert heat.max() == 0
    assert (made.peak_px.x_px, made.peak_px.y_px) == pytest.approx((114, 64))


def test_every_token_is_covered_by_four_patches() -> None:
    grid = TokenGrid(2, 7, 10, 28)
    for num_patches in (1, 4, 64, 1000):
        count = numpy.zeros(grid.shape)
        for place in patches(grid, num_patches):
            count[place] += 1
        assert count.min() == count.max() == 4


def test_occlusion_is_the_mean_drop_of_the_patches_over_a_token() -> None:
    image = PIL.Image.new("RGB", (4 * 28, 3 * 28), "red")
    grid = TokenGrid(1, 3, 4, 28)

    def score(media: object) -> float:
        pixels = numpy.asarray(media[0])  # type: ignore[index]
        return float(pixels[30, 60, 0] == 255)  # the token in row 1, column 2

    (drops,) = occlude([image], [grid], 12, score)
    assert drops[0, 1, 2] == 1
    assert drops[0, 0, 2] == drops[0, 2, 2] == drops[0, 1, 1] == 0.5
    assert drops[0, 0, 1] == 0.25
    assert drops[0, :, 0].max() == 0


def test_hidden_frames_are_those_of_a_group() -> None:
    film = numpy.zeros((5, 56, 56, 3), numpy.uint8)
    grid = TokenGrid(3, 2, 2, 28, frames_per_group=2)
    is_hidden = numpy.zeros(grid.shape, bool)
    is_hidden[2, 0, 1] = True
    shown = numpy.asarray(hidden(film, grid, is_hidden))
    assert shown.shape == film.shape
    assert (shown[4, :28, 28:] == GREY).all()
    assert shown[:4].max() == shown[4, 28:].max() == shown[4, :, :28].max() == 0


def test_a_right_order_deletes_and_inserts_faster_than_chance() -> None:
    image = PIL.Image.fromarray(
        numpy.random.default_rng(0).integers(0, 256, (56, 140, 3), numpy.uint8)
    )
    pixels = numpy.asarray(image)
    grid = TokenGrid(1, 2, 5, 28)
    relevance = numpy.zeros(grid.shape)
    relevance[0, 1, 3] = 1

    def score(media: object) -> float:
        seen = numpy.asarray(media[0])  # type: ignore[index]
        return float((seen[28:, 84:112] == pixels[28:, 84:112]).all())

    faith = measure_faithfulness([image], [grid], [relevance], score, num_steps=10, seed=0)
    assert faith.deletion == (1.0, *[0.0] * 10)
    assert faith.insertion == (0.0, *[1.0] * 10)
    assert faith.deletion_area == pytest.approx(0.05)
    assert faith.insertion_area == pytest.approx(0.95)
    assert faith.is_better_than_chance
    assert "better than a random order" in str(faith)
