"""The edit distance is that of its definition, and a limit bounds its work."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit.evaluation.scoring.edit_distance import edit_distance

TEXTS = st.text("ab ", max_size=12) | st.text(max_size=8)


def by_definition(first: str, second: str) -> int:
    """The table of Wagner and Fischer, a row at a time."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(second, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


@settings(derandomize=True, deadline=None, max_examples=300)
@given(TEXTS, TEXTS)
def test_the_distance_is_that_of_the_definition(first: str, second: str) -> None:
    assert edit_distance(first, second) == by_definition(first, second)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(TEXTS, TEXTS, st.integers(0, 14))
def test_a_distance_beyond_the_limit_is_the_limit_and_one(
    first: str, second: str, limit: int
) -> None:
    assert edit_distance(first, second, limit) == min(by_definition(first, second), limit + 1)
