"""Every kind of place in a reply, with what else the answer says of it."""

from __future__ import annotations

import pickle

import PIL.Image
import pytest

from qwenvl_kit import ImagePart, Point, Region, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import MessageError
from qwenvl_kit.grounding.boxes import Attributes, Box, Box3D, PointMark, Polygon
from qwenvl_kit.grounding.found_places import FoundPlaces, read_places
from qwenvl_kit.tasks import locate, point_at

RED = PIL.Image.new("RGB", (640, 480), "red")
BOTH = '[{"bbox_2d": [0, 0, 500, 500], "label": "a", "colour": "red"}, {"point_2d": [100, 200]}]'


def chat_for(answer: str, family: str = "qwen3_vl", **options: float) -> VisionChat:
    return VisionChat(ScriptedBackend([answer], family=family, **options))  # type: ignore[arg-type]


def read(answer: str, image: object = RED, family: str = "qwen3_vl") -> FoundPlaces:
    chat = chat_for(answer, family)
    return read_places(chat.ask("Find it.", image), chat.family, default_label="it")  # type: ignore[arg-type]


def test_boxes_and_points_of_one_answer_are_kept_apart() -> None:
    found = read(BOTH)
    assert [(box.label, box.x2_px, box.y2_px) for box in found.boxes] == [("a", 320, 240)]
    assert [(mark.label, mark.x_px, mark.y_px) for mark in found.points] == [("it", 64, 96)]
    assert found.polygons == found.boxes_3d == found.warnings == ()


def test_what_else_an_answer_says_of_a_place_comes_with_it() -> None:
    (box,) = read(BOTH).boxes
    assert box.attributes == {"colour": "red"}
    (located,) = locate(chat_for(BOTH.replace("point_2d", "bbox_2d")[:-1] + "]"), RED, "it")[:1]
    assert located.attributes["colour"] == "red"
    (mark,) = point_at(chat_for('[{"point_2d": [1, 2], "label": "b", "score": 0.5}]'), RED, "it")
    assert mark.attributes == {"score": 0.5}


def test_attributes_cannot_be_changed_but_compared_and_sent() -> None:
    box = Box("a", 0, 0, 1, 1, attributes=Attributes({"names": {"en": "a"}}))
    with pytest.raises(TypeError):
        box.attributes["names"] = {}  # type: ignore[index]
    assert pickle.loads(pickle.dumps(box)) == box
    assert box != Box("a", 0, 0, 1, 1)
    assert len({box, Box("a", 0, 0, 1, 1), Box("a", 0, 0, 1, 1)}) == 2
    assert "{'names': {'en': 'a'}}" in repr(box)


def test_corners_of_outlines_are_in_pixels_of_the_original_and_inside_it() -> None:
    answer = '[{"poly_2d": [0, 0, 500, 0, 1100, 500], "label": "sign"}]'
    found = read(answer, ImagePart(RED, crop=Region(320, 0, 640, 480)))
    (outline,) = found.polygons
    assert outline.corners == (Point(320, 0), Point(480, 0), Point(640, 240))
    assert any("beyond the picture" in warning for warning in found.warnings)
    assert outline.box == Box("sign", 320, 0, 640, 240, outline.confidence)


def test_a_family_that_counts_pixels_has_outlines_in_pixels_of_what_it_saw() -> None:
    (outline,) = read('[{"polygon": [[0, 0], [64, 0], [64, 48]]}]', family="qwen2_5_vl").polygons
    assert outline.corners[2].x_px == pytest.approx(64, abs=1)
    assert outline.label == "it"


def test_boxes_in_space_are_in_metres_and_degrees_whatever_became_of_the_picture() -> None:
    numbers = [2.88, 0.56, 6.28, 4.45, 1.7, 1.84, 0.75, 0.5, -0.25]
    answer = f'[{{"bbox_3d": {numbers}, "label": "car"}}]'
    (box,) = read(answer).boxes_3d
    sides = (2.88, 0.56, 6.28, 4.45, 1.7, 1.84)
    assert box == Box3D("car", *sides, 135.0, 90.0, -45.0, confidence=box.confidence)
    (cropped,) = read(answer, ImagePart(RED, crop=Region(320, 0, 640, 480))).boxes_3d
    assert cropped == box


