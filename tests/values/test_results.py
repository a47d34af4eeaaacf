from __future__ import annotations

import math
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit import Failure, ImagePlan, Plan, Reply, Size, Timing, TokenScore, Usage, VideoPlan
from qwenvl_kit.errors import MediaNotFoundError

PLAN = Plan(
    prompt_tokens=10,
    visual_tokens=4,
    images=(ImagePlan("messages[0].parts[0]", Size(60, 50), Size(56, 56), 4),),
    videos=(VideoPlan("messages[0].parts[1]", Size(28, 28), Size(28, 28), (0,), (0.0,), 1),),
    max_new_tokens=5,
    context_tokens=100,
    kv_cache_bytes=None,
    activation_bytes=None,
    weight_bytes=None,
)
LOGPROBS = st.lists(st.floats(-50, 0), min_size=1, max_size=20)


def _reply(tokens, end_token=None):
    return Reply(
        text="".join(token.text for token in tokens or ()),
        finish_reason="stop",
        tokens=tokens,
        end_token=end_token,
        usage=Usage(10, 4, 2),
        timing=Timing(0.0, 0.0, 0.0, 0.0, 0.0),
        plan=PLAN,
    )


def _scores(logprobs):
    return tuple(TokenScore("x", index, value) for index, value in enumerate(logprobs))


@given(LOGPROBS)
@settings(max_examples=100)
def test_confidence_is_the_geometric_mean_of_the_tokens_probabilities(logprobs):
    reply = _reply(_scores(logprobs))
    assert 0.0 <= reply.confidence <= 1.0
    expected = math.prod(math.exp(value / len(logprobs)) for value in logprobs)
    assert reply.confidence == pytest.approx(expected, rel=1e-9)


@given(LOGPROBS)
@settings(max_examples=50)
def test_the_logprob_of_an_answer_is_that_of_all_its_tokens_together(logprobs):
    assert _reply(_scores(logprobs)).logprob == pytest.approx(math.fsum(logprobs))


def test_the_end_token_counts_for_confidence_though_it_has_no_text():
    reply = _reply(_scores([-1.0]), end_token=TokenScore("", 9, -3.0))
    assert reply.logprob == -4.0
    assert reply.confidence == pytest.approx(math.exp(-2.0))


@pytest.mark.parametrize("tokens", [None, ()])
def test_what_is_not_known_is_none_and_never_zero(tokens):
    assert _reply(tokens).confidence is None
    assert _reply(tokens).logprob is None


def test_a_raw_logprob_that_rounds_above_zero_does_not_make_a_confidence_above_one():
    assert _reply(_scores([1e-9])).confidence == 1.0


def test_a_replys_string_is_its_text():
    assert str(_reply((TokenScore("red", 0, -0.1),))) == "red"


def test_a_plan_finds_the_entry_of_each_part_by_its_place():
    assert PLAN.media == {
        "messages[0].parts[0]": PLAN.images[0],
        "messages[0].parts[1]": PLAN.videos[0],
    }


def test_a_size_names_its_sides_and_prints_width_first():
    assert Size(height_px=2, width_px=3).area_pixels == 6
    assert str(Size(height_px=2, width_px=3)) == "3 x 2 px"


def test_a_reply_survives_pickling():
    reply = _reply(_scores([-0.5, -0.25]))
    assert pickle.loads(pickle.dumps(reply)) == reply


def test_a_failure_survives_pickling_with_its_place():
    error = MediaNotFoundError("no file", where="requests[2].messages[0].parts[0]")
    failure = pickle.loads(pickle.dumps(Failure(2, error, "page-3")))
    assert (failure.index, failure.request_id) == (2, "page-3")
    assert failure.error.where == "requests[2].messages[0].parts[0]"
    assert str(failure).startswith("request 2 failed: MediaNotFoundError: requests[2].messages[0]")


class Counted(tuple[TokenScore, ...]):
    """Tokens that count how often all of them are gone through."""

    times = 0

    def __iter__(self):
        self.times += 1
        return super().__iter__()


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), max_size=9), st.integers(-1, 9), st.integers(-1, 9))
def test_the_tokens_of_a_part_are_those_that_wrote_any_of_it(lengths, start, stop):
    tokens = tuple(TokenScore("x" * length, at, -0.1) for at, length in enumerate(lengths))
    ends = [sum(lengths[: at + 1]) for at in range(len(lengths))]
    expected = tuple(
        token for token, end in zip(tokens, ends) if end - len(token.text) < stop and start < end
    )
    assert _reply(tokens).tokens_between(start, stop) == expected


def test_a_long_answer_is_gone_through_once_for_all_of_its_parts():
    tokens = Counted(TokenScore("word ", at, -0.1) for at in range(1000))
    reply = _reply(tokens)
    before = tokens.times
    for at in range(0, 5000, 5):
        assert len(reply.tokens_between(at, at + 5)) == 1
        assert reply.confidence_between(at, at + 5) == pytest.approx(math.exp(-0.1))
    assert tokens.times <= before + 2
    assert pickle.loads(pickle.dumps(reply)) == reply
