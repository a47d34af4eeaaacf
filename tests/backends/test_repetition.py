"""Answers that go round in a circle are noticed, and no others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qwenvl_kit.backends.answer_builder import CycleDetector

TOKENS = st.lists(st.integers(0, 5), max_size=80)
LIMITS = st.integers(2, 40)


def _noticed_after(tokens: list[int], limit: int | None) -> int | None:
    """After how many tokens a cycle is noticed."""
    detector = CycleDetector(limit)
    for count, token in enumerate(tokens, 1):
        detector.feed(token)
        if detector.is_found:
            return count
    return None


def _is_cycle(tokens: list[int]) -> bool:
    """Whether tokens are one piece at least twice, its last time perhaps cut off."""
    return any(
        all(tokens[at] == tokens[at - period] for at in range(period, len(tokens)))
        for period in range(1, len(tokens) // 2 + 1)
    )


@given(TOKENS, LIMITS)
def test_a_cycle_is_noticed_as_soon_as_the_last_tokens_are_one(tokens, limit):
    ends = (n for n in range(limit, len(tokens) + 1) if _is_cycle(tokens[n - limit : n]))
    assert _noticed_after(tokens, limit) == next(ends, None)


@given(TOKENS, st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_a_piece_that_comes_again_and_again_is_noticed_within_its_limit(before, piece):
    noticed = _noticed_after(before + piece * 40, 40)
    assert noticed is not None
    assert noticed <= len(before) + 40


def test_rows_of_a_table_that_differ_somewhere_run_on():
    row = [1, 2, 3, 4, 5, 6, 7]
    table = [token for number in range(100) for token in (*row, 1000 + number)]
    assert _noticed_after(table, 96) is None


def test_without_a_limit_nothing_is_noticed():
    assert _noticed_after([1] * 1000, None) is None
