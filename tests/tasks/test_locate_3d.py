"""Things in space: boxes in metres, with the camera that puts them on the picture."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from qwenvl_kit import ImagePart, Region, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import InputError, MessageError, UnsupportedFeatureError
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.grounding.space.found import Boxes3D
from qwenvl_kit.grounding.space.intrinsics import CameraIntrinsics
from qwenvl_kit.tasks import locate, locate_3d

GREY = PIL.Image.new("RGB", (640, 480), "grey")
RECORDED = Path(__file__).parents[2].parent / "shared" / "recorded" / "places.json"
CAR = [2.0, 0.5, 8.0, 4.0, 1.5, 2.0, 0, 0.5, 0]
IN_SPACE = [name for name, family in FAMILIES.items() if "box in space" in family.places]


def found(rows: Any, image: Any = GREY, camera: Any = None, **options: Any) -> Boxes3D:
    """The boxes in an answer that is given as its text, or as its rows."""
    text = rows if isinstance(rows, str) else json.dumps([*rows])
    backend = ScriptedBackend([text], family=options.pop("family", "qwen3_vl"))
    return locate_3d(VisionChat(backend), image, "the cars", camera, **options)


def row(numbers: Any, label: str = "car") -> dict[str, Any]:
    return {"bbox_3d": list(numbers), "label": label}


@pytest.mark.parametrize("family", IN_SPACE)
def test_families_that_were_trained_on_it_give_metres_and_degrees(family: str) -> None:
    (car,) = found([row(CAR)], family=family)
    assert (car.label, car.z_m, car.x_size_m, car.y_degrees) == ("car", 8.0, 4.0, 90.0)
    assert car.distance_m == pytest.approx(8.26, abs=0.01)
    assert car.volume_m3 == pytest.approx(12.0)
    assert car.confidence is not None


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - set(IN_SPACE)))
def test_other_families_refuse_before_they_are_asked(family: str) -> None:
    backend = ScriptedBackend(["never"], family=family)
    with pytest.raises(UnsupportedFeatureError, match=r"not\s+trained.*Try: locate"):
        locate_3d(VisionChat(backend), GREY, "cars")
    assert backend.requests == []


def test_the_families_are_asked_in_the_words_of_the_cookbook() -> None:
    backend = ScriptedBackend(["[]", "[]"], family="qwen3_vl")
    locate_3d(VisionChat(backend), GREY, "all cars")
    locate_3d(VisionChat(backend), GREY, "桌子", language="zh")
    english, chinese = (request.messages[-1].text for request in backend.requests)
    assert english.startswith("Find all cars in this image. For each one, provide its 3D bounding")
    assert "[x_center, y_center, z_center, x_size, y_size, z_size, roll, pitch, yaw]" in english
    assert chinese.startswith("在提供的图像里定位桌子，输出对应的三维边界框。")


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded answers are not here")
def test_recorded_answers_give_their_boxes() -> None:
    cases = [case for case in json.loads(RECORDED.read_text("utf-8")) if "boxes_3d" in case]
    assert cases
    for case in cases:
        boxes = found(case["text"], family=case["family"])
        assert [entry["bbox_3d"] for entry in boxes.to_dicts()] == [
            pytest.approx(numbers) for numbers in case["boxes_3d"]
        ]
        assert [box.label for box in boxes] == case["labels"]
        assert len(boxes.warnings) == case["warnings"]


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 8], "8 numbers where a box in space has 9: 'car'"),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], "10 numbers where a box in space has 9: 'car'"),
        ([1, 2, "far", 4, 5, 6, 7, 8, 9], "no list of numbers"),
        ([1, 2, float("nan"), 4, 5, 6, 7, 8, 9], "no list of numbers"),
        ([1, 2, 1e300, 4, 5, 6, 0, 0, 0], "too large for a scene"),
        ([], "nothing under 'bbox_3d'"),
    ],
)
def test_a_row_that_cannot_be_read_costs_itself_alone(numbers: list[Any], words: str) -> None:
    boxes = found([row(numbers), row(CAR)])
    assert [box.z_m for box in boxes] == [8.0]
    assert any(words in told for told in boxes.warnings)


def test_unread_rows_are_counted() -> None:
    boxes = found([row([1, 2]), row([float("nan")] * 9), row(CAR)])
    assert "2 of 3 boxes could not be read" in boxes.warnings


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([0, 0, -5, 1, 1, 1, 0, 0, 0], "behind the camera; it is not drawn"),
        ([0.4, 0, 0.5, 0.2, 0.2, 2, 0, 0, 0], "partly behind the camera"),
        ([90, 0, 5, 1, 1, 1, 0, 0, 0], "outside the picture; it is not drawn"),
        ([0, 0, 5, 0, 1, 1, 0, 0, 0], "a side of 0"),
        ([0, 0, 5, 1, -1, 1, 0, 0, 0], "a side below 0, taken without its sign"),
        ([0, 0, 5, 1, 1, 1, 0, 90, 0], "may have written degrees"),
    ],
)
def test_what_cannot_be_meant_is_kept_and_told_with_its_number(
    numbers: list[float], words: str
) -> None:
    boxes = found([row(CAR), row(numbers, "odd")])
    assert len(boxes) == 2
    assert boxes[1].y_size_m >= 0
    assert any(told.startswith('box 2 ("odd"): ') and words in told for told in boxes.warnings)
    assert boxes.draw().size == (640, 480)


def test_a_box_that_is_written_again_and_again_is_kept_once_and_told() -> None:
    boxes = found([row(CAR)] * 40 + [row([0, 0, 5, 1, 1, 1, 0, 0, 0])])
    assert len(boxes) == 2
    assert "exact repeats of another box, left out: 39" in boxes.warnings


def test_an_answer_that_was_cut_off_keeps_what_is_whole() -> None:
    boxes = found(json.dumps([row(CAR), row(CAR)])[:-30])
    assert len(boxes) == 1
    assert boxes.warnings


def test_boxes_in_the_picture_are_no_boxes_in_space() -> None:
    boxes = found('[{"bbox_2d": [1, 2, 30, 40], "label": "car"}]')
    assert len(boxes) == 0
    assert any("places in the picture" in told for told in boxes.warnings)


def photo(size: tuple[int, int] = (640, 480), turn: int = 1, **tags: int) -> bytes:
    """A photo by a lens of 26 mm."""
    exif = PIL.Image.Exif()
    exif[0x0112] = turn
    exif.get_ifd(0x8769).update({0xA405: 26, **{int(k[1:], 16): v for k, v in tags.items()}})
    buffer = io.BytesIO()
    PIL.Image.new("RGB", size, "grey").save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def test_the_camera_is_the_given_one_or_that_of_exif_or_an_assumed_one() -> None:
    given = CameraIntrinsics(500, 500, 320, 240)
    assert found([row(CAR)], photo(), given).camera == given
    by_lens = found([row(CAR)], photo()).camera
    assert by_lens.source == "EXIF"
    assert by_lens.fx_px == by_lens.fy_px == pytest.approx(26 / 43.2666 * 800, abs=0.01)
    assumed = found([row(CAR)]).camera
    assert assumed.source == "field of view"
    assert (assumed.fx_px, assumed.fy_px) == pytest.approx((554.26, 415.69), abs=0.01)


def test_the_lens_of_a_turned_photo_is_that_of_the_upright_one() -> None:
    upright = found([row(CAR)], photo(turn=6, xA002=4000, xA003=3000))
    assert (upright.camera.cx_px, upright.camera.cy_px) == (240, 320)
    assert upright.camera.source == "EXIF"


def test_the_lens_of_a_photo_that_was_cut_is_not_used() -> None:
    boxes = found([row(CAR)], photo(xA002=4000, xA003=2000))
    assert boxes.camera.source == "field of view"
    assert any("cut after it was taken" in told for told in boxes.warnings)


def test_a_crop_has_the_camera_of_the_crop_in_pixels_of_the_whole() -> None:
    crop = ImagePart(GREY, crop=Region(320, 0, 640, 240))
    boxes = found([row([0, 0, 5, 1, 1, 1, 0, 0, 0])], crop)
    assert (boxes.camera.cx_px, boxes.camera.cy_px) == (480, 120)
    (box,) = boxes.to_boxes()
    assert box is not None
    assert (box.centre.x_px, box.centre.y_px) == pytest.approx((480, 120))
    assert boxes.warnings == ()
    told = found([row(CAR)], crop, CameraIntrinsics(500, 500, 320, 240)).warnings
    assert any("the model saw a crop" in text for text in told)


def test_it_is_drawn_where_it_is_projected() -> None:
    boxes = found([row([0, 0, 4, 1, 1, 1, 0, 0, 0])], GREY, CameraIntrinsics(400, 400, 320, 240))
    drawn = boxes.draw()
    near = [at for at in boxes[0].project(boxes.camera) if at]
    left = int(min(at.x_px for at in near))
    assert drawn.getpixel((left, 250)) != GREY.getpixel((left, 250))
    assert drawn.getpixel((10, 470)) == GREY.getpixel((10, 470))


def test_it_shows_itself_and_can_be_written_as_json() -> None:
    boxes = found([row(CAR), row([0, 0, -5, 1, 1, 1, 0, 0, 0], "<b>")])
    shown = boxes._repr_html_()
    assert "field of view, 60 x 60 degrees" in shown
    assert "&lt;b&gt;" in shown
    first, second = json.loads(json.dumps(boxes.to_dicts()))
    assert first["bbox_3d"] == pytest.approx(CAR)
    assert len(first["corners_m"]) == len(first["corners_px"]) == 8
    assert second["corners_px"] == [None] * 8
    assert repr(boxes[0]).startswith("Box3D('car', at 2, 0.5, 8 m, 4 x 1.5 x 2 m")
    assert pickle.loads(pickle.dumps(boxes[0])) == boxes[0]


def test_a_box_in_space_is_left_out_by_locate_as_before() -> None:
    chat = VisionChat(ScriptedBackend([json.dumps([row(CAR)])], family="qwen3_vl"))
    assert "a 3D box instead" in locate(chat, GREY, "cars").warnings[0]


def test_wrong_arguments_are_told_before_the_model_is_asked() -> None:
    backend = ScriptedBackend(["never"], family="qwen3_vl")
    chat = VisionChat(backend)
    with pytest.raises(InputError, match="intrinsics"):
        locate_3d(chat, GREY, "cars", [[1, 2], [3, 4]])
    with pytest.raises(MessageError):
        locate_3d(chat, GREY, " ")
    assert backend.requests == []
