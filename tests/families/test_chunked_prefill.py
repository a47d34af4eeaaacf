"""A prompt that is read in chunks is answered as one that is read whole, in every family."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from qwenvl_kit import ImagePart, Message, Sampling, VideoPart, VisionChat
from qwenvl_kit.backends.local import LocalBackend
from qwenvl_kit.backends.local.engine import scheduler
from qwenvl_kit.backends.local.engine.model_runner import ModelRunner
from tests.by_hand import generate_by_hand, ids_of, kit_batch, picture

CONVERSATION = [
    Message.system("You are a helpful assistant."),
    Message.user(
        "Before: ",
        ImagePart(picture(160, 100)),
        VideoPart([picture(84, 84, seed) for seed in range(6)], fps=2),
        " after: ",
        ImagePart(picture(90, 120, 3)),
        "Compare the pictures with the video.",
    ),
]


@pytest.mark.parametrize("chunk_tokens", [5, 23])
def test_the_answer_after_chunks_that_cut_pictures_and_videos_is_that_of_generate(
    chat: VisionChat, backend: LocalBackend, chunk_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, read = list[tuple[int, int]](), ModelRunner._read

    def noted(self: ModelRunner, cache: Any, requests: Any, *rest: Any) -> Any:
        start, (stop,), _ = rest
        cut = [span for span in requests[0].prompt.spans if span.start < stop < span.end]
        parts.append((stop - start, len(cut)))
        return read(self, cache, requests, *rest)

    monkeypatch.setattr(ModelRunner, "_read", noted)
    monkeypatch.setattr(scheduler, "ALONE_CHUNK_TOKENS", chunk_tokens)
    inputs = kit_batch(chat, [CONVERSATION])
    chat.clear_cache()
    reply = chat.ask(CONVERSATION, sampling=Sampling(max_new_tokens=8))
    out, tokens = generate_by_hand(backend, inputs, max_new_tokens=8)
    assert len(parts) > 4
    assert sum(num_cut for _, num_cut in parts) >= 2
    assert max(size for size, _ in parts) <= 1.5 * chunk_tokens + 1
    assert ids_of(reply) == tokens[0].tolist()
    expected = backend.model.compute_transition_scores(
        out.sequences, out.logits, normalize_logits=True
    )
    ours = torch.tensor([score.logprob for score in reply.tokens or ()])
    torch.testing.assert_close(ours, expected[0][: len(ours)], atol=1e-4, rtol=0)


def test_a_known_beginning_is_followed_by_chunks_that_cut_the_next_picture(
    chat: VisionChat, backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "ALONE_CHUNK_TOKENS", 11)
    later = [
        *CONVERSATION,
        Message.assistant("They are alike."),
        Message.user(ImagePart(picture(150, 150, 7)), "And this one?"),
    ]
    inputs = kit_batch(chat, [later])
    chat.clear_cache()
    chat.ask(CONVERSATION, sampling=Sampling(max_new_tokens=2))
    reply = chat.ask(later, sampling=Sampling(max_new_tokens=8))
    _, tokens = generate_by_hand(backend, inputs, max_new_tokens=8)
    assert reply.usage.reused_tokens > 60
    assert ids_of(reply) == tokens[0].tolist()
