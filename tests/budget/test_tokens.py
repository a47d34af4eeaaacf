from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qwenvl_kit.budget.tokens import share_tokens
from qwenvl_kit.errors import BudgetError

PICTURES = st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 5000)), min_size=1, max_size=12)
TOTALS = st.integers(1, 30_000)


def _shared(pictures, total):
    natural, minimum = zip(*pictures)
    floors = [min(low, high) for low, high in pictures]
    assume(sum(floors) <= total)
    return (
        list(natural),
        [min(a, b) for a, b in zip(natural, minimum)],
        share_tokens(natural, minimum, total),
    )


@given(PICTURES, TOTALS)
@settings(max_examples=200)
def test_shares_keep_within_the_total_the_minimum_and_the_natural_size(pictures, total):
    natural, minimum, shares = _shared(pictures, total)
    assert sum(shares) <= total
    assert all(low <= share <= high for low, share, high in zip(minimum, shares, natural))


@given(PICTURES, TOTALS)
@settings(max_examples=100)
def test_no_more_than_one_token_a_picture_is_left_over(pictures, total):
    natural, _, shares = _shared(pictures, total)
    assert sum(shares) == sum(natural) or total - sum(shares) < len(pictures)


@given(PICTURES)
@settings(max_examples=50)
def test_a_total_that_suffices_leaves_every_picture_its_natural_size(pictures):
    natural, minimum = map(list, zip(*pictures))
    assert share_tokens(natural, minimum, sum(natural)) == natural


@given(PICTURES, TOTALS)
@settings(max_examples=100)
def test_the_order_of_pictures_makes_no_difference(pictures, total):
    _, _, shares = _shared(pictures, total)
    _, _, backwards = _shared(pictures[::-1], total)
    assert backwards[::-1] == shares


def test_equal_pictures_get_equal_shares():
    assert share_tokens([100, 100, 100], [10, 10, 10], 90) == [30, 30, 30]


def test_a_larger_picture_gets_the_larger_share():
    assert share_tokens([300, 100], [0, 0], 200) == [150, 50]


def test_a_total_below_the_minimums_is_refused_with_what_they_need():
    with pytest.raises(BudgetError, match="total_tokens=15 is less than the 20") as caught:
        share_tokens([100, 100], [10, 10], 15)
    assert "fewer pictures" in caught.value.hint
