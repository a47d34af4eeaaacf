"""Answers in the shapes in which published models were seen to write them are read whole."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit.grounding.lenient_json import LooseJson
from qwenvl_kit.grounding.place_parser import parse_places
from qwenvl_kit.grounding.written_places import WrittenPlaces

PAIR = '[{"bbox_2d": [1, 2, 3, 4], "label": "a"}, {"bbox_2d": [5, 6, 7, 8], "label": "b"}]'


def found(text: str) -> list[tuple[str, tuple[float, ...]]]:
    return [(place.label, place.numbers) for place in parse_places(text).places]


def attributes(text: str) -> list[dict[str, Any]]:
    return [dict(place.attributes) for place in parse_places(text).places]


def only_warning(text: str) -> str:
    (warning,) = parse_places(text).warnings
    return warning


def test_names_in_two_languages_stand_in_for_a_label_and_are_kept() -> None:
    text = (
        "```json\n[\n"
        '\t{"bbox_2d": [10, 620, 230, 830], "name_zh": "红苹果", "name_en": "Red apple"},\n'
        '\t{"bbox_2d": [280, 130, 700, 350], "name_zh": "绿茶", "name_en": "Green tea"}\n]\n```'
    )
    assert found(text) == [("Red apple", (10, 620, 230, 830)), ("Green tea", (280, 130, 700, 350))]
    assert attributes(text) == [
        {"name_zh": "红苹果", "name_en": "Red apple"},
        {"name_zh": "绿茶", "name_en": "Green tea"},
    ]
    assert parse_places(text).warnings == ()


def test_a_brace_too_many_loses_nothing_and_is_told_once() -> None:
    text = (
        '```json\n[\n\t{\n\t\t"bbox_2d": [0, 50, 470, 990],\n\t\t"names": {\n'
        '\t\t\t"zh": "红苹果",\n\t\t\t"en": "Red apple"\n\t\t}\n\t},\n\t{\n'
        '\t{"bbox_2d": [640, 110, 790, 640],\n'
        '\t\t"names": {"zh": "绿茶", "en": "Green tea"}\n\t},\n'
        '\t{"bbox_2d": [430, 320, 680, 990], "names": {"zh": "面包", "en": "Bread"}}\n]\n```'
    )
    assert found(text) == [
        ("Red apple", (0, 50, 470, 990)),
        ("Green tea", (640, 110, 790, 640)),
        ("Bread", (430, 320, 680, 990)),
    ]
    assert attributes(text)[0] == {"names": {"zh": "红苹果", "en": "Red apple"}}
    assert "do not match" in only_warning(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"objects": [{"bbox_2d": [1, 2, 3, 4], "label": "hat", "attributes": {"colour": "red"}}]}',
        '{"objects": [{"attributes": {"colour": "red"}, "bbox_2d": [1, 2, 3, 4], "label": "hat"}]}',
        '{"a": [{"c": {"attributes": {"colour": "red"}, "label": "hat", "box": [1, 2, 3, 4]}}]}',
    ],
)
def test_objects_inside_objects_are_kept_before_and_after_the_box_at_any_depth(text: str) -> None:
    assert found(text) == [("hat", (1, 2, 3, 4))]
    assert attributes(text) == [{"attributes": {"colour": "red"}}]
    assert parse_places(text).warnings == ()


@pytest.mark.parametrize(
    "name",
    ["label", "name", "text_content", "text", "category", "class", "class_name", "ref", "desc",
     "Label", "object_name", "labels"],
)  # fmt: skip
def test_a_label_may_have_another_name(name: str) -> None:
    assert found(f'[{{"bbox": [1, 2, 3, 4], "{name}": "dog"}}]') == [("dog", (1, 2, 3, 4))]


def test_of_several_names_that_may_be_a_label_the_others_are_kept() -> None:
    text = '[{"bbox_2d": [5, 6, 7, 8], "class": "cat", "sub_label": "asleep", "score": 0.5}]'
    assert found(text) == [("cat", (5, 6, 7, 8))]
    assert attributes(text) == [{"sub_label": "asleep", "score": 0.5}]


@pytest.mark.parametrize("name", ["bbox_2d", "bbox", "box", "box_2d", "BBox-2D", "bounding_box"])
def test_a_box_may_have_another_name(name: str) -> None:
    assert found(f'{{"{name}": [1, 2.5, 3e1, 4]}}') == [("", (1, 2.5, 30, 4))]


@pytest.mark.parametrize(
    "coordinates",
    [
        "[1, 2, 3, 4]", '["1", "2", "3", "4"]', '"1, 2, 3, 4"', '"[1, 2, 3, 4]"', "(1, 2, 3, 4)",
        "[[1, 2], [3, 4]]", "[[1, 2, 3, 4]]", "[1 2 3 4]", "<|box_start|>(1,2),(3,4)<|box_end|>",
        '{"x1": 1, "y1": 2, "x2": 3, "y2": 4}', '{"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}',
    ],
)  # fmt: skip
def test_four_numbers_are_read_however_they_are_written(coordinates: str) -> None:
    text = f'[{{"bbox_2d": {coordinates}, "label": "a", "score": 0.5}}]'
    assert found(text) == [("a", (1, 2, 3, 4))]
    assert attributes(text) == [{"score": 0.5}]
    assert parse_places(text).warnings == ()


def test_a_list_of_boxes_is_as_many_boxes() -> None:
    text = '{"bbox_2d": [[1, 2, 3, 4], [5, 6, 7, 8]], "label": "cups"}'
    assert found(text) == [("cups", (1, 2, 3, 4)), ("cups", (5, 6, 7, 8))]
    text = '{"bboxes": [[1, 2, 3, 4], [5, 6, 7, 8]], "labels": ["cup", "dish"]}'
    assert found(text) == [("cup", (1, 2, 3, 4)), ("dish", (5, 6, 7, 8))]


def test_the_label_of_what_holds_them_is_that_of_places_without_one() -> None:
    assert found('{"label": "cup", "instances": [{"bbox_2d": [1, 2, 3, 4]}]}')[0][0] == "cup"
    assert found('{"dog": {"bbox_2d": [1, 2, 3, 4]}}') == [("dog", (1, 2, 3, 4))]
    assert found('{"objects": [{"bbox_2d": [1, 2, 3, 4]}]}') == [("", (1, 2, 3, 4))]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ('[{"bbox_2d": [1, 2, 3, 4], "label": "the array [1, 2] on the slide"}]',
         "the array [1, 2] on the slide"),
        ("[{'bbox_2d': [1, 2, 3, 4], 'label': 'the dog\\'s bowl'}]", "the dog's bowl"),
        ("[{'bbox_2d': [1, 2, 3, 4], 'label': 'the dog's bowl'}]", "the dog's bowl"),
        ('[{"bbox_2d": [1, 2, 3, 4], "label": "the "red" cup"}]', 'the "red" cup'),
        ('[{"bbox_2d": [1, 2, 3, 4], "label": "\\u4e2d \\ud83d\\ude00"}]', "中 \U0001f600"),
        ('[{"bbox_2d": [1, 2, 3, 4], "label": "a\nb"}]', "a\nb"),
        ('[{"bbox_2d": [1, 2, 3, 4], "label": "<point x=1 y=2>"}]', "<point x=1 y=2>"),
        ('[{"label": "{\\"bbox_2d\\": [9, 9, 9, 9]}", "bbox_2d": [1, 2, 3, 4]}]',
         '{"bbox_2d": [9, 9, 9, 9]}'),
    ],
)  # fmt: skip
def test_what_stands_in_a_label_is_part_of_it(text: str, label: str) -> None:
    assert found(text) == [(label, (1, 2, 3, 4))]
    assert parse_places(text).warnings == ()


@pytest.mark.parametrize(
    "text",
    [
        f"I see [2] dogs. They are:\n```json\n{PAIR}\n```\nBoth look at (500, 500) of the scene.",
        f"In [1, 2, 3, 4] words (it's short): {PAIR}",
        PAIR.replace("}, {", "}\n{"),
        PAIR.replace("}, {", "}, // the second: [0, 0]\n{"),
        PAIR[:-1] + ",]",
        PAIR[1:-1].replace("}, {", "}\n{"),
        PAIR.replace('"', "'"),
        PAIR.replace(', "label"', ' "label"'),
        '{"image_size": [640, 480], "objects": ' + PAIR + "}",
        '<tool_call>{"name": "f", "arguments": {"objects": ' + PAIR + "}}</tool_call>",
    ],
)
def test_two_sound_boxes_are_two_boxes_without_a_warning(text: str) -> None:
    assert found(text) == [("a", (1, 2, 3, 4)), ("b", (5, 6, 7, 8))]
    assert parse_places(text).warnings == ()


@pytest.mark.parametrize(
    "text",
    [
        PAIR.replace("}, {", ", {"),
        PAIR.replace("}, {", "}, "),
        PAIR.replace("}, {", ", "),
        PAIR.replace("[{", "[{{"),
        PAIR.replace("}, {", "}}, {"),
        PAIR.replace("[{", "[", 1),
        PAIR + "]",
        PAIR.replace("4]", "4"),
        PAIR.replace('"a"', '"a'),
    ],
)
def test_a_bracket_or_quote_too_few_or_too_many_is_told_and_costs_no_box(text: str) -> None:
    assert [numbers for _, numbers in found(text)] == [(1, 2, 3, 4), (5, 6, 7, 8)]
    assert "do not match" in only_warning(text)


def test_an_answer_that_is_cut_off_in_a_label_keeps_the_box_without_half_a_label() -> None:
    start = (
        '```json\n[{"bbox_2d": [0, 0, 64, 64], "label": "dog"}, {"bbox_2d": [10, 20, 110, 120], '
    )
    for end in ('"label":', '"label": "hot d', '"lab'):
        assert found(start + end) == [("dog", (0, 0, 64, 64)), ("", (10, 20, 110, 120))]
        assert "ends inside" in only_warning(start + end)
    for end in ('"region": [1, 2, 3, 4', '"label": "cat"'):
        assert "ends inside" in only_warning(start[:44] + "{" + end)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 200))
def test_no_cut_makes_up_a_number_or_a_label(at: int) -> None:
    text = (
        '[{"bbox_2d": [10, 20, 310, 420], "label": "a cup"}, '
        '{"label": "it", "bbox_2d": [[15, 16, 170, 180], [25, 26, 270, 280]], "x": {"y": "z"}}]'
    )
    whole = parse_places(text)
    cut = parse_places(text[:at])
    assert [place.numbers for place in cut.places] == [
        place.numbers for place in whole.places[: len(cut.places)]
    ]
    for place, expected in zip(cut.places, whole.places):
        assert place.label in ("", expected.label)
        assert set(dict(place.attributes)) <= set(dict(expected.attributes))
    assert bool(cut.warnings) == (0 < at < len(text))


def test_points_come_as_objects_and_as_elements() -> None:
    assert found('[{"point_2d": [925, 618], "label": "floor"}]') == [("floor", (925, 618))]
    assert found('[{"point_2d": ["394", "105"], "label": "floor"}]') == [("floor", (394, 105))]
    assert found('{"points": [[1, 2], [3, 4]], "label": "floor"}')[1] == ("floor", (3, 4))
    assert found('[{"x": 5, "y": 6, "label": "floor"}]') == [("floor", (5, 6))]
    element = '<points x1="120" y1="48" x2="300" y2="60" alt="the cups">the cups</points>'
    assert found(element) == [("the cups", (120, 48)), ("the cups", (300, 60))]
    assert found("I see <point x='12' y='30'>a &amp; b</point>.") == [("a & b", (12, 30))]


def test_an_element_that_is_cut_off_or_has_no_place_is_told() -> None:
    cut = '<points x1="120" y1="48" x2="3'
    assert found(cut) == [("", (120, 48))]
    assert "ends inside" in only_warning(cut)
    assert "without x and y" in only_warning('<points coords="1 1 120 48">cups</points>')
    assert "without x and y" in only_warning('<point x="1" alt="a">a</point>')


def test_boxes_in_space_have_nine_numbers() -> None:
    numbers = [2.88, 0.56, 6.28, 4.45, 1.7, 1.84, 0.75, 0.49, 0.75]
    parsed = parse_places(f'```json\n[{{"bbox_3d": {numbers}, "label": "car"}}]\n```')
    (box,) = parsed.boxes_3d
    assert (box.label, list(box.numbers)) == ("car", numbers)
    assert parsed.places == parsed.warnings == ()
    assert "8 numbers" in only_warning(f'[{{"bbox_3d": {numbers[:8]}, "label": "car"}}]')
    assert "9 numbers" in only_warning(f'[{{"bbox_2d": {numbers}, "label": "car"}}]')


@pytest.mark.parametrize(
    "text",
    [
        '[{"poly_2d": [1, 2, 30, 4, 30, 40, 1, 40], "label": "sign"}]',
        '[{"polygon": [[1, 2], [30, 4], [30, 40], [1, 40]], "label": "sign"}]',
        '[{"quad_2d": "1,2,30,4,30,40,1,40", "label": "sign"}]',
        "<|object_ref_start|>sign<|object_ref_end|>"
        "<|quad_start|>(1,2),(30,4),(30,40),(1,40)<|quad_end|>",
        "<ref>sign</ref><quad>1,2,30,4,30,40,1,40</quad>",
    ],
)
def test_outlines_are_read_with_all_their_corners(text: str) -> None:
    parsed = parse_places(text)
    (outline,) = parsed.polygons
    assert (outline.label, outline.numbers) == ("sign", (1, 2, 30, 4, 30, 40, 1, 40))
    assert parsed.places == parsed.warnings == ()


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ('[{"region": [1, 2, 3, 4], "label": "a"}]', "'region'"),
        ('[{"rbox_2d": [5, 5, 4, 2, 0.3], "label": "ship"}]', "'rbox_2d'"),
        ('{"dog": [1, 2, 3, 4]}', "'dog'"),
        ('[{"bbox_2d": "here", "label": "a"}]', "no list of numbers"),
        ('[{"bbox_2d": [x1, y1, x2, y2], "label": "a"}]', "no list of numbers"),
        ('[{"bbox_2d": null, "label": "a"}]', "nothing under 'bbox_2d'"),
        ('[{"bbox_2d": [], "label": "a"}]', "nothing under 'bbox_2d'"),
        ('[{"bbox_2d": [true, 1, 2, 3], "label": "a"}]', "no list of numbers"),
        ('[{"polygon": [1, 2, 3, 4], "label": "a"}]', "4 numbers"),
        ('[{"x": 1, "y": 2, "width": 3, "height": 4, "label": "a"}]', "corner"),
        ('[{"x1": 1, "y1": 2, "label": "a"}]', "'x1', 'y1'"),
        ('[{"bbox_2d": {"language": "en", "text": "a"}, "label": "a"}]', "without coordinates"),
        ("[533, 132, 457]", "3 numbers"),
        ("the dog (533, 132, 457)", "3 numbers"),
        ("<box>none</box>", "no numbers between <box>"),
        ("```json\nnot valid\n```", "a block of JSON"),
        ('{"answer": "[{\\"bbox_2d\\": [1, 2, 3, 4]}]"}', "could not be read: 'bbox_2d"),
        ("<answer><|box_start|>(x1,y1),(x2,y2)<|box_end|></answer>", "could not be read"),
        ('<div data-bbox="1 2 3 4">x</div>', "could not be read"),
        ("| label | bbox |\n|---|---|\n| dog | 1 2 3 4 |", "could not be read"),
        ("The bounding box is from 12, 30 to 400, 500.", "could not be read"),
        ('[{"bbox_2d": [NaN, 1, 2, 3], "label": "a"}]', "no list of numbers"),
        ('［{"bbox_2d"：［1，2，3，4］，"label"："狗"}］', "could not be read"),
    ],
)
def test_what_may_be_a_place_and_is_not_read_is_told(text: str, warning: str) -> None:
    assert found(text) == []
    assert warning in only_warning(text)


def test_an_entry_without_coordinates_among_others_is_told() -> None:
    text = '[{"bbox_2d": [1, 2, 3, 4]}, {"label": "cup"}, {"bbox_2d": [5, 6, 7, 8]}]'
    assert len(found(text)) == 2
    assert "'cup'" in only_warning(text)
    text = '{"bbox_2d": [[1, 2, 3, 4], "here"], "label": "cups"}'
    assert found(text) == [("cups", (1, 2, 3, 4))]
    assert "no list of numbers" in only_warning(text)


@pytest.mark.parametrize(
    "text",
    [
        "I can't find a dog in this picture (it may be hidden), sorry :(",
        "There are 2 cups in [the kitchen], and it's {dark}.",
        '{"objects": []}', '{"image_size": [640, 480], "objects": []}', '{"answer": "no dog"}',
    ],
)  # fmt: skip
def test_a_refusal_has_no_place_and_no_warning(text: str) -> None:
    parsed = parse_places(text)
    assert parsed == WrittenPlaces((), ())


def test_an_ellipsis_among_the_boxes_is_told() -> None:
    assert "'...'" in only_warning('[{"bbox_2d": [1, 2, 3, 4], "label": "a"}, ...]')


def test_a_text_beside_a_list_of_numbers_is_its_label() -> None:
    assert found('[["dog", [1, 2, 3, 4]], ["cat", [5, 6, 7, 8]]]') == [
        ("dog", (1, 2, 3, 4)),
        ("cat", (5, 6, 7, 8)),
    ]
    text = "<ref>sheep</ref><box>[[1, 2, 3, 4], [5, 6, 7, 8]]</box>"
    assert found(text) == [("sheep", (1, 2, 3, 4)), ("sheep", (5, 6, 7, 8))]


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inside: st.lists(inside, max_size=4)
    | st.dictionaries(st.text(max_size=6), inside, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(st.text(max_size=6), _VALUES, max_size=5) | st.lists(_VALUES, max_size=5),
    st.sampled_from([None, 1, "\t"]),
    st.booleans(),
)
def test_sound_json_is_read_as_json_is(value: object, indent: Any, is_ascii: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=is_ascii)
    read = LooseJson(f"It is {text} so")
    assert [root.value for root in read.roots] == [value]
    assert read.problems == ()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(-50, 2000), min_size=4, max_size=4), st.text(max_size=12),
    st.dictionaries(st.sampled_from(["colour", "score", "is_hidden", "parts"]), _VALUES),
)  # fmt: skip
def test_a_place_with_its_attributes_comes_back_as_it_was_written(
    numbers: list[int], label: str, others: dict[str, Any]
) -> None:
    label = label.replace("<|", "").strip()
    text = json.dumps([{"bbox_2d": numbers, "label": label, **others}], ensure_ascii=False)
    (place, *_) = parse_places(text).places
    assert (place.label, list(place.numbers)) == (label, numbers)
    assert text[place.start : place.stop] == json.dumps(numbers)
    if "<|" not in text:
        assert dict(place.attributes) == others


@settings(deadline=None, max_examples=60)
@given(st.text(alphabet="[]{}()\",:'\\ \n019.-<|>bxpoint_2dlabel/", max_size=200))
def test_whatever_comes_numbers_are_finite_and_stand_where_they_are_said_to(
    text: str,
) -> None:
    parsed = parse_places(text)
    for place in (*parsed.places, *parsed.polygons, *parsed.boxes_3d):
        assert all(map(math.isfinite, place.numbers))
        assert 0 <= place.start < place.stop <= len(text)


@pytest.mark.parametrize(
    "piece",
    ['{k: "x, ', '"a": ', "<point x=", "<|box_start|>(1,2)", '{"bbox_2d": [', "}{", '{"a": [1,2], ',
     '" ', "<box>1", "[1,1,1,1] ", '{"bbox_2d": "1,', "{'a': '", "//"],
)  # fmt: skip
def test_a_long_answer_takes_no_time_whatever_it_repeats(piece: str) -> None:
    for start in ("", "[", '{"a": "'):
        parse_places(start + piece * 3_000)


def test_brackets_too_deep_are_told() -> None:
    assert any("nested too deeply" in warning for warning in parse_places("[" * 500).warnings)
