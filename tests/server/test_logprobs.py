"""A log-probability that is none costs an answer its scores, and never makes it look sure."""

from __future__ import annotations

import json
import math
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from qwenvl_kit import Sampling
from qwenvl_kit.backends.base import Completion
from qwenvl_kit.backends.server.logprobs import UNUSABLE
from qwenvl_kit.backends.server.rescoring import AnswerScorer

from .conftest import Connect
from .malice import event, sending
from .speaking import Speaker

GOOD = -0.25
IMPOSSIBLE = float("-inf")
NONE = [
    *(float("nan"), float("inf"), IMPOSSIBLE, 0.01, 5, 10**400, True, False, None),
    *("-0.25", "NaN", [], {}, [-0.25]),
]
"""What a server may write in place of a log-probability, as Python reads it."""

OF_ALTERNATIVES = [value for value in NONE if value != IMPOSSIBLE]


def answer(logprob: Any, alternative: Any = GOOD) -> Speaker:
    others = [{"token": " blue", "logprob": alternative}]
    entries = [
        {"token": "A", "logprob": GOOD, "top_logprobs": []},
        {"token": " circle.", "logprob": logprob, "top_logprobs": others},
    ]
    pieces = [
        event({"content": entry["token"]}, logprobs={"content": [entry]}) for entry in entries
    ]
    return Speaker(failures=deque([sending(lambda: [*pieces, event({}, "stop")])]))


@pytest.mark.parametrize(
    ("of_token", "of_alternative"),
    [*((value, GOOD) for value in NONE), *((GOOD, value) for value in OF_ALTERNATIVES)],
    ids=repr,
)
def test_what_is_no_logprob_leaves_an_answer_without_scores_and_says_so(
    connect: Connect, of_token: Any, of_alternative: Any
) -> None:
    with connect(answer(of_token, of_alternative)).stream(
        "What?", sampling=Sampling(num_alternatives=1)
    ) as stream:
        deltas = list(stream)
    reply = stream.reply
    assert reply.text == "A circle."
    assert "".join(delta.text for delta in deltas) == "A circle."
    assert (reply.tokens, reply.confidence, reply.logprob) == (None, None, None)
    assert reply.warnings == (UNUSABLE,)
    assert reply.usage.completion_tokens == 2


def test_a_token_that_is_impossible_is_no_alternative(connect: Connect) -> None:
    """SGLang 2955 and others: as many are told as were asked for, whatever is left of them."""
    reply = connect(answer(GOOD, IMPOSSIBLE)).ask("?", sampling=Sampling(num_alternatives=1))
    assert [token.alternatives for token in reply.tokens or ()] == [(), ()]
    assert reply.warnings == ()


@pytest.mark.parametrize("value", [0, 0.0, -0.0, 1e-7, -1e-7, -9999.0, -3])
def test_what_is_a_logprob_but_for_rounding_is_one(connect: Connect, value: float) -> None:
    reply = connect(answer(value)).ask("What?", sampling=Sampling(num_alternatives=1))
    assert reply.tokens is not None
    assert reply.tokens[1].logprob == min(0.0, value)
    assert reply.confidence == pytest.approx(math.exp((GOOD + min(0.0, value)) / 2))
    assert reply.warnings == ()


@pytest.mark.parametrize("value", NONE, ids=repr)
@pytest.mark.parametrize("place", ["prompt", "end"])
def test_of_an_answer_that_is_scored_afterwards_the_same_holds(value: Any, place: str) -> None:
    vocabulary: Any = SimpleNamespace(
        end_ids=[9],
        text=str,
        special_text=lambda _: "",
        stream=lambda: SimpleNamespace(feed=lambda _: "A", flush=lambda: ""),
    )
    payload = {"messages": [], "extra_body": {}, "max_tokens": 1}
    scorer = AnswerScorer(payload, 1, 0, vocabulary)
    of_prompt, of_end = (value, GOOD) if place == "prompt" else (GOOD, value)
    said = {
        "prompt_token_ids": [1, 2],
        "prompt_logprobs": [None, {"2": {"logprob": of_prompt}}],
        "choices": [{"logprobs": {"content": [{"token": "token_id:9", "logprob": of_end}]}}],
    }
    completion = Completion("A", "stop", None, None, 1)
    scored = scorer.add_scores(completion, said)
    assert (scored.tokens, scored.end_token, scored.warnings) == (None, None, (UNUSABLE,))
    good = scorer.add_scores(completion, json.loads(json.dumps(said | _good())))
    assert good.tokens is not None
    assert good.end_token is not None


def _good() -> dict[str, Any]:
    return {
        "prompt_logprobs": [None, {"2": {"logprob": GOOD}}],
        "choices": [{"logprobs": {"content": [{"token": "token_id:9", "logprob": GOOD}]}}],
    }
