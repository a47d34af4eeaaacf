"""What a model writes about places is read as far as it is sound, and never raises."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit.grounding.place_parser import parse_places

TOKENS = "<|object_ref_start|>{}<|object_ref_end|><|box_start|>({},{}),({},{})<|box_end|>"


def found(text: str) -> list[tuple[str, tuple[float, ...]]]:
    return [(place.label, place.numbers) for place in parse_places(text).places]


def test_boxes_between_special_tokens_are_read_with_their_labels() -> None:
    text = TOKENS.format("a cup", 1, 2, 30, 40) + TOKENS.format("a plate", 5, 6, 70, 80)
    assert found(text) == [("a cup", (1, 2, 30, 40)), ("a plate", (5, 6, 70, 80))]
    assert parse_places(text).warnings == ()


def test_the_special_tokens_may_have_been_left_out() -> None:
    text = "a cup(1,2),(30,40)a plate(5,6),(70,80)"
    assert found(text) == [("a cup", (1, 2, 30, 40)), ("a plate", (5, 6, 70, 80))]


def test_boxes_that_follow_one_label_all_have_it() -> None:
    assert found("cups(1,2),(3,4)(5,6),(7,8)") == [("cups", (1, 2, 3, 4)), ("cups", (5, 6, 7, 8))]


def test_a_pair_alone_is_a_point() -> None:
    assert found("the tip<|box_start|>(12, 7)<|box_end|>") == [("the tip", (12, 7))]


def test_json_is_read_with_its_labels_in_a_fence_or_without() -> None:
    body = '[\n\t{"bbox_2d": [1, 2, 30, 40], "label": "a \\"cup\\""},\n{"point_2d": [5, 6]}\n]'
    for text in (body, f"```json\n{body}\n```", f"Here they are: {body} Anything else?"):
        assert found(text) == [('a "cup"', (1, 2, 30, 40)), ("", (5, 6))]


def test_braces_and_brackets_in_a_label_are_part_of_it() -> None:
    assert found('[{"label": "a {b} [c]", "bbox_2d": [1, 2, 3, 4]}]') == [
        ("a {b} [c]", (1, 2, 3, 4))
    ]


def test_a_list_of_numbers_alone_is_a_box_without_a_label() -> None:
    assert found("[1, 2, 3, 4]") == [("", (1, 2, 3, 4))]
    assert found("[[1, 2, 3, 4], [5, 6, 7, 8]]") == [("", (1, 2, 3, 4)), ("", (5, 6, 7, 8))]


@pytest.mark.parametrize(
    "text",
    [
        '[{"bbox_2d": [1, 2, 30, 40], "label": "a"}, {"bbox_2d": [5, 6, 7',
        '[{"bbox_2d": [1, 2, 30, 40], "label": "a"}, {"bbox',
        '```json\n[{"bbox_2d": [1, 2, 30, 40], "label": "a"},',
        "a(1,2),(30,40)b(5,6",
        "a(1,2),(30,40)<|object_ref_start|>b<|object_ref_end|>",
    ],
)
def test_of_an_answer_that_is_cut_off_the_whole_places_are_kept(text: str) -> None:
    parsed = parse_places(text)
    assert [(place.label, place.numbers) for place in parsed.places] == [("a", (1, 2, 30, 40))]
    assert any("ends inside" in warning for warning in parsed.warnings)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ('[{"bbox_2d": [1, 2, 3], "label": "a"}]', "3 numbers"),
        ('[{"bbox_2d": [1, 2, 3, 1e999], "label": "a"}]', "too large"),
        ('[{"bbox_2d": "about here", "label": "a"}]', "no list of numbers"),
    ],
)
def test_what_is_no_place_is_told(text: str, warning: str) -> None:
    parsed = parse_places(text)
    assert parsed.places == ()
    assert warning in parsed.warnings[0]


@pytest.mark.parametrize("space", [" ", "\n", "\x1c", "\u2003", "\x85"])
def test_any_white_space_may_stand_between_numbers(space: str) -> None:
    (place,) = parse_places(f'{{"bbox_2d": [1,{space}2, 3{space},4], "label": "a"}}').places
    assert place.numbers == (1, 2, 3, 4)


@pytest.mark.parametrize("text", ["", "Nothing.", "There is no cup.", "[]", "```json\n[]\n```"])
def test_an_answer_without_places_has_none_and_no_warning(text: str) -> None:
    parsed = parse_places(text)
    assert parsed.places == parsed.warnings == ()


def test_each_place_knows_where_its_numbers_stand() -> None:
    for text in ("a(1,2),(30,40)b(5,6)", '[{"bbox_2d": [1, 2, 3, 4]}, {"point_2d": [5,6]}]'):
        for place in parse_places(text).places:
            numbers = "".join(c if c.isdigit() else " " for c in text[place.start : place.stop])
            assert tuple(map(float, numbers.split())) == place.numbers


@settings(deadline=None)
@given(st.text(alphabet='[]{}()",:\\ \n0123456789.-eE<|>bboxpoint_2dlabel', max_size=300))
def test_no_answer_makes_it_raise(text: str) -> None:
    parsed = parse_places(text)
    assert all(len(place.numbers) in (2, 4) for place in parsed.places)


@pytest.mark.parametrize(
    "piece", ['{"', "{", "[", '["', "(", "(1,", "[1,", '{"label": "', "\\", "1"]
)
def test_a_long_answer_of_nothing_but_openings_takes_no_time(piece: str) -> None:
    parse_places("[" + piece * 20_000)
    parse_places(piece * 20_000)
