"""Scores are those of the raw distribution, whatever the sampling, batch and end of an answer."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from qwenvl_kit import Message, Reply, Request, Sampling, VisionChat
from qwenvl_kit.backends.local import LocalBackend
from tests.by_hand import CONVERSATIONS, generate_by_hand, kit_batch

SAMPLED = Sampling(max_new_tokens=10, temperature=0.6, top_k=5, top_p=0.9, seed=3)


def rescore(backend: LocalBackend, inputs: dict[str, Any], reply: Reply) -> torch.Tensor:
    """Log-probabilities of a reply's tokens by one forward pass over prompt and answer."""
    assert reply.tokens is not None
    scores = [*reply.tokens, *([reply.end_token] if reply.end_token else [])]
    answer = torch.tensor([[score.token_id for score in scores]])
    full = {
        **inputs,
        "input_ids": torch.cat([inputs["input_ids"], answer], dim=1),
        "attention_mask": torch.cat([inputs["attention_mask"], torch.ones_like(answer)], dim=1),
        "mm_token_type_ids": torch.cat(
            [inputs["mm_token_type_ids"], torch.zeros_like(answer)], dim=1
        ),
    }
    with torch.inference_mode():
        logits = backend.model(**full).logits[:, -answer.shape[1] - 1 : -1]
    return torch.log_softmax(logits.float(), -1).gather(-1, answer[..., None])[0, :, 0]


@pytest.mark.parametrize(
    "sampling", [Sampling(max_new_tokens=10), SAMPLED], ids=["greedy", "sampled"]
)
def test_logprobs_are_those_of_teacher_forced_rescoring(
    chat: VisionChat, backend: LocalBackend, conversation: list[Message], sampling: Sampling
) -> None:
    reply = chat.ask(conversation, sampling=sampling)
    expected = rescore(backend, kit_batch(chat, [conversation]), reply)
    scores = [*(reply.tokens or ()), *([reply.end_token] if reply.end_token else [])]
    ours = torch.tensor([score.logprob for score in scores])
    torch.testing.assert_close(ours, expected, atol=2e-4, rtol=0)


def test_sampling_does_not_make_tokens_look_surer_than_they_are(
    chat: VisionChat, backend: LocalBackend
) -> None:
    messages = CONVERSATIONS["one image"]
    reply = chat.ask(messages, sampling=SAMPLED)
    torch.manual_seed(3)
    out, _ = generate_by_hand(
        backend,
        kit_batch(chat, [messages]),
        max_new_tokens=10,
        do_sample=True,
        temperature=0.6,
        top_k=5,
        top_p=0.9,
    )
    warped = backend.model.compute_transition_scores(
        out.sequences, out.scores, normalize_logits=True
    )
    assert reply.logprob is not None
    assert reply.logprob < float(warped.sum()) - 1.0


def ending_at(backend: LocalBackend, token_id: int) -> VisionChat:
    """The same model, for which another token ends an answer."""
    return VisionChat(LocalBackend(replace(backend._loaded, end_ids=frozenset({token_id}))))


def without_an_end(chat: VisionChat, messages: list[Message], sampling: Sampling) -> Sampling:
    """The settings with a seed by which the answer has all of its tokens."""
    seeded = (replace(sampling, seed=seed) for seed in range(40))
    return next(
        each for each in seeded if chat.ask(messages, sampling=each).finish_reason == "length"
    )


def test_a_row_that_ended_keeps_its_scores_while_others_go_on(
    chat: VisionChat, backend: LocalBackend
) -> None:
    short, long = CONVERSATIONS["one image"], CONVERSATIONS["two images"]
    sampling = without_an_end(chat, short, Sampling(max_new_tokens=12, temperature=1.3))
    first = chat.ask(short, sampling=sampling)
    assert first.tokens is not None
    end_id = first.tokens[4].token_id
    at = [score.token_id for score in first.tokens].index(end_id)
    other = ending_at(backend, end_id)
    longer = (replace(sampling, seed=seed) for seed in range(6, 60))
    later = next(
        each
        for each in longer
        if end_id not in [score.token_id for score in chat.ask(long, sampling=each).tokens or ()]
    )
    ended, went_on = other.ask_many(
        [Request(short), Request(long, sampling=later)],
        sampling=sampling,
        on_error="raise",
    )
    assert ended.finish_reason == "stop"
    assert ended.tokens is not None
    assert ended.end_token is not None
    assert ended.end_token.token_id == end_id
    assert len(ended.tokens) == at
    expected = [score.logprob for score in first.tokens[: at + 1]]
    ours = [score.logprob for score in (*ended.tokens, ended.end_token)]
    assert ours == pytest.approx(expected, abs=1e-4)
    assert ended.usage.completion_tokens == at + 1
    assert went_on.usage.completion_tokens > ended.usage.completion_tokens


def test_the_end_token_counts_in_confidence_and_not_in_the_text(
    chat: VisionChat, backend: LocalBackend
) -> None:
    messages = CONVERSATIONS["one image"]
    sampling = without_an_end(chat, messages, Sampling(max_new_tokens=6, temperature=1.3))
    first = chat.ask(messages, sampling=sampling)
    assert first.tokens is not None
    reply = ending_at(backend, first.tokens[3].token_id).ask(messages, sampling=sampling)
    assert reply.tokens is not None
    assert reply.end_token is not None
    scores = [*reply.tokens, reply.end_token]
    mean = sum(score.logprob for score in scores) / len(scores)
    assert reply.confidence == pytest.approx(math.exp(mean))
    assert reply.text == "".join(score.text for score in reply.tokens if not score.is_hidden)


def test_alternatives_are_the_likeliest_tokens_in_order(chat: VisionChat) -> None:
    reply = chat.ask(
        CONVERSATIONS["one image"], sampling=Sampling(max_new_tokens=5, num_alternatives=4)
    )
    assert reply.tokens is not None
    for score in reply.tokens:
        logprobs = [alternative.logprob for alternative in score.alternatives]
        assert logprobs == sorted(logprobs, reverse=True)
        assert len(logprobs) == 4
        assert score.alternatives[0].token_id == score.token_id
        assert score.alternatives[0].logprob == pytest.approx(score.logprob)
        assert sum(alternative.logprob < 0 for alternative in score.alternatives) == 4
