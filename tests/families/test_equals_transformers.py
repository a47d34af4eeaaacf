"""The kit gives what transformers gives when it is called by hand with care."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from qwenvl_kit import Message, Reply, Sampling, VisionChat
from qwenvl_kit.backends.local import LocalBackend
from tests.by_hand import (
    CONVERSATIONS,
    assert_drawn_like_generate,
    by_hand,
    generate_by_hand,
    ids_of,
    kit_batch,
)


def test_prompt_ids_pixels_grids_and_masks_are_those_of_the_processor(
    chat: VisionChat, backend: LocalBackend, conversation: list[Message]
) -> None:
    ours, theirs = kit_batch(chat, [conversation]), by_hand(backend, [conversation])
    for name in theirs:
        assert torch.equal(ours[name], theirs[name]), name
    assert set(ours) == set(theirs)


def test_a_mixed_batch_is_padded_as_the_processor_pads_it(
    chat: VisionChat, backend: LocalBackend
) -> None:
    mixed = [list(messages) for messages in CONVERSATIONS.values()]
    ours, theirs = kit_batch(chat, mixed), by_hand(backend, mixed)
    for name in theirs:
        assert torch.equal(ours[name], theirs[name]), name


def test_the_plan_counts_what_the_processor_makes(
    chat: VisionChat, backend: LocalBackend, conversation: list[Message]
) -> None:
    plan, inputs = chat.plan(conversation), by_hand(backend, [conversation])
    side_px = backend.rules.family.patch_side_px
    assert plan.prompt_tokens == inputs["input_ids"].shape[1]
    for plans, grid in ((plan.images, "image_grid_thw"), (plan.videos, "video_grid_thw")):
        rows = inputs[grid].tolist() if grid in inputs else []
        assert [entry.tokens for entry in plans] == [t * h * w // 4 for t, h, w in rows]
        assert [(entry.resized.height_px, entry.resized.width_px) for entry in plans] == [
            (h * side_px, w * side_px) for _, h, w in rows
        ]


def test_greedy_tokens_are_those_of_generate(
    chat: VisionChat, backend: LocalBackend, conversation: list[Message]
) -> None:
    reply = chat.ask(conversation, sampling=Sampling(max_new_tokens=12))
    _, tokens = generate_by_hand(backend, kit_batch(chat, [conversation]), max_new_tokens=12)
    assert ids_of(reply) == tokens[0].tolist()


def test_an_answer_ends_where_generate_ends_it(chat: VisionChat, backend: LocalBackend) -> None:
    messages = CONVERSATIONS["one image"]
    sampling = Sampling(max_new_tokens=30, repetition_penalty=1.5)
    end_id = ids_of(chat.ask(messages, sampling=sampling))[9]
    ended = VisionChat(LocalBackend(replace(backend._loaded, end_ids=frozenset({end_id}))))
    _, tokens = generate_by_hand(
        backend,
        kit_batch(chat, [messages]),
        max_new_tokens=30,
        repetition_penalty=1.5,
        eos_token_id=end_id,
    )
    assert len(tokens[0]) <= 10
    assert ids_of(ended.ask(messages, sampling=sampling)) == tokens[0].tolist()


def test_logprobs_are_those_of_compute_transition_scores(
    chat: VisionChat, backend: LocalBackend, conversation: list[Message]
) -> None:
    reply = chat.ask(conversation, sampling=Sampling(max_new_tokens=12))
    out, _ = generate_by_hand(backend, kit_batch(chat, [conversation]), max_new_tokens=12)
    expected = backend.model.compute_transition_scores(
        out.sequences, out.logits, normalize_logits=True
    )
    assert reply.tokens is not None
    ours = torch.tensor([score.logprob for score in reply.tokens])
    torch.testing.assert_close(ours, expected[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"temperature": 1.0}, {}),
        ({"temperature": 0.7, "top_k": 20}, {"temperature": 0.7, "top_k": 20}),
        ({"temperature": 1.5, "top_p": 0.8}, {"temperature": 1.5, "top_p": 0.8}),
        ({"temperature": 0.9, "min_p": 0.05}, {"temperature": 0.9, "min_p": 0.05}),
        (
            {"temperature": 1.0, "repetition_penalty": 1.3},
            {"repetition_penalty": 1.3},
        ),
    ],
    ids=["temperature alone", "top-k", "top-p", "min-p", "repetition penalty"],
)
def test_a_token_is_drawn_from_the_distribution_of_generate(
    chat: VisionChat, backend: LocalBackend, ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    settings = {"top_k": 0, "top_p": 1.0, **theirs}
    inputs = kit_batch(chat, [CONVERSATIONS["one image"]])
    sampling = Sampling(max_new_tokens=16, seed=11, **ours)
    assert_drawn_like_generate(backend, sampling, inputs, max_new_tokens=16, **settings)


def test_a_greedy_repetition_penalty_is_that_of_generate(
    chat: VisionChat, backend: LocalBackend
) -> None:
    messages = CONVERSATIONS["one image"]
    sampling = Sampling(max_new_tokens=16, repetition_penalty=1.5)
    reply = chat.ask(messages, sampling=sampling)
    _, tokens = generate_by_hand(
        backend, kit_batch(chat, [messages]), max_new_tokens=16, repetition_penalty=1.5
    )
    assert ids_of(reply) == tokens[0].tolist()


def with_special_tokens(chat: VisionChat, **settings: Any) -> Reply:
    """An answer in which the model wrote special tokens, as a random one does now and then."""
    known = chat._backend.processor.tokenizer.added_tokens_decoder  # type: ignore[attr-defined]
    for seed in range(40):
        sampling = Sampling(max_new_tokens=24, temperature=1.2, seed=seed, **settings)
        reply = chat.ask(CONVERSATIONS["one image"], sampling=sampling)
        if any(score.token_id in known for score in reply.tokens or ()):
            return reply
    raise AssertionError("no special token in 40 answers")


def test_text_is_what_the_tokenizer_decodes(chat: VisionChat, backend: LocalBackend) -> None:
    reply = with_special_tokens(chat)
    assert reply.tokens is not None
    ids = [score.token_id for score in reply.tokens]
    assert reply.text == backend.processor.tokenizer.decode(ids, skip_special_tokens=True)
    assert reply.text == "".join(score.text for score in reply.tokens if not score.is_hidden)
    assert reply.raw_text == "".join(score.text for score in reply.tokens)


def test_raw_text_is_what_the_tokenizer_decodes_with_special_tokens(
    chat: VisionChat, backend: LocalBackend
) -> None:
    tokenizer = backend.processor.tokenizer
    reply = with_special_tokens(chat, keep_special_tokens=True)
    ids = [score.token_id for score in reply.tokens or ()]
    assert reply.text == tokenizer.decode(ids, skip_special_tokens=False)
    assert reply.raw_text is None
    kept = Sampling(max_new_tokens=60, temperature=1.2, seed=4, keep_special_tokens=True)
    with chat.stream(CONVERSATIONS["one image"], sampling=kept) as stream:
        assert "".join(delta.text for delta in stream) == stream.reply.text
