"""What reaches the model, and what leaves it, in batches and alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from qwenvl_kit import Message, Request, Sampling, VideoPart, VisionChat
from qwenvl_kit.backends.local import LocalBackend
from tests.by_hand import CONVERSATIONS, by_hand, generate_by_hand, ids_of, picture

GREEDY = Sampling(max_new_tokens=8)
MIXED = list(CONVERSATIONS.values())
LOGIT_TOLERANCE = (
    2e-4  # states of linear attention, when a prompt is read in parts: 1.03e-4 was seen
)
"""Prompts that are read in parts are added up in another order; most of it is Qwen3.5's."""


class Watch:
    """What the language model was given, and the logits it gave, call by call."""

    def __init__(self) -> None:
        self.positions: list[torch.Tensor] = []
        self.logits: list[torch.Tensor] = []

    def note_input(self, _: Any, args: Any, kwargs: dict[str, Any]) -> None:
        self.positions.append(kwargs["position_ids"].clone())

    def note_output(self, _: Any, args: Any, output: torch.Tensor) -> None:
        self.logits.append(output[:, -1].clone())


@contextmanager
def watched(backend: LocalBackend) -> Iterator[Watch]:
    watch = Watch()
    hooks = [
        backend.model.model.language_model.register_forward_pre_hook(
            watch.note_input, with_kwargs=True
        ),
        backend.model.lm_head.register_forward_hook(watch.note_output),
    ]
    try:
        yield watch
    finally:
        for hook in hooks:
            hook.remove()


def test_positions_and_logits_are_those_of_transformers(
    chat: VisionChat, backend: LocalBackend, conversation: list[Message]
) -> None:
    chat.clear_cache()
    with watched(backend) as ours:
        reply = chat.ask(conversation, sampling=GREEDY)
    with watched(backend) as theirs:
        _, tokens = generate_by_hand(
            backend, by_hand(backend, [conversation]), max_new_tokens=GREEDY.max_new_tokens
        )
    assert ids_of(reply) == tokens[0].tolist()
    # A prompt may be read in parts, so that what it shares with others can be kept.
    assert torch.equal(torch.cat(ours.positions, dim=-1), torch.cat(theirs.positions, dim=-1))
    for mine, other in zip(ours.logits[-len(theirs.logits) :], theirs.logits):
        torch.testing.assert_close(mine, other, atol=LOGIT_TOLERANCE, rtol=0)


def test_a_mixed_batch_has_the_tokens_and_scores_of_transformers(
    chat: VisionChat, backend: LocalBackend
) -> None:
    chat.clear_cache()
    replies = chat.ask_many(
        [Request(m) for m in MIXED], sampling=GREEDY, on_error="raise", max_batch_size=7
    )
    out, tokens = generate_by_hand(
        backend, by_hand(backend, MIXED), max_new_tokens=GREEDY.max_new_tokens
    )
    logprobs = torch.log_softmax(torch.stack(out.logits, dim=1), dim=-1)
    for row, reply in enumerate(replies):
        ids = ids_of(reply)
        assert ids == tokens[row, : len(ids)].tolist()
        for step, score in enumerate(reply.tokens or ()):
            theirs = float(logprobs[row, step, score.token_id])
            assert score.logprob == pytest.approx(theirs, abs=1e-3)


@pytest.mark.parametrize(
    "sampling",
    [GREEDY, Sampling(max_new_tokens=8, temperature=1.0, seed=2)],
    ids=["greedy", "sampled"],
)
def test_a_mixed_batch_gives_the_answers_of_single_calls(
    chat: VisionChat, sampling: Sampling
) -> None:
    together = chat.ask_many(
        [Request(m) for m in MIXED], sampling=sampling, on_error="raise", max_batch_size=7
    )
    alone = [chat.ask(messages, sampling=sampling) for messages in MIXED]
    assert [ids_of(reply) for reply in together] == [ids_of(reply) for reply in alone]
    for one, other in zip(together, alone):
        assert one.confidence == pytest.approx(other.confidence, abs=1e-3)
        assert one.usage.prompt_tokens == other.usage.prompt_tokens
        assert one.usage.completion_tokens == other.usage.completion_tokens


def test_a_video_of_one_frame_is_that_frame_twice(chat: VisionChat) -> None:
    frame = picture(96, 96, 3)
    once = chat.ask("What?", VideoPart([frame], fps=2), sampling=GREEDY)
    twice = chat.ask(
        "What?", VideoPart([frame, frame], timestamps_seconds=(0, 1e-9)), sampling=GREEDY
    )
    assert ids_of(once) == ids_of(twice)


def test_frames_at_uneven_times_answer_and_keep_their_times(chat: VisionChat) -> None:
    times = (0.0, 0.4, 3.0, 11.5, 12.0)
    frames = [picture(96, 96, seed) for seed in range(5)]
    reply = chat.ask("When?", VideoPart(frames, timestamps_seconds=times), sampling=GREEDY)
    assert reply.plan.videos[0].timestamps_seconds == times


@pytest.mark.parametrize("num_frames", [1, 2, 3, 5, 7, 8])
@pytest.mark.parametrize(
    "size",
    [
        *((30, 41), (100, 60), (640, 360)),
        *(pytest.param((1920, 1080), marks=pytest.mark.long), (40, 700)),
    ],
)
def test_videos_of_any_size_and_length_are_planned_as_the_processor_makes_them(
    chat: VisionChat, backend: LocalBackend, size: tuple[int, int], num_frames: int
) -> None:
    frames = [picture(*size, seed) for seed in range(num_frames)]
    (plan,) = chat.plan("What?", VideoPart(frames, fps=2)).videos
    if num_frames == 1 and backend.rules.family.video_limit_scope == "video":
        frames = [*frames, *frames]  # the processor takes no single frame
    messages = [Message.user(VideoPart(frames, fps=2), "What?")]
    t, h, w = by_hand(backend, [messages])["video_grid_thw"][0].tolist()
    side_px = backend.rules.family.patch_side_px
    assert (plan.resized.height_px, plan.resized.width_px) == (h * side_px, w * side_px)
    assert plan.tokens == t * h * w // 4
