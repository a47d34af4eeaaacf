"""Everything of a kind: typed values with boxes, names in several languages, attributes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import PIL.Image
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit import ImagePart, Region, VisionChat
from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import (
    GenerationError,
    MessageError,
    SchemaError,
    UnsupportedFeatureError,
)
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.grounding.boxes import Box
from qwenvl_kit.tasks import Recognitions, Thing, recognize

GREY = PIL.Image.new("RGB", (1000, 500), "grey")
RECORDED = Path(__file__).parents[2].parent / "shared" / "recorded" / "places.json"
WITH_ATTRIBUTES = [name for name, family in FAMILIES.items() if "attributes" in family.places]
BOX = [100, 200, 300, 400]


class Heat(str, Enum):
    mild = "mild"
    hot = "hot"


@dataclass
class Dish:
    name: str
    price: float | None
    heat: Heat = Heat.mild


def answered(answer: Any, family: str = "qwen3_vl", **options: Any) -> VisionChat:
    text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    return VisionChat(ScriptedBackend([text], family=family, **options))


def named(answer: Any, *names: str, attributes: Any = ()) -> Recognitions[Thing]:
    return recognize(answered(answer), GREY, "food", names=names, attributes=attributes)


def asked(what: Any, **options: Any) -> tuple[str, Mapping[str, Any]]:
    """The prompt and the schema of a request."""
    backend = ScriptedBackend(["[]"], family="qwen3_vl")
    recognize(VisionChat(backend), GREY, what, **options)
    (request,) = backend.requests
    assert request.constraint is not None
    return request.messages[-1].text, json.loads(request.constraint.text)


@pytest.mark.parametrize("family", WITH_ATTRIBUTES)
def test_each_family_with_attributes_gives_values_and_boxes_of_the_original(family: str) -> None:
    row = {"bbox_2d": [0, 0, 100, 100], "name": "Rice", "price": 3.5, "heat": "hot"}
    (dish,) = recognize(answered([row], family), GREY, Dish)
    assert dish.value == Dish("Rice", 3.5, Heat.hot)
    is_relative = FAMILIES[family].coordinates == "thousandths"
    assert dish.box.x2_px == pytest.approx(100, abs=2)
    assert dish.box.y2_px == pytest.approx(50 if is_relative else 100, abs=2)
    assert dish.box.label == "Rice"
    assert dish.box.attributes == {"price": 3.5, "heat": "hot"}


@dataclass
class Player:
    name: str
    points: int
    box: bool
    segmentation: str
    quad: int | None


def test_fields_of_a_type_may_have_the_names_of_places() -> None:
    row: dict[str, Any]
    row = {"bbox_2d": BOX, "name": "Bob", "points": 12, "box": True, "segmentation": "full"}
    row["quad"] = None
    found = recognize(answered([row]), GREY, Player)
    assert found.values == (Player("Bob", 12, True, "full", None),)
    assert found.warnings == ()
    (player,) = named(
        [{"bbox_2d": BOX, "name_en": "Bob", "points": 12}], "en", attributes=["points"]
    )
    assert player.value.attributes == {"points": 12}


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - set(WITH_ATTRIBUTES)))
def test_a_family_of_plain_boxes_refuses(family: str) -> None:
    with pytest.raises(UnsupportedFeatureError, match="Try: locate"):
        recognize(answered("[]", family), GREY, "food")


def test_words_are_asked_for_as_the_cookbook_does() -> None:
    english, schema = asked("food", names=["zh", "en"])
    assert english.startswith(
        "Identify food in the image and return their bounding box and Chinese and English name in "
        "JSON format like this: "
    )
    assert list(schema["items"]["properties"]) == ["bbox_2d", "name_zh", "name_en"]
    chinese, _ = asked("食物", names=["zh", "en"], attributes=["颜色"], language="zh")
    assert chinese.startswith(
        "识别图中的食物，以JSON格式输出其bbox坐标和中文和英文名称、颜色，形如："
    )
    assert asked("food")[1]["items"]["required"] == ["bbox_2d", "name_en"]
    assert asked("food", names=["ja", "Latin"])[1]["items"]["required"][1:] == [
        "name_ja",
        "name_latin",
    ]


def test_a_type_is_described_and_its_name_says_what_to_find() -> None:
    text, schema = asked(Dish)
    assert 'categories: "dish"' in text
    assert "- price: number or null" in text
    assert '"bbox_2d": [x1, y1, x2, y2], "name": ..., "price": ..., "heat": ...' in text
    assert schema["items"]["properties"]["heat"]["enum"] == ["mild", "hot"]
    assert 'categories: "hot food"' in asked(Dish, kind="hot food")[0]
    assert asked(Dish, prompt="All {what}: {fields} {form}")[0].startswith("All dish: - name")

    @dataclass
    class RoadSign2D:
        text: str

    assert 'categories: "road sign2d"' in asked(RoadSign2D)[0]


COOKBOOK = [
    {"bbox_2d": BOX, "name_zh": "米饭", "name_en": "Rice"},
    {"bbox_2d": BOX, "names": {"zh": "米饭", "en": "Rice"}},
    {"bbox_2d": BOX, "name": {"Chinese": "米饭", "English": "Rice"}},
    {"bbox_2d": BOX, "chinese_name": "米饭", "english_name": "Rice"},
    {"bbox_2d": BOX, "zh": "米饭", "en": "Rice"},
    {"bbox_2d": BOX, "Name (Chinese)": "米饭", "Name (English)": "Rice"},
    {"bbox_2d": BOX, "中文名": "米饭", "英文名": "Rice"},
    {"bbox_2d": BOX, "label_cn": "米饭", "label_en": "Rice"},
    {"bbox_2d": BOX, "label": "Rice", "attributes": {"name_zh": "米饭", "name_en": "Rice"}},
]
"""The forms of names in two languages, in the cookbook and in public answers."""


@pytest.mark.parametrize("row", COOKBOOK, ids=lambda row: list(row)[1])
def test_names_are_found_in_every_form_that_models_write(row: dict[str, Any]) -> None:
    found = named([row], "zh", "en")
    (thing,) = found
    assert thing.value.names == {"zh": "米饭", "en": "Rice"}
    assert str(thing.value) == thing.value.name == "米饭"
    assert found.warnings == ()


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded answers are not here")
def test_recorded_answers_give_things_with_their_attributes() -> None:
    cases = [case for case in json.loads(RECORDED.read_text("utf-8")) if "attributes" in case]
    assert cases
    for case in cases:
        found = recognize(answered(case["text"], case["family"]), GREY, "food", names=["zh", "en"])
        assert [dict(thing.box.attributes) for thing in found] == case["attributes"]
        assert [thing.value.names["en"] for thing in found] == [
            row.get("name_en") or row["names"]["en"] for row in case["attributes"]
        ]
        assert len(found.warnings) == case["warnings"]


def test_a_name_that_is_missing_is_told_once_with_its_entries() -> None:
    rows = [{"bbox_2d": BOX, "name_en": name} for name in ("Rice", "Tea")]
    found = named(rows, "zh", "en", attributes=["colour"])
    assert [thing.value.names for thing in found] == [{"en": "Rice"}, {"en": "Tea"}]
    assert found.warnings == ("no name in Chinese: entry 1, 2", "no colour: entry 1, 2")


def test_attributes_are_given_by_the_names_that_were_asked_for() -> None:
    row = {"bbox_2d": BOX, "label": "car", "attributes": {"Colour": "red"}, "type": "van"}
    (thing,) = named([row], "en", attributes=["colour", "type"])
    assert thing.value.attributes == {"colour": "red", "type": "van"}
    assert thing.value.names == {"en": "car"}
    assert thing.box.attributes["type"] == "van"


def test_an_entry_that_does_not_fit_costs_itself_alone_and_is_told() -> None:
    rows = [
        {"bbox_2d": BOX, "name": "Rice", "price": 1},
        {"bbox_2d": BOX, "name": "Tea", "price": "cheap"},
        {"bbox_2d": BOX, "name": "Soup", "price": 2, "heat": "cold"},
        {"bbox_2d": BOX, "label": "Cake", "price": None},
        {"bbox_2d": BOX, "name": "Jam"},
    ]
    found = recognize(answered(f"```json\n{json.dumps(rows)}\n```"), GREY, Dish)
    assert found.values == (Dish("Rice", 1.0), Dish("Cake", None))
    assert [box.label for box in found.misfits] == ["Tea", "Soup", "Jam"]
    assert found.misfits[0].attributes == {"price": "cheap"}
    told = [text for text in found.warnings if "does not fit" in text]
    assert told[0].startswith("entry 2 (Tea) does not fit: the answer is no Dish (")
    assert not any("https" in text for text in told)
    assert len(told) == 3


@pytest.mark.parametrize(
    ("answer", "num_found", "words"),
    [
        ('[{"bbox_2d": [1, 2, 3], "name": "a", "price": 1}]', 0, "3 numbers where"),
        ('[{"bbox_2d": [900, 9, 1900, 99], "name": "a", "price": 1}]', 1, "beyond the picture"),
        ('[{"bbox_2d": [2000, 9, 2900, 99], "name": "a", "price": 1}]', 0, "outside the picture"),
        ('[{"point_2d": [10, 20], "name": "a", "price": 1}]', 0, "a point where a box"),
        ('[{"name": "a", "price": 1}]', 0, "without coordinates"),
        ('[{"bbox_2d": [1, 2, 30, 40], "name": "a", "price": 1}, {"bbox', 1, "ends inside"),
        ('[{"bbox_2d": [1, 2, 30, 40], "name": "a", "price": 1}', 1, "ends inside"),
        ("There is no food.", 0, ""),
        ("[]", 0, ""),
    ],
)
def test_what_cannot_be_read_is_told_and_the_rest_is_kept(
    answer: str, num_found: int, words: str
) -> None:
    found = recognize(answered(answer), GREY, Dish)
    assert len(found) == num_found
    assert any(words in text for text in found.warnings) if words else found.warnings == ()


def test_an_answer_that_repeats_itself_gives_each_entry_once() -> None:
    row = {"bbox_2d": BOX, "name": "Rice", "price": 1}
    other = {**row, "bbox_2d": [1, 2, 30, 40]}
    found = recognize(answered([row, other, *[row] * 30]), GREY, Dish)
    assert len(found) == 2
    assert "exact repeats of another entry, left out: 30" in found.warnings


def test_one_object_with_several_boxes_gives_each_of_them_the_values() -> None:
    row = {"bbox_2d": [BOX, [500, 500, 600, 600]], "name": "Rice", "price": 1}
    found = recognize(answered([row]), GREY, Dish)
    assert found.values == (Dish("Rice", 1.0),) * 2
    assert found[0].box != found[1].box


def test_a_crop_is_searched_and_its_boxes_are_of_the_whole_picture() -> None:
    row = {"bbox_2d": [0, 0, 1000, 1000], "name_en": "Rice"}
    crop = ImagePart(GREY, crop=Region(500, 100, 700, 300))
    (thing,) = recognize(answered([row]), crop, "food")
    assert thing.box.region == Region(500, 100, 700, 300)


def test_the_confidence_is_that_of_the_least_certain_field() -> None:
    text = '[{"bbox_2d": [1, 2, 30, 40], "name": "fried rice", "price": 1}]'
    (dish,) = recognize(answered(text, logprob=-0.5), GREY, Dish)
    assert dish.confidence == pytest.approx(0.3679, abs=1e-3)  # two words
    assert dish.box.confidence == pytest.approx(0.6065, abs=1e-3)
    (unknown,) = recognize(answered(text, logprob=None), GREY, Dish)
    assert unknown.confidence is unknown.box.confidence is None


def test_a_backend_that_cannot_constrain_is_asked_without_and_that_is_told() -> None:
    def answer(request: BackendRequest) -> str:
        if request.constraint is not None:
            raise UnsupportedFeatureError("this server cannot constrain an answer")
        return json.dumps([{"bbox_2d": BOX, "name": "Rice", "price": 1}])

    found = recognize(VisionChat(ScriptedBackend(answer, family="qwen3_vl")), GREY, Dish)
    assert found.values == (Dish("Rice", 1.0),)
    assert "cannot constrain" in found.warnings[0]


def test_another_failure_is_raised() -> None:
    chat = VisionChat(ScriptedBackend([GenerationError("broken")], family="qwen3_vl"))
    with pytest.raises(GenerationError, match="broken"):
        recognize(chat, GREY, Dish)


class Car(pydantic.BaseModel):
    """A model of pydantic."""

    type: str
    colour: str = pydantic.Field(description="of the paint")


def test_types_of_every_kind_are_taken() -> None:
    row = {"bbox_2d": BOX, "type": "van", "colour": "red"}
    (car,) = recognize(answered([row]), GREY, Car)
    assert car.value == Car(type="van", colour="red")
    assert "- colour: text, of the paint" in asked(Car)[0]
    schema = {
        "title": "car",
        "type": "object",
        "properties": {"type": {"type": "string"}, "colour": {"type": "string"}},
        "required": ["type", "colour"],
    }
    (plain,) = recognize(answered([{**row, "more": 1}]), GREY, schema)
    assert plain.value == {"type": "van", "colour": "red"}
    (text,) = recognize(answered([{"bbox_2d": BOX, "value": "van"}]), GREY, str, kind="cars")
    assert text.value == "van"


@dataclass
class WithBox:
    bbox_2d: list[int]


@pytest.mark.parametrize(
    ("what", "options", "error"),
    [
        ("", {}, MessageError),
        ("food", {"names": []}, MessageError),
        ("food", {"names": "zh"}, MessageError),
        ("food", {"names": ["zh", "zh"]}, MessageError),
        ("food", {"names": [1]}, MessageError),
        ("food", {"attributes": "colour"}, MessageError),
        ("food", {"attributes": ["a", "a"]}, MessageError),
        ("food", {"kind": "food"}, MessageError),
        ("food", {"language": "fr"}, MessageError),
        (Dish, {"names": ["zh"]}, MessageError),
        (Dish, {"attributes": ["colour"]}, MessageError),
        (Dish, {"kind": " "}, MessageError),
        (WithBox, {}, SchemaError),
        (dict[str, int], {"kind": "x"}, SchemaError),
        (print, {}, SchemaError),
        (None, {}, SchemaError),
    ],
)
def test_wrong_arguments_are_told_before_the_model_is_asked(
    what: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    backend = ScriptedBackend(["never"], family="qwen3_vl")
    with pytest.raises(error):
        recognize(VisionChat(backend), GREY, what, **options)
    assert backend.requests == []


def test_it_shows_itself_is_drawn_and_written_as_rows() -> None:
    rows = [{"bbox_2d": BOX, "name": "<b>Rice</b>", "price": 1}, {"bbox_2d": BOX, "name": "x"}]
    found = recognize(answered(rows), GREY, Dish)
    shown = found._repr_html_()
    assert "&lt;b&gt;Rice" in shown
    assert "<b>Rice" not in shown
    assert "1 not of the type" in shown
    assert found.draw().size == GREY.size
    (row,) = json.loads(json.dumps(found.to_dicts()))
    assert (row["price"], row["heat"], row["box_px"]) == (1.0, "mild", [100, 100, 300, 200])
    assert repr(found).startswith("Recognitions([Recognized(Dish(")
    assert found[:1] == (found[0],)
    assert found.boxes.to_coco()["categories"] == [{"id": 1, "name": "<b>Rice</b>"}]
    things = named([{"bbox_2d": BOX, "name_zh": "米饭", "name_en": "Rice"}], "zh", "en").to_dicts()
    assert things[0]["name_en"] == "Rice"


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.text(min_size=1).filter(lambda text: text.strip(" \t\n\r“”") == text),
            st.one_of(st.none(), st.floats(-1e6, 1e6)),
            st.sampled_from(["mild", "hot"]),
            st.tuples(*[st.integers(0, 499)] * 2, *[st.integers(500, 1000)] * 2),
        ),
        max_size=6,
        unique_by=lambda row: row[3],
    )
)
def test_written_values_come_back(
    rows: list[tuple[str, float | None, str, tuple[int, ...]]],
) -> None:
    written = [
        {"bbox_2d": box, "name": name, "price": price, "heat": heat}
        for name, price, heat, box in rows
    ]
    found = recognize(answered(written), GREY, Dish)
    assert found.values == tuple(Dish(name, price, Heat(heat)) for name, price, heat, _ in rows)
    assert all(isinstance(thing.box, Box) for thing in found)
