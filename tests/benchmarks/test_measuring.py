"""What benchmarks say of the times that they measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

import pytest

from tests.benchmarks.measuring import (
    Case,
    Growth,
    Outcome,
    Run,
    Samples,
    at_once,
    duration,
    measure,
    percentile,
    rows_of,
    table,
    told_ratio,
    told_spread,
)


def outcome(kit: Sequence[float], other: Sequence[float]) -> Outcome:
    return Outcome([[Run(seconds)] for seconds in kit], [[Run(seconds)] for seconds in other])


def side(*seconds: float, answers: Sequence[str] = ()) -> Callable[[], Run]:
    """A side whose rounds take these times, the first of which is not counted."""
    times = iter(seconds)
    return lambda: Run(next(times), answers=answers)


def test_a_ratio_above_one_means_that_the_kit_is_faster() -> None:
    assert outcome([1.0], [3.0]).ratio == 3.0
    assert outcome([3.0], [1.0]).ratio == pytest.approx(1 / 3)


def test_ratios_are_taken_round_by_round_and_not_of_the_medians() -> None:
    found = outcome([1.0, 2.0, 10.0], [2.0, 6.0, 10.0])
    assert found.ratios == [1.0, 2.0, 3.0]
    assert (found.ratio, told_spread(found)) == (2.0, "1.00 - 3.00")


@pytest.mark.parametrize(
    ("kit", "other", "told"),
    [
        ([1.0, 1.0], [2.0, 3.0], "**2.50x**"),
        ([2.0, 4.0], [1.0, 1.0], "**0.38x**"),
        ([1.0, 1.0], [0.9, 1.2], "1.05x, no difference"),
        ([1.0, 1.0], [1.0, 1.2], "1.10x, no difference"),
        ([1.0], [2.0], "2.00x, one round"),
    ],
)
def test_a_spread_that_includes_one_is_no_difference(
    kit: list[float], other: list[float], told: str
) -> None:
    assert told_ratio(outcome(kit, other)) == told


def test_the_sides_take_turns_after_a_round_that_is_not_counted() -> None:
    order = list[str]()

    def named(name: str) -> Callable[[], Run]:
        def run() -> Run:
            order.append(name)
            return Run(1.0)

        return run

    case = Case("", named("kit"), {"a": named("a"), "b": named("b")})
    measure(case, at_once, rounds=2)
    assert order == ["kit", "a", "b"] * 3


def test_a_slow_side_is_compared_with_the_rounds_in_which_it_ran() -> None:
    case = Case("", side(9, 1, 2, 4), {"fast": side(9, 2, 4, 8), "slow": side(10)}, {"slow": 1})
    found = measure(case, at_once, rounds=3)
    assert found["fast"].ratios == [2, 2, 2]
    assert found["slow"].ratios == [10]


def test_several_runs_of_a_round_are_one_ratio() -> None:
    case = Case("", side(9, 9, 1, 3, 2, 2), {"other": side(9, 9, 6, 2, 2, 2)}, num_pairs=2)
    # the round that is not counted runs each side once
    case.kit(), case.others["other"]()
    assert measure(case, at_once, rounds=2)["other"].ratios == [1, 2]


def test_a_row_counts_the_answers_that_are_the_same() -> None:
    case = Case(
        "task",
        side(1, 1, 1, answers=["a", "b "]),
        {"same": side(1, 2, 2, answers=["a", "b"]), "unlike": side(1, 2, 2, answers=["a", "c"])},
    )
    same, unlike = rows_of(case, measure(case, at_once, rounds=2))
    assert "| 4/4 |" in same
    assert "| 2/4 |" in unlike


def test_drawn_answers_are_not_called_the_same() -> None:
    case = Case("", side(1, 1, answers=["a"]), {"o": side(1, 1, answers=["a"])}, are_drawn=True)
    (row,) = rows_of(case, measure(case, at_once, rounds=1))
    assert "| drawn |" in row


def test_sides_with_unlike_numbers_of_answers_are_an_error() -> None:
    found = Outcome([[Run(1.0, answers=["a", "b"])]], [[Run(1.0, answers=["a"])]])
    with pytest.raises(ValueError, match="shorter"):
        _ = found.agreement


def test_processor_time_is_told_only_where_both_sides_know_it() -> None:
    known = Outcome([[Run(1.0, 2.0)]], [[Run(1.0, 3.0)]])
    assert known.cpu_ratio == 1.5
    assert Outcome([[Run(1.0, 2.0)]], [[Run(1.0)]]).cpu_ratio is None


def test_a_row_has_a_cell_for_each_column() -> None:
    from tests.benchmarks.measuring import COLUMNS

    case = Case("task", side(1, 1), {"other": side(1, 1)})
    lines = table(COLUMNS, rows_of(case, measure(case, at_once, rounds=1)))
    assert len({line.count("|") for line in lines}) == 1


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1), (0.985, 99)]
)
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(
    share: float, expected: int
) -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert percentile(values, share) == expected
    assert sum(value <= expected for value in values) >= share * 100


def test_a_percentile_of_few_values_is_one_of_them() -> None:
    assert percentile([3.0], 0.99) == 3.0
    assert percentile([1.0, 2.0, 3.0], 0.5) == 2.0
    with pytest.raises(ValueError, match="0 values"):
        percentile([], 0.5)


@pytest.mark.parametrize(
    ("start", "end", "told"),
    [
        (1.0, 1.1, "1.10, constant within 10%"),
        (1.0, 0.9, "0.90, constant within 10%"),
        (1.0, 1.12, "1.12, grows"),
        (1.0, 0.5, "0.50, falls"),
    ],
)
def test_a_cost_is_constant_within_a_tenth(start: float, end: float, told: str) -> None:
    assert str(Growth(start, end)) == told


def test_times_are_told_with_three_digits() -> None:
    told = [duration(seconds) for seconds in (0.0012345, 0.012345, 0.12345, 1.2345, 12.345)]
    assert told == ["1.23 ms", "12.3 ms", "123 ms", "1234 ms", "12.3 s"]


def test_samples_are_told_by_their_median_and_spread() -> None:
    assert Samples([3.0, 1.0, 2.0]).told("{:.0f} s".format) == "2 s (1 s - 3 s)"
    assert Samples([2.0]).told("{:.0f} s".format) == "2 s"


def test_a_side_waits_for_threads_of_the_other() -> None:
    import threading

    from tests.benchmarks.measuring import alone

    ended, order = threading.Event(), count()
    numbers = dict[str, int]()

    def linger() -> None:
        ended.wait()
        numbers["other"] = next(order)

    thread = threading.Thread(target=linger, name="qwenvl_kit scheduler")
    thread.start()
    threading.Timer(0.05, ended.set).start()
    numbers["side"] = alone(lambda: next(order))
    thread.join()
    assert numbers == {"other": 0, "side": 1}
