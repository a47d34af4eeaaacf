"""What is found in a picture is given in the picture's own pixels, whatever the model saw of it."""

from __future__ import annotations

import io

import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit import ImagePart, PixelBudget, Region, VideoPart, VisionChat
from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import MediaNotFoundError, MediaSourceError, MessageError
from qwenvl_kit.families import FAMILIES, Family
from qwenvl_kit.grounding.box_writer import write_boxes
from qwenvl_kit.grounding.boxes import Box
from qwenvl_kit.grounding.places import Boxes
from qwenvl_kit.tasks import locate, point_at

RED = PIL.Image.new("RGB", (640, 480), "red")


def chat_for(family: str, answer: str) -> VisionChat:
    return VisionChat(ScriptedBackend([answer], family=family))


def told(family: str, image: object, box: Box, **options: object) -> Boxes:
    """What is found if the model names a box as exactly as its coordinates allow."""

    def answer(request: BackendRequest) -> str:
        (plan,) = request.plan.images
        return write_boxes([box], plan, FAMILIES[family])

    return locate(VisionChat(ScriptedBackend(answer, family=family)), image, "it", **options)  # type: ignore[arg-type]


def half_step(family: Family, found: Boxes) -> tuple[float, float]:
    """Half of a coordinate's step in pixels of the original: across and down."""
    (plan,) = found.reply.plan.images
    seen = plan.pixel_map.padded
    if family.coordinates == "thousandths":
        return seen.width_px / 2000, seen.height_px / 2000
    return (
        seen.width_px / plan.resized.width_px / 2,
        seen.height_px / plan.resized.height_px / 2,
    )


