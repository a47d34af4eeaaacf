"""Labels on pictures: none upon another, none outside, in letters that can be read."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit import MediaPolicy, Size
from qwenvl_kit.display import fonts
from qwenvl_kit.display.fonts import font_for
from qwenvl_kit.display.labels import Area, LabelRoom
from qwenvl_kit.errors import MediaSizeError, QwenVLKitWarning
from qwenvl_kit.grounding.boxes import Box, PointMark
from qwenvl_kit.grounding.drawing import draw_places, drawing_of
from qwenvl_kit.grounding.places import Boxes
from tests.display.samples import SURE

SIDES = st.integers(-50, 700)
AREAS = st.builds(Area, SIDES, SIDES, SIDES, SIDES)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 600), st.integers(1, 400)),
    st.lists(st.tuples(AREAS, st.integers(1, 90), st.integers(1, 25)), max_size=25),
)
def test_labels_overlap_nowhere_and_lie_inside_the_picture(
    size: tuple[int, int], wanted: list[tuple[Area, int, int]]
) -> None:
    room = LabelRoom(*size)
    taken = []
    for area, width, height in wanted:
        corner = room.place(area, width, height)
        if corner is not None:
            taken.append((corner.x_px, corner.y_px, corner.x_px + width, corner.y_px + height))
    for left, top, right, bottom in taken:
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]
    for a, b in itertools.combinations(taken, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_a_label_stands_above_its_box_where_there_is_room() -> None:
    corner = LabelRoom(200, 100).place(Area(20, 40, 80, 90), 50, 12)
    assert corner is not None
    assert (corner.x_px, corner.y_px, corner.is_far) == (20, 28, False)


def test_a_label_of_a_box_at_the_top_edge_stays_in_the_picture() -> None:
    corner = LabelRoom(200, 100).place(Area(150, 0, 200, 60), 60, 12)
    assert corner is not None
    assert corner.y_px >= 0
    assert corner.x_px + 60 <= 200


def test_forty_boxes_on_one_spot_all_get_their_labels() -> None:
    places = [Box(f"thing {at}", 100, 100, 300, 300, 0.5) for at in range(40)]
    assert drawing_of(PIL.Image.new("RGB", (640, 480)), places).num_lost == 0


def test_labels_that_find_no_room_are_counted_in_a_warning() -> None:
    places = [Box("a very long label", 0, 0, 30, 30, 0.5) for _ in range(5)]
    with pytest.warns(QwenVLKitWarning, match="5 labels of 5 found no room"):
        draw_places(PIL.Image.new("RGB", (40, 30)), places)


@pytest.mark.parametrize(
    "place",
    [
        Box("", 10, 10, 50, 50),
        Box("outside", -100, -100, -20, -20),
        Box("beyond", 900, 900, 1200, 1200),
        Box("turned", 80, 80, 10, 10),
        Box("empty", 20, 20, 20, 20),
        PointMark("point", 5, 5),
        PointMark("edge", 200, 150, 1.0),
        Box("two\nlines \u202etxt", 10, 60, 90, 90),
        Box("x" * 500, 10, 60, 90, 90),
    ],
    ids=lambda place: place.label[:8],
)
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_any_place_can_be_drawn_on_any_picture(place: Any, mode: str) -> None:
    drawn = draw_places(PIL.Image.new(mode, (200, 150)), [place])
    assert drawn.size == (200, 150)
    assert drawn.mode == "RGB"


def boxes_of(*places: Box, size: tuple[int, int] = (200, 100)) -> Boxes:
    return Boxes(
        places,
        reply=SURE,
        warnings=(),
        image_size=Size(size[1], size[0]),
        source=PIL.Image.new("RGB", size, "white"),
        policy=MediaPolicy(),
    )


def test_boxes_are_drawn_on_another_picture_of_the_same_size() -> None:
    found = boxes_of(Box("cup", 20, 40, 90, 90))
    drawn = found.draw(PIL.Image.new("RGB", (200, 100), "black"))
    assert drawn.getpixel((150, 20)) == (0, 0, 0)
    assert found.draw().getpixel((150, 20)) == (255, 255, 255)
    with pytest.raises(MediaSizeError, match="300 x 100 px was given"):
        found.draw(PIL.Image.new("RGB", (300, 100)))


def test_a_picture_that_is_gone_leaves_the_table_of_the_boxes() -> None:
    found = Boxes(
        [Box("cup", 1, 2, 3, 4)],
        reply=SURE,
        warnings=(),
        image_size=Size(100, 200),
        source="gone.png",
        policy=MediaPolicy(),
    )
    html = found._repr_html_()
    assert "the picture cannot be shown" in html
    assert "1, 2, 3, 4" in html


def has_font(text: str) -> bool:
    found = fonts._font_with("".join(sorted(set(text))))
    return found is not None and found.has_all


@pytest.mark.skipif(not has_font("杯子"), reason="no font of this machine has Chinese characters")
def test_chinese_labels_are_drawn_with_a_font_that_has_them() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        font = font_for("杯子 cup", 16)
        assert bytes(font.getmask("杯")) != bytes(font.getmask("子"))
        assert fonts._missing(font, "杯子") == set()


def test_latin_labels_need_no_font_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_font_with", None)
    assert font_for("a cup (99%)", 16).getlength("cup") > 0


def test_without_a_font_a_warning_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_candidates", lambda _: [])
    fonts._font_with.cache_clear()
    with pytest.warns(QwenVLKitWarning, match="apt-get install fonts-noto-cjk"):
        font_for("杯子", 16)
    fonts._font_with.cache_clear()


def test_without_fontconfig_the_known_folders_are_searched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "NotoSansCJK-OfATest.ttc").write_bytes(b"no font")
    (tmp_path / "deep" / "unknown.ttf").write_bytes(b"no font")
    monkeypatch.setattr("qwenvl_kit.display.fonts.shutil.which", lambda _: None)
    monkeypatch.setattr(fonts, "FOLDERS", (str(tmp_path), str(tmp_path / "missing")))
    fonts._files.cache_clear()
    fonts._font_with.cache_clear()
    assert [path for path, _ in fonts._candidates("杯")] == [
        str(tmp_path / "deep" / "NotoSansCJK-OfATest.ttc")
    ]
    with pytest.warns(QwenVLKitWarning, match="no font"):
        font_for("杯", 16)
    fonts._files.cache_clear()
    fonts._font_with.cache_clear()


def test_a_font_of_your_own_is_used(tmp_path: Any) -> None:
    path = tmp_path / "own.ttf"
    path.write_bytes(b"no font")
    with pytest.raises(OSError):  # noqa: PT011  # of FreeType
        boxes_of(Box("cup", 20, 40, 90, 90)).draw(font=str(path))


def test_boxes_become_a_data_set_of_coco() -> None:
    found = boxes_of(
        Box("cup", 10, 20, 40, 60, 0.5), Box("plate", 0, 0, 5, 5), Box("cup", 1, 1, 2, 2)
    )
    data = found.to_coco(image_id=7, file_name="a.jpg")
    assert data["images"] == [{"id": 7, "file_name": "a.jpg", "width": 200, "height": 100}]
    assert data["categories"] == [{"id": 1, "name": "cup"}, {"id": 2, "name": "plate"}]
    first, second, third = data["annotations"]
    assert first["bbox"] == [10, 20, 30, 40]
    assert first["area"] == 1200
    assert (first["score"], second["score"]) == (0.5, 1.0)
    assert [each["category_id"] for each in (first, second, third)] == [1, 2, 1]
    assert boxes_of().to_coco()["annotations"] == []


def test_boxes_become_detections_of_supervision() -> None:
    pytest.importorskip("supervision")
    found = boxes_of(Box("cup", 10, 20, 40, 60, 0.5), Box("plate", 0, 0, 5, 5))
    detections = found.to_supervision()
    assert detections.xyxy.tolist() == [[10, 20, 40, 60], [0, 0, 5, 5]]
    assert detections.data["class_name"].tolist() == ["cup", "plate"]
    assert detections.class_id.tolist() == [0, 1]
    assert detections.confidence[0] == 0.5
    assert len(boxes_of().to_supervision()) == 0
