"""What an answer does not say clearly is told, never made up."""

from __future__ import annotations

import pytest

from qwenvl_kit.grounding.place_parser import parse_places


def found(text: str) -> list[tuple[str, tuple[float, ...]]]:
    return [(place.label, place.numbers) for place in parse_places(text).places]


@pytest.mark.parametrize(
    "numbers",
    [
        "[100, 200, 3 00, 400]", "[1 2, 30, 40]", "[100, 200, 300 400]", "[100, [200, 300], 400]",
        '[100, 200, "3 00", 400]', '"100, 200, 3 00, 400"', "[1 00, 2 00, 3 00, 4 00]",
        "[[1, 2, 3 0, 40]]", "[100, 200, 300, dog 400]", "[1 2 3, 40]", "[10, 20, [30, 40]]",
    ],
)  # fmt: skip
def test_numbers_that_are_not_parted_clearly_are_no_place_and_are_told(numbers: str) -> None:
    for text in (f'[{{"bbox_2d": {numbers}, "label": "dog"}}]', f'{{"point_2d": {numbers}}}'):
        parsed = parse_places(text)
        assert parsed.places == parsed.polygons == ()
        assert len(parsed.warnings) == 1


@pytest.mark.parametrize(
    "text", ["[1 2, 30, 40]", "[[100, 200, 3 00, 400]]", "[1 00, 2 00]", "[100, 200, 3 00]"]
)
def test_a_bare_list_that_is_not_parted_clearly_is_no_place_and_is_told(text: str) -> None:
    assert found(text) == []
    assert len(parse_places(text).warnings) == 1


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ('"1,2 30,40"', [(1, 2, 30, 40)]),
        ('"1 2, 30 40"', [(1, 2, 30, 40)]),
        ("[1 2 30 40]", [(1, 2, 30, 40)]),
        ('["1, 2, 30, 40", "5, 6, 70, 80"]', [(1, 2, 30, 40), (5, 6, 70, 80)]),
    ],
)
def test_numbers_that_are_parted_alike_are_read(
    numbers: str, expected: list[tuple[float, ...]]
) -> None:
    text = f'{{"bbox_2d": {numbers}}}'
    assert [place.numbers for place in parse_places(text).places] == expected
    assert parse_places(text).warnings == ()


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ('{"point_2d": [[100, 200], [300, 400]]}', [(100, 200), (300, 400)]),
        ('{"point_2d": [10, 20, 30, 40]}', [(10, 20), (30, 40)]),
        ('{"click_point": "10, 20, 30, 40"}', [(10, 20), (30, 40)]),
        ('{"points": [{"x": 1, "y": 2}, {"x": 30, "y": 4}]}', [(1, 2), (30, 4)]),
    ],
)
def test_what_is_named_points_is_points_whatever_their_number(
    text: str, points: list[tuple[float, ...]]
) -> None:
    parsed = parse_places(text)
    assert [place.numbers for place in parsed.places] == points
    assert parsed.polygons == parsed.warnings == ()


@pytest.mark.parametrize(
    "corners",
    [
        '[{"x": 1, "y": 2}, {"x": 30, "y": 4}, {"x": 30, "y": 40}]',
        '{"p1": [1, 2], "p2": [30, 4], "p3": {"x": 30, "y": 40}}',
        '[[{"x": 1, "y": 2}, {"x": 30, "y": 4}, {"x": 30, "y": 40}]]',
        "[[1, 2], [30, 4], [30, 40]]",
    ],
)
@pytest.mark.parametrize("name", ["poly_2d", "polygon", "bbox_2d"])
def test_three_corners_are_an_outline_also_under_the_name_of_a_box(name: str, corners: str) -> None:
    parsed = parse_places(f'[{{"{name}": {corners}, "label": "sign"}}]')
    (outline,) = parsed.polygons
    assert (outline.label, outline.numbers) == ("sign", (1, 2, 30, 4, 30, 40))
    assert parsed.places == parsed.warnings == ()


@pytest.mark.parametrize(
    "corners",
    [
        '{"top_left": {"x": 1, "y": 2}, "bottom_right": {"x": 30, "y": 40}}',
        '{"bottomRight": [30, 40], "topLeft": [1, 2]}',
        '{"top_right": [30, 2], "bottom_left": [1, 40]}',
        '[{"x": 1, "y": 2}, {"x": 30, "y": 40}]',
    ],
)
def test_two_corners_under_the_name_of_a_box_are_one_box(corners: str) -> None:
    parsed = parse_places(f'[{{"bbox_2d": {corners}, "label": "dog"}}]')
    assert [(place.label, place.numbers) for place in parsed.places] == [("dog", (1, 2, 30, 40))]
    assert parsed.polygons == parsed.warnings == ()


@pytest.mark.parametrize(
    "text",
    [
        '{"bbox_2d": {"center": [50, 60], "size": [10, 10]}}',
        '{"bbox_2d": [5, 6]}',
        '{"polygon": {"center": {"x": 1, "y": 2}}}',
        '{"point_2d": {"x1": 1, "y1": 2, "x2": 3, "y2": 4}}',
        '{"point_2d": [1, 2, 3]}',
        '{"bbox_2d": [1, 2, 3, 4, 5, 6, 7, 8]}',
    ],
)
def test_a_place_of_another_kind_than_its_name_says_is_told(text: str) -> None:
    parsed = parse_places(text)
    assert not parsed.boxes
    assert not parsed.polygons
    assert len(parsed.warnings) == 1


def test_a_thing_that_is_called_like_a_place_is_read_as_what_is_in_it() -> None:
    parsed = parse_places('{"box": {"bbox_2d": [1, 2, 3, 4], "label": "gift"}}')
    assert [(place.label, place.numbers) for place in parsed.places] == [("gift", (1, 2, 3, 4))]
    assert parsed.warnings == ()


def test_a_swipe_is_two_points() -> None:
    text = (
        '{"name": "mobile_use", "arguments": {"action": "swipe", "coordinate": [500, 800], '
        '"coordinate2": [500, 200]}}'
    )
    parsed = parse_places(text)
    assert [place.numbers for place in parsed.places] == [(500, 800), (500, 200)]
    assert all(dict(place.attributes) == {"action": "swipe"} for place in parsed.places)
    assert parsed.warnings == ()