@st.composite
def pictures_with_boxes(draw: st.DrawFn) -> tuple[tuple[int, int], Region | None, Box]:
    width, height = draw(st.integers(8, 1500)), draw(st.integers(8, 1500))
    crop = None
    left, top, right, bottom = 0, 0, width, height
    if draw(st.booleans()) and width > 60 and height > 60:
        left, top = draw(st.integers(0, width // 2)), draw(st.integers(0, height // 2))
        right = draw(st.integers(left + 8, width))
        bottom = draw(st.integers(top + 8, height))
        crop = Region(left, top, right, bottom)
    x1 = draw(st.floats(left, right - 4))
    y1 = draw(st.floats(top, bottom - 4))
    x2, y2 = draw(st.floats(x1 + 3, right)), draw(st.floats(y1 + 3, bottom))
    return (width, height), crop, Box("it", x1, y1, x2, y2)


@pytest.mark.parametrize("family", FAMILIES)
@settings(deadline=None, max_examples=40)
@given(pictures_with_boxes(), st.integers(4, 1000))
def test_a_known_box_comes_back_within_a_pixel_and_half_a_step(
    family: str, given: tuple[tuple[int, int], Region | None, Box], max_tokens: int
) -> None:
    size, crop, box = given
    part = ImagePart(PIL.Image.new("RGB", size), crop=crop)
    found = told(family, part, box, budget=PixelBudget(4, max_tokens))
    if not found:  # so small in what the model sees that both of its sides are one coordinate
        assert found.warnings
        return
    (back,) = found
    across, down = half_step(FAMILIES[family], found)
    assert abs(back.x1_px - box.x1_px) <= 1 + across
    assert abs(back.x2_px - box.x2_px) <= 1 + across
    assert abs(back.y1_px - box.y1_px) <= 1 + down
    assert abs(back.y2_px - box.y2_px) <= 1 + down
    assert found.image_size.width_px, found.image_size.height_px == size


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_of_the_picture_as_it_stands_upright(orientation: int) -> None:
    buffer = io.BytesIO()
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    RED.save(buffer, "JPEG", exif=exif)
    width, height = (480, 640) if orientation >= 5 else (640, 480)
    box = Box("it", width * 0.1, height * 0.2, width * 0.3, height * 0.9)
    found = told("qwen3_vl", buffer.getvalue(), box)
    assert (found.image_size.width_px, found.image_size.height_px) == (width, height)
    assert found[0].overlap(box) > 0.98
    assert found.draw().size == (width, height)


def test_an_answer_in_pixels_of_what_the_model_saw_is_scaled_for_that_family_alone() -> None:
    text = '[{"bbox_2d": [10, 20, 30, 40], "label": "a"}]'
    (seen,) = locate(chat_for("qwen2_5_vl", text), RED, "it")
    (relative,) = locate(chat_for("qwen3_vl", text), RED, "it")
    assert seen.x1_px == pytest.approx(10, abs=0.5)
    assert relative.x1_px == pytest.approx(10 / 1000 * 640)
    assert relative.y2_px == pytest.approx(40 / 1000 * 480)


@pytest.mark.parametrize(
    ("numbers", "warning", "sides"),
    [
        ("[900, 20, 1200, 400]", "beyond the picture", (576, 9.6, 640, 192)),
        ("[300, 400, 100, 200]", "wrong order", (64, 96, 192, 192)),
        ("[100, 100, 100, 300]", "box outside the picture", None),
        ("[1100, 1100, 1200, 1300]", "box outside the picture", None),
        ("[100, 100]", "a point where a box", None),
    ],
)
def test_a_box_that_cannot_be_meant_is_set_right_or_left_out_and_told(
    numbers: str, warning: str, sides: tuple[float, ...] | None
) -> None:
    found = locate(chat_for("qwen3_vl", f'[{{"bbox_2d": {numbers}}}]'), RED, "it")
    assert any(warning in told for told in found.warnings)
    boxes = [(box.x1_px, box.y1_px, box.x2_px, box.y2_px) for box in found]
    assert boxes == ([] if sides is None else [pytest.approx(sides)])


def test_an_answer_that_was_cut_off_keeps_what_is_whole_and_says_so() -> None:
    text = '[{"bbox_2d": [1, 2, 300, 400], "label": "a"}, {"bbox_2d": [5'
    found = locate(chat_for("qwen3_vl", text), RED, "it")
    assert [box.label for box in found] == ["a"]
    assert "ends inside" in found.warnings[0]


def test_a_box_without_a_label_has_what_was_asked_for() -> None:
    assert locate(chat_for("qwen3_vl", "[[1, 2, 300, 400]]"), RED, "the cup")[0].label == "the cup"


def test_a_box_is_as_sure_as_its_numbers() -> None:
    text = "a cup (1,2),(300,400) another (5,6),(700,800)"
    sure = VisionChat(ScriptedBackend([text], logprob=-0.5))
    assert locate(sure, RED, "it")[0].confidence == pytest.approx(0.6065, abs=1e-4)
    unknown = VisionChat(ScriptedBackend([text], logprob=None))
    assert [box.confidence for box in locate(unknown, RED, "it")] == [None, None]


def test_nothing_found_is_no_box_and_no_warning() -> None:
    found = locate(chat_for("qwen2_vl", "Nothing."), RED, "it")
    assert len(found) == 0
    assert found.warnings == ()


def test_points_are_given_where_they_were_asked_for_and_boxes_count_as_their_middles() -> None:
    text = '[{"point_2d": [500, 250], "label": "tip"}, {"bbox_2d": [0, 0, 500, 500]}]'
    marks = point_at(chat_for("qwen3_vl", text), RED, "it")
    assert [(mark.label, mark.x_px, mark.y_px) for mark in marks] == [
        ("tip", 320, 120),
        ("it", 160, 120),
    ]
    assert len(marks.warnings) == 1


def test_a_box_can_be_looked_at_closer() -> None:
    (box,) = locate(chat_for("qwen3_vl", "[[101, 202, 300, 400]]"), RED, "it")
    assert box.region == Region(64, 96, 192, 192)
    tiny = Box("", 5.2, 5.2, 5.3, 5.3).region
    assert tiny.size.area_pixels == 1


def test_what_is_drawn_is_the_picture_with_its_boxes() -> None:
    found = locate(chat_for("qwen3_vl", "[[100, 100, 900, 900], [0, 0, 50, 50]]"), RED, "杯子 cup")
    drawn = found.draw()
    assert drawn.size == RED.size
    assert drawn.tobytes() != RED.tobytes()
    assert drawn.getpixel((320, 240)) == RED.getpixel((320, 240))
    assert 'src="data:image/' in found._repr_html_()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_each_family_is_asked_in_its_own_words(family: str, language: str) -> None:
    backend = ScriptedBackend(["Nothing."], family=family)
    locate(VisionChat(backend), RED, "the cup", language=language)  # type: ignore[arg-type]
    text = backend.requests[0].messages[0].text
    assert "the cup" in text
    assert ("JSON" in text) == (FAMILIES[family].box_format == "json")
    assert text.isascii() == (language == "en")


@pytest.mark.parametrize("what", ["", "  ", None, 3])
def test_nothing_to_find_is_refused(what: object) -> None:
    with pytest.raises(MessageError, match="the things to find"):
        locate(chat_for("qwen3_vl", ""), RED, what)  # type: ignore[arg-type]


def test_an_unknown_language_or_picture_is_refused() -> None:
    with pytest.raises(MessageError, match="language='tlh'"):
        locate(chat_for("qwen3_vl", ""), RED, "it", language="tlh")  # type: ignore[arg-type]
    with pytest.raises(MediaNotFoundError):
        locate(chat_for("qwen3_vl", ""), "/no/such.png", "it")
    with pytest.raises(MediaSourceError, match="VideoPart"):
        locate(chat_for("qwen3_vl", ""), VideoPart([RED, RED], fps=1), "it")
