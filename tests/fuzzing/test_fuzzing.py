"""Strangers' bytes end in a value or in a typed error; in small here, in large by the program."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from tests.fuzzing.mutation import inputs
from tests.fuzzing.outcomes import TARGETS, outcome


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TARGETS)
def test_whatever_bytes_come_the_outcome_is_a_value_or_a_typed_error(name: str) -> None:
    target = TARGETS[name]
    ends = Counter(outcome(target, content) for content in islice(inputs(name, target.seeds), 250))
    assert ends["taken"]
