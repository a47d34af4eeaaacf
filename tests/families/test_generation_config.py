"""generation_config.json means what it means to `generate` of transformers, entry by entry."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig

from qwenvl_kit import ImagePart, Message, Request, Sampling, VisionChat
from qwenvl_kit.backends.local import LocalBackend
from qwenvl_kit.backends.local.loading.loader import assemble
from qwenvl_kit.checkpoints.download import Checkpoint
from qwenvl_kit.checkpoints.settings import read_settings
from qwenvl_kit.errors import ContextLengthError
from tests.by_hand import assert_drawn_like_generate, by_hand, ids_of, picture

ASKED = [Message.user(ImagePart(picture(120, 90)), "Describe it, describe it.")]
LENGTH = 10

Entries = Mapping[str, Any]
Maker = Callable[[Entries], VisionChat]


@pytest.fixture
def published(
    folder: Path, backend: LocalBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Maker:
    """A chat with a checkpoint that is published with some entries; its weights are read once."""
    usual = json.loads((folder / "generation_config.json").read_text())

    def make(entries: Entries) -> VisionChat:
        (tmp_path / "generation_config.json").write_text(json.dumps({**usual, **entries}))
        read = GenerationConfig.from_pretrained(tmp_path)
        monkeypatch.setattr(backend.model, "generation_config", read)
        checkpoint = Checkpoint("tiny", tmp_path, "folder", None)
        settings = read_settings(folder)
        made = assemble(checkpoint, settings, backend.model, backend.processor, {})
        return VisionChat(LocalBackend(made))

    return make


@pytest.fixture(scope="session")
def first(chat: VisionChat) -> list[int]:
    """What the model says without any entry."""
    return ids_of(chat.ask(ASKED, sampling=Sampling(max_new_tokens=LENGTH)))


def _generated(chat: VisionChat, seed: int = 3, **options: Any) -> list[int]:
    backend: Any = chat._backend
    torch.manual_seed(seed)
    inputs = by_hand(backend, [ASKED])
    tokenizer = backend.processor.tokenizer
    if chat._backend._loaded.generation.stop:
        options["tokenizer"] = tokenizer
    options.setdefault("pad_token_id", tokenizer.pad_token_id)
    tokens = backend.model.generate(**inputs, **options)[0, inputs["input_ids"].shape[1] :]
    return [int(token) for token in tokens]


def _greedy(first: list[int], end: int) -> dict[str, Entries]:
    return {
        "suppress_tokens": {"suppress_tokens": first[:3]},
        "begin_suppress_tokens": {"begin_suppress_tokens": first[:1]},
        "bad_words_ids, of one token": {"bad_words_ids": [[first[0]]]},
        "bad_words_ids, of several": {"bad_words_ids": [first[1:3], first[4:7]]},
        "no_repeat_ngram_size=1": {"no_repeat_ngram_size": 1},
        "no_repeat_ngram_size=2": {"no_repeat_ngram_size": 2},
        "sequence_bias": {"sequence_bias": [[[first[0]], -100.0], [first[1:3], 9.5]]},
        "encoder_repetition_penalty": {"encoder_repetition_penalty": 1.3},
        "encoder_no_repeat_ngram_size": {"encoder_no_repeat_ngram_size": 1},
        "forced_eos_token_id": {"forced_eos_token_id": end},
        "forced_eos_token_id, several": {"forced_eos_token_id": [first[0], end]},
        "forced_bos_token_id": {"forced_bos_token_id": 5},
        "min_new_tokens": {"min_new_tokens": 7, "eos_token_id": [first[2], end]},
        "min_length": {"min_length": 10_000, "eos_token_id": [first[2], end]},
        "exponential_decay_length_penalty": {"exponential_decay_length_penalty": [2, 3.0]},
        "remove_invalid_values": {"remove_invalid_values": True},
        "renormalize_logits": {"renormalize_logits": True},
        "repetition_penalty beside others": {
            "repetition_penalty": 1.4,
            "no_repeat_ngram_size": 3,
            "suppress_tokens": first[:1],
            "min_new_tokens": 4,
        },
        "watermarking_config": {"watermarking_config": {"bias": 9.0, "greenlist_ratio": 0.3}},
        "prompt_lookup_num_tokens": {"prompt_lookup_num_tokens": 0, "length_penalty": 2.0},
        "nothing but null": dict.fromkeys(("suppress_tokens", "bad_words_ids", "min_length")),
        "a list of ends": {"eos_token_id": [first[3], end]},
    }


GREEDY = list(_greedy(list(range(20)), 0))


@pytest.mark.parametrize("case", GREEDY)
def test_a_greedy_answer_obeys_each_entry_as_generate_does(
    published: Maker, chat: VisionChat, first: list[int], case: str
) -> None:
    backend: Any = chat._backend
    end = backend.processor.tokenizer.eos_token_id
    entries = {**_greedy(first, end)[case], "max_new_tokens": LENGTH}
    if case == "prompt_lookup_num_tokens":
        entries.pop("prompt_lookup_num_tokens")
    made = published(entries)
    expected = _generated(made)
    assert ids_of(made.ask(ASKED)) == expected
    if not entries.get("repetition_penalty"):  # with a `Sampling` of one's own all of them hold
        assert ids_of(made.ask(ASKED, sampling=Sampling(max_new_tokens=LENGTH))) == expected


SAMPLED: dict[str, Entries] = {
    "no entry of its own": {},
    "typical_p": {"typical_p": 0.3},
    "epsilon_cutoff": {"epsilon_cutoff": 0.01, "top_k": 0},
    "eta_cutoff": {"eta_cutoff": 0.02, "top_k": 0},
    "top_h": {"top_h": 0.4, "top_k": 0},
    "min_p": {"min_p": 0.3, "top_p": 0.9},
    "top_k=0": {"top_k": 0},
    "top_p=0": {"top_p": 0.0},
    "all of them": {
        "temperature": 1.4,
        "top_k": 30,
        "top_p": 0.95,
        "typical_p": 0.9,
        "epsilon_cutoff": 0.001,
        "no_repeat_ngram_size": 2,
        "renormalize_logits": True,
    },
}


@pytest.mark.parametrize("case", SAMPLED)
def test_a_sample_is_drawn_as_each_entry_says_to_generate(published: Maker, case: str) -> None:
    entries = {"do_sample": True, "temperature": 1.2, **SAMPLED[case], "max_new_tokens": LENGTH}
    made = published(entries)
    backend: Any = made._backend
    inputs = by_hand(backend, [ASKED])
    assert_drawn_like_generate(backend, made.default_sampling, inputs)


def test_each_row_of_a_batch_obeys_as_if_it_were_alone(published: Maker, first: list[int]) -> None:
    """Processors see a row's own tokens, and no padding."""
    entries = {
        "max_new_tokens": LENGTH,
        "no_repeat_ngram_size": 2,
        "suppress_tokens": first[:2],
        "encoder_repetition_penalty": 1.2,
        "begin_suppress_tokens": first[2:4],
        "min_new_tokens": 4,
        "sequence_bias": [[first[4:6], -5.0]],
        "exponential_decay_length_penalty": [2, 1.1],
    }
    made = published(entries)
    requests = [Request.about("a"), Request(ASKED), Request.about("longer words " * 20)]
    together = made.ask_many(requests, on_error="raise")
    assert [ids_of(r) for r in together] == [
        ids_of(made.ask_many([request], on_error="raise")[0]) for request in requests
    ]


