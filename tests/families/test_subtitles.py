"""Subtitles in the prompts of every family: the tokens are those that one would write by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from qwenvl_kit import Message, Plan, Request, Sampling, Subtitle, VideoPart, VisionChat
from qwenvl_kit.backends.local import LocalBackend
from qwenvl_kit.training import Example
from tests.by_hand import by_hand, ids_of, picture
from tests.training.served import encoder_of

GREEDY = Sampling(max_new_tokens=4)
FRAMES = [picture(64, 64, at) for at in range(6)]
LINES = (
    Subtitle(0.2, 0.6, "We have a lift-off."),
    Subtitle(1.4, 1.8, "第二级\n点火"),
    Subtitle(1.5, 1.9, "A <|im_end|> in words"),
)
"""At frames 0.5 s apart, groups of two frames are at 0.25, 1.25 and 2.25 s."""


def prompt_of(backend: LocalBackend, chat: VisionChat, request: Request) -> tuple[list[int], Plan]:
    with chat._slot.use() as use:
        prepared = use.pipeline.prepare(use.pipeline.resolve(request)).request
    media = list(prepared.plan.media.values())
    return backend._engine.encoder.encode_prompt(prepared.messages, media).ids, prepared.plan


def plain(backend: LocalBackend, text: str) -> list[int]:
    return backend._engine.encoder.encode_answer(text)


def test_lines_stand_after_their_frames_or_in_a_list_after_the_film(
    backend: LocalBackend, chat: VisionChat
) -> None:
    film = VideoPart(FRAMES, fps=2, subtitles=LINES)
    ids, plan = prompt_of(backend, chat, Request.about("What is said?", film))
    without = Message.user(VideoPart(FRAMES, fps=2), "What is said?")
    bare = by_hand(backend, [[without]])["input_ids"][0].tolist()
    end = backend._engine.encoder.token_id("<|vision_end|>")
    ends = [at for at, token in enumerate(bare) if token == end]
    if backend.rules.family.video_layout == "timestamped groups":
        assert len(ends) == 4  # the template has another end around all groups
        first = plain(backend, "Subtitle: We have a lift-off.\n")
        second = plain(backend, "Subtitle: 第二级 点火\nSubtitle: A <|im_end|> in words\n")
        expected = [
            *bare[: ends[0] + 1],
            *first,
            *bare[ends[0] + 1 : ends[1] + 1],
            *second,
            *bare[ends[1] + 1 :],
        ]
        assert ids == expected
    else:
        assert len(ends) == 1
        listed = (
            "This video's subtitles are listed below:\n00:00.20 We have a lift-off.\n"
            "00:01.40 第二级 点火\n00:01.50 A <|im_end|> in words\nWhat is said?"
        )
        tokenizer = backend.processor.tokenizer
        text = tokenizer.decode(ids[ends[0] + 1 :])
        assert text.startswith(listed)
        assert ids[: ends[0] + 1] == bare[: ends[0] + 1]
    named = [token for token in ids if token == backend._engine.encoder.token_id("<|im_end|>")]
    assert len(named) == bare.count(named[0])
    assert plan.prompt_tokens == len(ids)
    assert not plan.warnings


def test_answers_with_subtitles_are_those_of_transformers_on_the_same_tokens(
    backend: LocalBackend, chat: VisionChat
) -> None:
    film = VideoPart(FRAMES, fps=2, subtitles=LINES[:2])
    request = Request.about("What is said?", film, sampling=GREEDY)
    ids, _ = prompt_of(backend, chat, request)
    inputs = by_hand(backend, [[Message.user(VideoPart(FRAMES, fps=2), "What is said?")]])
    tensor = torch.tensor([ids])
    config = backend.model.config
    kinds = torch.zeros_like(tensor)
    kinds[tensor == config.video_token_id] = 2
    own = {"input_ids": tensor, "attention_mask": torch.ones_like(tensor)}
    with torch.no_grad():
        tokens = backend.model.generate(
            **{**inputs, **own, "mm_token_type_ids": kinds},
            max_new_tokens=GREEDY.max_new_tokens,
            do_sample=False,
        )
    reply = chat.ask(request)
    assert ids_of(reply) == tokens[0, len(ids) :].tolist()[: len(ids_of(reply))]


def test_a_film_without_subtitles_has_the_prompt_of_transformers(
    backend: LocalBackend, chat: VisionChat
) -> None:
    conversation = [Message.user(VideoPart(FRAMES, fps=2), "What?")]
    ids, _ = prompt_of(backend, chat, Request(conversation))
    assert ids == by_hand(backend, [conversation])["input_ids"][0].tolist()


def test_another_line_is_another_prompt(backend: LocalBackend, chat: VisionChat) -> None:
    def ask(words: str) -> tuple[list[int], Plan]:
        film = VideoPart(FRAMES, fps=2, subtitles=[Subtitle(0, 1, words)])
        return prompt_of(backend, chat, Request.about("What?", film))

    one, other, again = ask("one"), ask("two two"), ask("one")
    assert one[0] != other[0]
    assert one[0] == again[0]


def test_lines_within_a_budget_of_tokens_take_no_more(
    backend: LocalBackend, chat: VisionChat
) -> None:
    many = [Subtitle(at / 100, at / 100 + 0.01, f"line {at} is said") for at in range(250)]
    film = VideoPart(FRAMES, fps=2, subtitles=many, max_subtitle_tokens=60)
    bare = chat.plan("?", VideoPart(FRAMES, fps=2))
    plan = chat.plan("?", film)
    assert 0 < plan.prompt_tokens - bare.prompt_tokens <= 60
    (warning,) = plan.warnings
    assert "of 250 lines of subtitles left out" in warning
    assert "60 tokens" in warning


@pytest.mark.parametrize("mark", ["\ue000", "\ue0001;"])
def test_marks_of_the_shield_within_subtitles_are_plain_text(
    backend: LocalBackend, chat: VisionChat, mark: str
) -> None:
    words = f"a {mark} <|video_pad|> b"
    film = VideoPart(FRAMES, fps=2, subtitles=[Subtitle(0, 1, words)])
    ids, plan = prompt_of(backend, chat, Request.about("What?", film))
    assert words in backend.processor.tokenizer.decode(ids)
    pad = backend._engine.encoder.token_id("<|video_pad|>")
    assert sum(token == pad for token in ids) == plan.visual_tokens


def test_a_conversation_keeps_the_lines_of_its_film(chat: VisionChat, tmp_path: Path) -> None:
    file = tmp_path / "film.srt"
    file.write_text("1\n00:00:00,500 --> 00:00:01,000\nHello\n", encoding="utf-8")
    talk = chat.start()
    film = VideoPart(FRAMES, fps=2, subtitles=str(file))
    first = talk.ask("What?", film, sampling=GREEDY)
    second = talk.ask("And then?", sampling=GREEDY)
    assert second.usage.prompt_tokens > first.usage.prompt_tokens


def test_a_training_example_has_the_prompt_that_is_served(
    backend: LocalBackend, chat: VisionChat, folder: Path
) -> None:
    encoder = encoder_of(folder)
    question = Message.user(VideoPart(FRAMES, fps=2, subtitles=LINES), "What is said?")
    ids, _ = prompt_of(backend, chat, Request([question]))
    (sequence,) = encoder.encode(Example([question, Message.assistant("We have a lift-off.")]))
    assert list(sequence.ids[: len(ids)]) == ids
