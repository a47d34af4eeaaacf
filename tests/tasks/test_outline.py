"""Outlines and paths: several points of one thing, in pixels of the original."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from qwenvl_kit import ImagePart, Point, Region, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import MessageError, UnsupportedFeatureError
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.grounding.boxes import Polygon
from qwenvl_kit.tasks import outline, point_at, trace_path

GREY = PIL.Image.new("RGB", (1000, 500), "grey")
RECORDED = Path(__file__).parents[2].parent / "shared" / "recorded" / "places.json"
OUTLINING = [name for name, family in FAMILIES.items() if "outline" in family.places]
TRIANGLE = '[{"poly_2d": [100, 100, 300, 100, 100, 300], "label": "sign", "shape": "triangle"}]'


def answered(answer: Any, family: str = "qwen3_vl") -> VisionChat:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return VisionChat(ScriptedBackend([text], family=family))


@pytest.mark.parametrize("family", OUTLINING)
def test_an_outline_is_in_pixels_of_the_original(family: str) -> None:
    (sign,) = outline(answered(TRIANGLE, family), GREY, "signs")
    assert sign.corners == (Point(100, 50), Point(300, 50), Point(100, 150))
    assert sign.area_pixels == 10_000
    assert sign.attributes == {"shape": "triangle"}


@pytest.mark.parametrize("task", [outline, trace_path])
@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - set(OUTLINING)))
def test_families_that_were_not_trained_on_it_refuse(
    family: str, task: Callable[..., object]
) -> None:
    with pytest.raises(UnsupportedFeatureError, match="Try: "):
        task(answered("[]", family), GREY, "signs")


@pytest.mark.parametrize(
    "answer",
    [
        '[{"polygon": [[100, 100], [300, 100], [100, 300]]}]',
        '[{"segmentation": [[100, 100, 300, 100, 100, 300]]}]',
        '[{"poly": [{"x": 100, "y": 100}, {"x": 300, "y": 100}, {"x": 100, "y": 300}]}]',
        '{"vertices": "100,100 300,100 100,300"}',
        '[{"contour": [[100, 100], [300, 100], [100, 300]], "label": ""}]',
    ],
)
def test_outlines_of_other_forms_are_read_alike(answer: str) -> None:
    (sign,) = outline(answered(answer), GREY, "the sign")
    assert sign.corners == (Point(100, 50), Point(300, 50), Point(100, 150))
    assert sign.label == "the sign"


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded answers are not here")
def test_recorded_answers_give_their_outlines() -> None:
    cases = [case for case in json.loads(RECORDED.read_text("utf-8")) if "polygons" in case]
    assert cases
    for case in cases:
        found = outline(answered(case["text"], case["family"]), GREY, "it")
        corners = [
            [side for at in each.corners for side in (at.x_px, at.y_px * 2)] for each in found
        ]
        assert corners == [pytest.approx(numbers) for numbers in case["polygons"]]
        assert [each.label for each in found] == case["labels"]


@pytest.mark.parametrize(
    ("answer", "num_found", "words"),
    [
        ('[{"bbox_2d": [1, 2, 30, 40]}]', 1, "their corners are given"),
        ('[{"point_2d": [1, 2]}]', 0, "points where outlines"),
        ('[{"poly_2d": [1, 2, 30, 40]}]', 0, "3 corners or more"),
        ('[{"poly_2d": [1, 2, 30, 40, 5]}]', 0, "3 corners or more"),
        ('[{"poly_2d": [10, 10, 20, 20, 30, 30]}]', 1, "without an area"),
        ('[{"poly_2d": [10, 10, 2000, 20, 30, 30]}]', 1, "beyond the picture"),
        ('[{"bbox_3d": [1, 2, 3, 4, 5, 6, 0, 0, 0]}]', 0, "a 3D box instead"),
        ('[{"poly_2d": [1, 2, 30, 40, 5, 6]}, {"poly_2d": [1, 2,', 1, "ends inside"),
        (TRIANGLE[:-1] + ', {"bbox_2d": [1, 2, 30, 40]}]', 1, "boxes in addition"),
        ("Nothing.", 0, ""),
    ],
)
def test_what_is_no_outline_is_told(answer: str, num_found: int, words: str) -> None:
    found = outline(answered(answer), GREY, "it")
    assert len(found) == num_found
    assert any(words in text for text in found.warnings) if words else found.warnings == ()


def test_outlines_become_coco_and_masks() -> None:
    found = outline(answered(TRIANGLE), GREY, "signs")
    (written,) = found.to_coco(file_name="a.jpg")["annotations"]
    assert written["segmentation"] == [[100, 50, 300, 50, 100, 150]]
    assert (written["area"], written["bbox"]) == (10_000, [100, 50, 200, 100])
    (mask,) = found.to_masks()
    assert mask.shape == (500, 1000)
    assert int(mask.sum()) == pytest.approx(10_000, rel=0.005)
    assert mask[60, 110]
    assert not mask[140, 290]
    square = outline(
        answered('[{"poly_2d": [100, 200, 200, 200, 200, 400, 100, 400]}]'), GREY, "it"
    )
    assert int(square.to_masks().sum()) == 100 * 100
    assert outline(answered("[]"), GREY, "it").to_masks().shape == (0, 500, 1000)


def test_outlines_become_detections_with_masks() -> None:
    pytest.importorskip("supervision")
    detections = outline(answered(TRIANGLE), GREY, "signs").to_supervision()
    assert detections.mask is not None
    assert detections.mask.shape == (1, 500, 1000)
    assert detections.data["class_name"].tolist() == ["sign"]


def test_outlines_are_drawn_and_shown() -> None:
    found = outline(answered(TRIANGLE), GREY, "signs")
    drawn = found.draw()
    assert drawn.getpixel((200, 100)) != GREY.getpixel((0, 0))  # on the slanted side
    assert drawn.getpixel((130, 110)) == GREY.getpixel((0, 0))  # inside
    assert "<td" in found._repr_html_()
    assert "100, 50, 300, 150" in found._repr_html_()


def test_a_polygon_has_the_area_of_the_shoelace_formula() -> None:
    square = Polygon("a", (Point(0, 0), Point(2, 0), Point(2, 2), Point(0, 2)))
    assert square.area_pixels == 4
    assert Polygon("a", square.corners[::-1]).area_pixels == 4


WAYS = [
    '[{"point_2d": [100, 100], "label": "pick"}, {"point_2d": [500, 200], "label": "place"}]',
    "[[100, 100], [500, 200]]",
    '{"trajectory": [[100, 100], [500, 200]]}',
    '{"point_2d": [[100, 100], [500, 200]], "label": "path"}',
    '{"waypoints": [{"x": 100, "y": 100}, {"x": 500, "y": 200}]}',
    "First (100, 100), then (500, 200).",
    '<points x1="100" y1="100" x2="500" y2="200" alt="path">path</points>',
    '```json\n{"trajectory_points": [{"point_2d": [100, 100]}, {"point_2d": [500, 200]}]}\n```',
]


@pytest.mark.parametrize("answer", WAYS)
def test_a_path_has_its_points_in_their_order(answer: str) -> None:
    path = trace_path(answered(answer), GREY, "move the apple")
    assert path.to_lists() == [[100, 50], [500, 100]]
    assert path.length_px == pytest.approx(403.11, abs=0.01)
    assert path.warnings == ()


def test_other_fields_of_a_step_are_its_attributes() -> None:
    rows = [{"point_2d": [1, 2], "gripper": "close"}, {"point_2d": [3, 4], "gripper": "open"}]
    path = trace_path(answered(rows), GREY, "move it")
    assert [mark.attributes["gripper"] for mark in path] == ["close", "open"]


def test_a_path_is_asked_for_drawn_and_told_if_it_is_none() -> None:
    backend = ScriptedBackend([WAYS[0], '[{"point_2d": [1, 2]}]', "[]"], family="qwen3_vl")
    chat = VisionChat(backend)
    path = trace_path(chat, ImagePart(GREY, crop=Region(0, 0, 500, 500)), "move the apple")
    assert path.to_lists() == [[50, 50], [250, 100]]
    assert "this image: move the apple. Output" in backend.requests[0].messages[-1].text
    drawn = path.draw()
    assert drawn.getpixel((150, 75)) != GREY.getpixel((0, 0))  # half way
    assert "pick" in path._repr_html_()
    assert trace_path(chat, GREY, "stay").warnings == ("a path of a single point",)
    nothing = trace_path(chat, GREY, "stay")
    assert (len(nothing), nothing.length_px, nothing.draw().size) == (0, 0, (1000, 500))
    with pytest.raises(MessageError, match="goal"):
        trace_path(chat, GREY, "")


def test_free_space_is_pointed_at() -> None:
    answer = '```json\n[\n\t{"point_2d": [925, 618], "label": "free space"}\n]\n```'
    (mark,) = point_at(answered(answer), GREY, "the free space on the white table")
    assert (mark.label, mark.x_px, mark.y_px) == ("free space", 925, 309)
