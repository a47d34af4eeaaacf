"""Given answers are scored as if each were asked for, and their prompt is read once."""

from __future__ import annotations

import sys
from typing import Any

import PIL.Image
import pytest
import torch

from qwenvl_kit import ImagePart, Message, Reply, VisionChat
from qwenvl_kit.backends.local import LocalBackend
from qwenvl_kit.backends.local.engine import engine, scoring
from qwenvl_kit.backends.local.engine.model_runner import ModelRunner
from qwenvl_kit.errors import OutOfMemoryError, SchemaError
from qwenvl_kit.processing.positions import PositionEncoder
from qwenvl_kit.processing.prompt_encoder import PromptEncoder
from qwenvl_kit.structured_output.constraints import Constraint

RED = PIL.Image.new("RGB", (84, 56), "red")
ASKED = [
    Message.user("Which?", ImagePart(RED)),
    Message.user("What is it, then, in a word?"),
    "And now?",
]
ANSWERS = ["a cat", "dog", "x", "a much longer answer than these", "café"]


def scores_of(reply: Reply) -> list[tuple[int | None, float]]:
    return [(score.token_id, pytest.approx(score.logprob, abs=1e-4)) for score in reply.scores]


def asked_for(chat: VisionChat, request: Any, answer: str) -> Reply:
    return chat.ask(request, constraint=Constraint.from_choices([answer]))


def test_given_answers_have_the_tokens_and_scores_of_asking_for_each(chat: VisionChat) -> None:
    for request, replies in zip(ASKED, chat.score(ASKED, ANSWERS), strict=True):
        for answer, reply in zip(ANSWERS, replies, strict=True):
            alone = asked_for(chat, request, answer)
            assert (reply.text, reply.finish_reason) == (answer, "stop")
            assert scores_of(reply) == scores_of(alone)
            assert "".join(token.text for token in reply.tokens or ()) == answer


def test_marks_of_places_are_scored_as_the_tokens_that_a_model_writes(chat: VisionChat) -> None:
    ((reply,),) = chat.score(ASKED[:1], ["<|box_start|>(1,2),(3,4)<|box_end|>"])
    backend = chat._pipeline.backend
    assert isinstance(backend, LocalBackend)
    known = backend._engine.encoder.token_id
    ids = [score.token_id for score in reply.tokens or ()]
    assert (ids[0], ids[-1]) == (known("<|box_start|>"), known("<|box_end|>"))
    assert len(ids) > 2


def test_scores_do_not_depend_on_what_is_scored_with_them(chat: VisionChat) -> None:
    chat.clear_cache()
    together = chat.score(ASKED, ANSWERS)
    for request, replies in zip(ASKED, together, strict=True):
        for answer, reply in zip(ANSWERS, replies, strict=True):
            ((alone,),) = chat.score([request], [answer])
            assert scores_of(alone) == scores_of(reply)


def test_a_long_answer_is_scored_in_parts_with_the_same_scores(
    chat: VisionChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = chat.score(ASKED, ANSWERS)
    monkeypatch.setattr(scoring, "_MAX_LOGITS", 1)
    parts = chat.score(ASKED, ANSWERS)
    assert [[*map(scores_of, each)] for each in parts] == [
        [*map(scores_of, each)] for each in whole
    ]


def test_the_prompt_of_many_answers_is_prepared_and_read_once(
    chat: VisionChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = dict[str, int]()

    def counted(owner: Any, name: str) -> None:
        run = getattr(owner, name)

        def count(*args: Any, **options: Any) -> Any:
            calls[name] = calls.get(name, 0) + 1
            return run(*args, **options)

        monkeypatch.setattr(owner, name, count)

    counted(engine, "digest_of")
    counted(PositionEncoder, "encode_positions")
    counted(PromptEncoder, "_encode")
    counted(ModelRunner, "prefill")
    counted(ModelRunner, "step")
    chat.clear_cache()
    answers = [f"{number:03}" for number in range(300)]
    picture = PIL.Image.new("RGB", (56, 56), "blue")
    chat.score([Message.user("Which of these many?", ImagePart(picture))], answers)
    steps = calls.pop("step")
    assert calls == dict.fromkeys(("digest_of", "encode_positions", "_encode", "prefill"), 1)
    assert steps == -(-300 // 64)


def test_the_work_of_answers_grows_with_their_number(chat: VisionChat) -> None:
    """By calls of functions, since times are for benchmarks."""

    def num_calls(num_answers: int) -> int:
        calls = 0

        def count_call(_: object, event: str, __: object) -> None:
            nonlocal calls
            calls += event in ("call", "c_call")

        answers = [f"{number:04}" for number in range(num_answers)]
        sys.setprofile(count_call)
        try:
            chat.score(["Which?"], answers)
        finally:
            sys.setprofile(None)
        return calls

    num_calls(10)
    assert num_calls(800) < 2.2 * num_calls(400)


def test_fewer_answers_are_scored_together_where_memory_runs_out(
    chat: VisionChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [reply.logprob for reply in chat.score(["Which?"], ANSWERS)[0]]
    step = ModelRunner.step

    def limited(self: Any, cache: Any, mask: Any, ids: Any, positions: Any) -> Any:
        if len(ids) > 2:
            raise torch.OutOfMemoryError("injected")
        return step(self, cache, mask, ids, positions)

    monkeypatch.setattr(ModelRunner, "step", limited)
    (replies,) = chat.score(["Which?"], ANSWERS)
    assert [reply.logprob for reply in replies] == pytest.approx(expected, abs=1e-4)
    assert any("memory ran out" in each for each in replies[0].plan.degradations)


def test_scoring_that_finds_no_memory_fails_and_costs_no_other_request(
    chat: VisionChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> Any:
        raise torch.OutOfMemoryError("injected")

    with monkeypatch.context() as patched:
        patched.setattr(ModelRunner, "step", failing)
        with pytest.raises(OutOfMemoryError):
            chat.score(["Which?"], ANSWERS)
    assert chat.ask("Which?").text
    assert chat.health().is_idle


def test_a_model_that_thinks_first_is_asked_for_each_answer(
    chat: VisionChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = chat.score(ASKED, ANSWERS)
    monkeypatch.setattr(LocalBackend, "can_score", lambda *_: False)
    asked = chat.score(ASKED, ANSWERS)
    assert [[*map(scores_of, each)] for each in asked] == [
        [*map(scores_of, each)] for each in scored
    ]


def test_an_answer_without_room_says_so(chat: VisionChat) -> None:
    (replies,) = chat.score(["Which?"], ["y", "x " * 20_000])
    assert [reply.finish_reason for reply in replies] == ["stop", "length"]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([], r"answers=\[\] were given"),
        ("red", "answers='red' were given"),
        (["a", "a"], "'a' was given twice"),
        (["a", ""], r"answers\[1\]"),
        (["a", "\ud800"], r"answers\[1\]"),
        ([b"red"], r"answers\[0\]"),
        (["red", "<|im_end|>"], r"answers\[1\]: .* holds a special token"),
    ],
)
def test_answers_that_cannot_be_scored_are_refused_by_their_own_name(
    chat: VisionChat, answers: Any, said: str
) -> None:
    with pytest.raises(SchemaError, match=said):
        chat.score(["Which?"], answers)


def test_answers_may_come_from_a_generator(chat: VisionChat) -> None:
    (replies,) = chat.score(iter(["Which?"]), (text for text in ("a", "b")))
    assert [reply.text for reply in replies] == ["a", "b"]