def test_each_place_is_as_sure_as_its_own_numbers() -> None:
    answer = '[{"poly_2d": [1, 2, 3, 4, 5, 6]}, {"bbox_3d": [1, 2, 3, 4, 5, 6, 0, 0, 0]}]'
    chat = chat_for(answer, logprob=-0.5)
    found = read_places(chat.ask("Find it.", RED), chat.family)
    assert found.polygons[0].confidence == pytest.approx(0.6065, abs=1e-4)
    assert found.boxes_3d[0].confidence == pytest.approx(0.6065, abs=1e-4)


def test_a_task_takes_an_outline_for_what_it_asked_and_says_so() -> None:
    answer = '[{"poly_2d": [0, 0, 500, 0, 250, 500], "label": "sign"}]'
    boxes = locate(chat_for(answer), RED, "it")
    assert [(box.x2_px, box.y2_px) for box in boxes] == [(320, 240)]
    assert "the box around it" in boxes.warnings[0]
    (mark,) = point_at(chat_for(answer), RED, "it")
    assert (mark.x_px, round(mark.y_px)) == (160, 80)


def test_an_outline_beside_a_box_is_no_second_box_and_is_told() -> None:
    answer = '[{"bbox_2d": [0, 0, 500, 500], "polygon": [0, 0, 500, 0, 250, 500]}]'
    boxes = locate(chat_for(answer), RED, "it")
    assert [(box.x2_px, box.y2_px) for box in boxes] == [(320, 240)]
    assert "read_places" in boxes.warnings[0]


def test_a_box_in_space_where_a_flat_one_was_asked_for_is_told() -> None:
    boxes = locate(chat_for('[{"bbox_3d": [1, 2, 3, 4, 5, 6, 0, 0, 0]}]'), RED, "it")
    assert len(boxes) == 0
    assert "3D box" in boxes.warnings[0]


@pytest.mark.parametrize("image_index", [-1, 1])
def test_places_of_a_picture_that_was_not_shown_are_refused(image_index: int) -> None:
    chat = chat_for(BOTH)
    with pytest.raises(MessageError, match="1 pictures"):
        read_places(chat.ask("Find it.", RED), chat.family, image_index=image_index)


def test_new_values_are_built_like_those_that_were_there() -> None:
    assert PointMark("a", 1, 2).attributes == {}
    assert Polygon("a", (Point(0, 0), Point(2, 0), Point(1, 3))).box == Box("a", 0, 0, 2, 3)


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize(
    "place",
    [
        '"bbox_2d": [0.1, 0.2, 0.5, 0.6]',
        '"bbox_2d": [0, 0, 0.5, 1]',
        '"point_2d": [0.5, 0.3]',
        '"polygon": [[0, 0], [0.5, 0], [0.5, 1]]',
    ],
)
def test_fractions_of_the_sides_are_told_and_never_taken_for_another_unit(
    place: str, family: str
) -> None:
    answer = f'[{{{place}, "label": "dog"}}, {{"bbox_2d": [100, 100, 200, 200], "label": "cat"}}]'
    found = read(answer, family=family)
    assert [box.label for box in found.boxes] == ["cat"]
    assert found.points == found.polygons == ()
    (warning,) = found.warnings
    assert "fractions" in warning


def test_whole_numbers_and_numbers_beyond_one_are_no_fractions() -> None:
    found = read('[{"bbox_2d": [0, 0, 1, 1]}, {"bbox_2d": [0.5, 0.5, 300.5, 400]}]')
    assert len(found.boxes) == 2
    assert found.warnings == ()
