"""Files that were made to do harm do none: they end in a typed error, soon and in little memory."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import PIL.Image
import pytest

from qwenvl_kit.media.isolation.process import POOL
from tests.hostile.corpus import Hostile, corpus
from tests.hostile.outcomes import open_hostile

CASES = list(corpus())
SECONDS = 10.0
"""A hundred times what they take; a bomb that goes off takes minutes."""


@pytest.fixture(autouse=True, scope="module")
def no_process_is_left() -> Iterator[None]:
    yield
    POOL.close()


@pytest.mark.parametrize("apart", [False, True], ids=["here", "apart"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_ends_as_it_should_soon_and_in_little_memory(case: Hostile, apart: bool) -> None:
    outcome = open_hostile(case, apart=apart)
    if case.ends is None:
        assert outcome.error is None
    else:
        assert isinstance(outcome.error, case.ends)
    assert outcome.seconds < SECONDS
    assert outcome.num_bytes < 3 * len(case.content) + 8_000_000


def test_what_is_said_to_be_many_pictures_is() -> None:
    for case in CASES:
        if case.name.endswith("of 3,000 pictures"):
            with PIL.Image.open(io.BytesIO(case.content)) as image:
                assert getattr(image, "n_frames", 1) == 3_000


def test_none_of_them_makes_a_message_that_tells_where_things_are() -> None:
    for case in CASES:
        error = open_hostile(case, apart=False).error
        assert error is None or not re.search("0x|site-packages|/tmp", str(error))
