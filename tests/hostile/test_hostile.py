"""Files that were made to do harm do none: they end in a typed error, soon and in little memory."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import PIL.Image
import pytest

from qwenvl_kit.media.isolation.process_pool import POOL
from tests.hostile.cases import Hostile
from tests.hostile.corpus import corpus
from tests.hostile.outcomes import WAYS, open_hostile, policy_of

CASES = list(corpus())
SPARE_BYTES = 64 * 2**20
"""What a file may take beyond its bytes and pixels of four bytes each."""

SECONDS = 10.0
"""A hundred times what they take; a bomb that goes off takes minutes."""


@pytest.fixture(autouse=True, scope="module")
def no_process_is_left() -> Iterator[None]:
    yield
    POOL.close()


@pytest.mark.parametrize(
    ("case", "way"),
    [
        # What is apart by default is apart once more; the other pictures are long there.
        pytest.param(
            case, way, id=f"{case.name}, {way}", marks=[pytest.mark.long] * (way == "apart")
        )
        for case in CASES
        for way in WAYS
        if case.is_bounded_here or way != "here"
    ],
)
def test_it_ends_as_it_should_soon_and_in_little_memory(case: Hostile, way: str) -> None:
    outcome = open_hostile(case, way)
    if case.ends is None or (case.may_be_taken and outcome.error is None):
        assert outcome.error is None
    else:
        assert isinstance(outcome.error, case.ends)
    assert outcome.seconds < SECONDS
    if way == "here":
        assert outcome.num_bytes < 3 * len(case.content) + 8_000_000
    else:
        policy = policy_of(case, way)
        assert outcome.num_bytes < policy.max_bytes + 4 * policy.max_pixels + SPARE_BYTES


def test_what_is_said_to_be_many_pictures_is() -> None:
    for case in CASES:
        if case.name.endswith("of 3,000 pictures"):
            with PIL.Image.open(io.BytesIO(case.content)) as image:
                assert getattr(image, "n_frames", 1) == 3_000


def test_none_of_them_makes_a_message_that_tells_where_things_are() -> None:
    for case in CASES:
        error = open_hostile(case, "here").error if case.is_bounded_here else None
        assert error is None or not re.search("0x|site-packages|/tmp", str(error))