def test_max_length_counts_the_prompt_as_in_generate(published: Maker) -> None:
    prompt_tokens = published({}).plan(ASKED).prompt_tokens
    made = published({"max_length": prompt_tokens + 4})
    assert ids_of(made.ask(ASKED)) == _generated(made)
    assert len(ids_of(made.ask(ASKED))) == 4
    assert len(ids_of(made.ask(ASKED, sampling=Sampling(max_new_tokens=6)))) == 6
    with pytest.raises(ContextLengthError, match="max_total_tokens"):
        published({"max_length": prompt_tokens}).ask(ASKED)


def test_stop_strings_end_an_answer_where_generate_ends_it(
    published: Maker, chat: VisionChat, first: list[int]
) -> None:
    backend: Any = chat._backend
    decoded = [backend.processor.tokenizer.decode([token]) for token in first]
    stop = next(text for text in decoded[2:] if text.isascii() and text.strip())
    made = published({"max_new_tokens": LENGTH, "stop_strings": [stop]})
    expected = _generated(made)
    reply = made.ask(ASKED)
    assert ids_of(reply) == expected
    assert reply.finish_reason == "stop"
    assert stop not in reply.text
    assert made.default_sampling.stop == (stop,)
    own = made.ask(ASKED, sampling=Sampling(max_new_tokens=LENGTH, stop=("@@",)))
    assert ids_of(own) == expected
