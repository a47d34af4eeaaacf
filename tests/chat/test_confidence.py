"""An answer that is not sure enough says so; other answers to the same question tell more."""

from __future__ import annotations

import math
from pathlib import Path

import PIL.Image
import pytest

from qwenvl_kit import Request, Sampling, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.calibration import Calibrator
from qwenvl_kit.errors import GenerationError, InputError, SamplingError

RED = PIL.Image.new("RGB", (56, 56), "red")


def chat_of(*script: object, logprob: float | None = -0.5) -> VisionChat:
    return VisionChat(ScriptedBackend(script, logprob=logprob))  # type: ignore[arg-type]


def test_an_answer_that_is_less_sure_than_asked_for_abstains_and_keeps_its_text() -> None:
    chat = chat_of("a cup", "a cup", "a cup")
    assert chat.ask("?", RED, abstain_below=0.7).is_abstained
    assert not chat.ask("?", RED, abstain_below=0.6).is_abstained
    reply = chat.ask("?", RED)
    assert not reply.is_abstained
    assert reply.text == "a cup"


def test_without_scores_nothing_is_sure_enough() -> None:
    assert chat_of("a", logprob=None).ask("?", abstain_below=0.1).is_abstained


def test_each_of_many_requests_may_have_a_threshold_of_its_own() -> None:
    requests = [Request("?", abstain_below=0.1), Request("?"), Request("?", abstain_below=0.9)]
    replies = chat_of("a", "b", "c").ask_many(requests, abstain_below=0.7, on_error="raise")
    assert [reply.is_abstained for reply in replies] == [False, True, True]


def test_a_reply_from_a_journal_is_judged_as_this_run_judges(tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"
    half = Calibrator("isotonic", "mean", points=((0.0, 0.5), (1.0, 0.5)))
    first = VisionChat(ScriptedBackend(["a"]), calibrator=half)
    (kept,) = first.ask_many(["?"], journal=journal, abstain_below=0.9, on_error="raise")
    assert kept.is_abstained
    (again,) = chat_of().ask_many(["?"], journal=journal, abstain_below=0.6, on_error="raise")
    assert again.text == "a"
    assert again.confidence == again.raw_confidence
    assert not again.is_abstained


@pytest.mark.parametrize("threshold", [-0.1, 1.1, "0.5", True, float("nan")])
def test_a_threshold_is_a_number_between_0_and_1(threshold: object) -> None:
    with pytest.raises(InputError, match="abstain_below"):
        chat_of("a").ask("?", abstain_below=threshold)  # type: ignore[arg-type]


def test_samples_that_say_the_same_agree_but_for_case_and_white_space() -> None:
    reply = chat_of("A cup.", "a  cup", "A plate.", "a cup.", "none").ask("?", num_samples=4)
    assert reply.text == "A cup."
    assert reply.samples == ("a  cup", "A plate.", "a cup.", "none")
    assert reply.agreement == 0.5
    assert chat_of("a").ask("?").agreement is None


def test_samples_are_by_chance_and_differ_in_their_seeds() -> None:
    backend = ScriptedBackend(["a"] * 3)
    VisionChat(backend).ask("?", sampling=Sampling(seed=7), num_samples=2)
    answer, *samples = (request.sampling for request in backend.requests)
    assert answer.is_greedy
    assert [(sample.temperature, sample.seed) for sample in samples] == [(0.7, 8), (0.7, 9)]


def test_a_sample_that_fails_costs_no_other() -> None:
    reply = chat_of("a", GenerationError("no"), "a").ask("?", num_samples=2)
    assert reply.samples == ("a",)
    with pytest.raises(GenerationError):
        chat_of(GenerationError("no"), "a").ask("?", num_samples=1)


@pytest.mark.parametrize("count", [-1, 65, 1.5, True])
def test_a_number_of_samples_that_cannot_be_meant_is_refused(count: object) -> None:
    with pytest.raises(SamplingError, match="num_samples"):
        chat_of("a").ask("?", num_samples=count)  # type: ignore[arg-type]


def test_a_part_of_an_answer_has_a_confidence_of_its_own() -> None:
    reply = chat_of("one two three").ask("?")
    assert reply.confidence_between(0, 3) == pytest.approx(math.exp(-0.5))
    assert reply.probability_between(2, 6) == pytest.approx(math.exp(-1.0))
    assert reply.confidence_between(3, 3) is None
    assert reply.probability_between(50, 60) is None
