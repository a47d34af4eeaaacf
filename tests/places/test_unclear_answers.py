"""What an answer does not say clearly is told, never made up."""

from __future__ import annotations

import pytest

from qwenvl_kit.places.parsing import parse_places


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
