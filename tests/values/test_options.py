from __future__ import annotations

import math
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit import PixelBudget, Sampling
from qwenvl_kit.errors import BudgetError, SamplingError
from qwenvl_kit.options import BUDGET_PRESETS, as_budget

COUNTS = st.integers(1, 10**6)


def test_a_sampling_is_greedy_unless_it_is_given_a_temperature():
    assert Sampling().is_greedy
    assert Sampling(temperature=0).is_greedy
    assert not Sampling(temperature=0.1).is_greedy


def test_one_stop_string_may_stand_without_a_list():
    assert Sampling(stop="###") == Sampling(stop=("###",)) == Sampling(stop=["###"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_new_tokens", 0),
        ("max_new_tokens", -1),
        ("max_new_tokens", 1.5),
        ("max_new_tokens", "10"),
        ("max_new_tokens", True),
        ("max_new_tokens", None),
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", 10**400),
        ("temperature", True),
        ("temperature", "warm"),
        ("top_k", 0),
        ("top_k", 2.0),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_p", -0.5),
        ("min_p", -0.1),
        ("min_p", 1.5),
        ("repetition_penalty", 0),
        ("repetition_penalty", -1.0),
        ("seed", -1),
        ("seed", 1.0),
        ("stop", ""),
        ("stop", ["fine", ""]),
        ("stop", [3]),
        ("stop", 3),
        ("stop", None),
        ("stop", b"bytes"),
        ("num_alternatives", -1),
        ("num_alternatives", None),
        ("prompt_lookup_tokens", 0),
        ("prompt_lookup_tokens", 2.0),
        ("prompt_lookup_tokens", True),
    ],
)
def test_a_setting_out_of_its_range_is_refused_by_name(name, value):
    with pytest.raises(SamplingError) as caught:
        Sampling(**{name: value})
    assert caught.value.problem.startswith(f"{name}=")
    assert caught.value.expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_new_tokens", 1),
        ("top_p", 1.0),
        ("min_p", 0.0),
        ("min_p", 1),
        ("seed", 0),
        ("prompt_lookup_tokens", 1),
    ],
)
def test_the_ends_of_a_range_belong_to_it(name, value):
    assert getattr(Sampling(temperature=1.0, **{name: value}), name) == value


@pytest.mark.parametrize("setting", [{"top_k": 5}, {"top_p": 0.9}, {"min_p": 0.1}])
def test_a_narrowed_choice_without_a_temperature_is_refused(setting):
    with pytest.raises(SamplingError, match="temperature"):
        Sampling(**setting)
    assert Sampling(temperature=0, **setting).is_greedy


def test_a_sampling_is_a_value():
    sampling = Sampling(temperature=0.5, stop=["a"])
    assert pickle.loads(pickle.dumps(sampling)) == sampling
    assert hash(sampling) == hash(Sampling(temperature=0.5, stop="a"))
    with pytest.raises(AttributeError):
        sampling.seed = 1


@pytest.mark.parametrize(
    ("name", "tokens"),
    [("quick", (256, 512)), ("standard", (512, 1024)), ("fine", (1024, 2048))],
)
def test_presets_are_in_tokens(name, tokens):
    assert as_budget(name) == PixelBudget(*tokens)


def test_the_native_budget_sets_no_limit():
    assert as_budget("native") == PixelBudget()


def test_the_presets_cannot_be_changed():
    with pytest.raises(TypeError):
        BUDGET_PRESETS["quick"] = PixelBudget()  # type: ignore[index]


@given(st.tuples(COUNTS, COUNTS, COUNTS))
@settings(max_examples=50)
def test_a_budget_takes_any_rising_limits(counts):
    low, high, total = sorted(counts)
    assert PixelBudget(low, high, total).max_tokens == high
    assert PixelBudget.from_pixels(low, high, total).total_pixels == total


@given(COUNTS, COUNTS)
@settings(max_examples=50)
def test_a_minimum_above_its_maximum_is_refused(low, difference):
    with pytest.raises(BudgetError, match="above"):
        PixelBudget(low + difference, low)
    with pytest.raises(BudgetError, match="above"):
        PixelBudget.from_pixels(low + difference, low)
    with pytest.raises(BudgetError, match="total"):
        PixelBudget(low + difference, total_tokens=low)


@pytest.mark.parametrize("value", [0, -1, 1.0, "256", True, math.nan])
@pytest.mark.parametrize("name", ["min_tokens", "max_tokens", "total_pixels"])
def test_a_limit_that_is_no_positive_whole_number_is_refused(name, value):
    with pytest.raises(BudgetError, match=name):
        PixelBudget(**{name: value})


def test_a_budget_does_not_mix_tokens_with_pixels():
    with pytest.raises(BudgetError, match="mixes"):
        PixelBudget(min_tokens=4, max_pixels=10**6)


@pytest.mark.parametrize(
    "choice", ["huge", "QUICK", "", 256, None, (256, 512), ["quick"], b"quick"]
)
def test_an_unknown_budget_is_refused_and_the_known_ones_are_named(choice):
    with pytest.raises(BudgetError) as caught:
        as_budget(choice)
    assert all(name in caught.value.expected for name in BUDGET_PRESETS)


def test_numbers_of_numpy_are_numbers():
    import numpy

    sampling = Sampling(max_new_tokens=numpy.int64(5), temperature=numpy.float32(0.5))
    assert sampling.max_new_tokens == 5
    assert PixelBudget(numpy.int32(4), numpy.int64(9)).max_tokens == 9
