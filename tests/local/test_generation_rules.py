"""What of generation_config.json is not obeyed is told, and what cannot be obeyed is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from qwenvl_kit import Request, Sampling, VisionChat
from qwenvl_kit.backends.local import LocalBackend, load_backend
from qwenvl_kit.backends.local.engine.sampler import Sampler, SamplerSettings
from qwenvl_kit.backends.local.engine.top_logits import TopLogits
from qwenvl_kit.errors import CheckpointError, GenerationError, UnsupportedFeatureError
from qwenvl_kit.processing.generation_rules import GenerationRules
from qwenvl_kit.structured_output.constraints import Constraint
from tests.by_hand import ids_of, processed_by

Maker = Callable[..., VisionChat]
SHORT = Sampling(max_new_tokens=6)


@pytest.fixture
def published(tmp_path: Path, tiny_folder: Path) -> Maker:
    def make(**entries: Any) -> VisionChat:
        folder = Path(shutil.copytree(tiny_folder, tmp_path / "checkpoint", dirs_exist_ok=True))
        path = folder / "generation_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))
        return VisionChat(load_backend(folder))

    return make


def test_the_report_tells_what_holds_with_every_request(published: Maker) -> None:
    report = published(suppress_tokens=[3, 4], bad_words_ids=[[5]]).report()
    assert report["generation_rules"] == "bad_words_ids=[[5]], suppress_tokens=[3, 4]"
    assert "generation_ignored" not in report


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("guidance_scale", 2.0, "second pass"),
        ("num_return_sequences", 3, "one answer"),
        ("token_healing", True, "template"),
        ("presence_penalty", 1.5, "Sampling(presence_penalty"),
        ("cache_implementation", "quantized", "cache of its own"),
        ("no_such_entry", 7, "unknown to transformers"),
        ("supress_tokens", [1], "unknown to transformers"),
    ],
)
def test_an_entry_that_is_not_obeyed_is_told_with_the_reason(
    published: Maker, name: str, value: Any, why: str
) -> None:
    told = published(**{name: value}, do_sample=True).report()["generation_ignored"]
    assert told.startswith(f"{name}={value} (")
    assert why in told


@pytest.mark.parametrize("name", ["use_cache", "output_scores", "transformers_version"])
def test_an_entry_that_changes_no_token_is_not_worth_a_word(published: Maker, name: str) -> None:
    report = published(**{name: None if name == "transformers_version" else True}).report()
    assert "generation_ignored" not in report


@pytest.mark.parametrize(
    "entries",
    [
        {"num_beams": 3},
        {"num_beams": 4, "do_sample": True},
        {"penalty_alpha": 0.6, "top_k": 4},
        {"penalty_alpha": 0.6},
        {"dola_layers": "high"},
    ],
    ids=["beams", "sampled beams", "contrastive", "contrastive by default", "dola"],
)
def test_another_search_is_refused_by_name_where_it_is_asked_for(
    published: Maker, entries: dict[str, Any]
) -> None:
    made = published(**entries)
    name = next(iter(entries))
    assert name in made.report()["sampling"]
    with pytest.raises(UnsupportedFeatureError, match=name):
        made.ask("hello")
    with pytest.raises(UnsupportedFeatureError, match=name):
        _ = made.default_sampling
    assert made.ask("hello", sampling=SHORT).text


def test_an_entry_that_cannot_be_used_is_an_error_at_loading_that_names_it(
    published: Maker,
) -> None:
    for name, value in {
        "bad_words_ids": [[99_999_999]],
        "sequence_bias": [[["x"], 1.0]],
        "no_repeat_ngram_size": 1.5,
        "suppress_tokens": "all",
        "typical_p": -1,
        "exponential_decay_length_penalty": [1],
        "max_new_tokens": "many",
        "stop_strings": [""],
        "temperature": "hot",
    }.items():
        with pytest.raises(CheckpointError, match=f"generation_config.json|{name}|settings"):
            published(**{name: value, "do_sample": True})


def _first(chat: VisionChat) -> list[int]:
    return ids_of(chat.ask("hello", sampling=SHORT))


def test_a_suppressed_token_never_comes_with_drafts_or_in_a_stream(published: Maker) -> None:
    plain = _first(published())
    made = published(suppress_tokens=plain[:2])
    drafting = Sampling(max_new_tokens=30, prompt_lookup_tokens=4, max_cycle_tokens=None)
    ids = ids_of(made.ask("hello", sampling=drafting))
    assert not set(plain[:2]) & set(ids)
    with made.stream(
        "hello", sampling=Sampling(max_new_tokens=30, max_cycle_tokens=None)
    ) as stream:
        streamed = [d.token.token_id for d in stream if d.token is not None]
    assert streamed == ids[: len(streamed)]


def test_scores_are_those_of_the_raw_distribution_whatever_the_rules_are(published: Maker) -> None:
    made = published(suppress_tokens=_first(published())[:1])
    backend: Any = made._backend
    token = made.ask("hello", sampling=Sampling(max_new_tokens=1, num_alternatives=2)).scores[0]
    assert token.logprob < token.alternatives[0].logprob
    assert token.token_id != token.alternatives[0].token_id
    assert backend.report()["generation_rules"].startswith("suppress_tokens")


def test_a_form_and_a_rule_that_leave_nothing_cost_that_request_alone(published: Maker) -> None:
    spelled = published()._backend.processor.tokenizer.encode("yes")  # type: ignore[attr-defined]
    made = published(suppress_tokens=spelled[:1])
    bound = Request.about("hello", constraint=Constraint.from_choices(["yes"]), sampling=SHORT)
    lost, answered = made.ask_many([bound, Request.about("hello", sampling=SHORT)])
    assert isinstance(getattr(lost, "error", None), GenerationError)
    assert "generation_rules" in str(getattr(lost, "error", None))
    assert getattr(answered, "text", None)


def test_a_rule_may_not_force_what_a_form_forbids(published: Maker) -> None:
    bound = Constraint.from_choices(["yes", "no"])
    ended = published(forced_eos_token_id=7)
    reply = ended.ask_many(
        [Request.about("hello", constraint=bound, sampling=Sampling(max_new_tokens=20))],
        on_error="raise",
    )[0]
    assert reply.text in ("yes", "no")


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=1.0, seed=1)])
def test_that_nothing_is_left_is_an_error_and_no_token(sampling: Sampling) -> None:
    sampler = Sampler(SamplerSettings(sampling, GenerationRules({"suppress_tokens": [0, 1, 2]})))
    top = TopLogits(processed_by(sampler, [0], torch.zeros(3))[None])
    (values,), (ids,) = (tensor.tolist() for tensor in top.top(3))
    with pytest.raises(GenerationError, match="no token is left"):
        sampler.choose(values, ids, top, 0)


def test_logits_that_are_no_numbers_are_removed_where_the_checkpoint_says_so(
    published: Maker,
) -> None:
    made = published(remove_invalid_values=True)
    backend: Any = made._backend
    assert isinstance(backend, LocalBackend)
    with torch.no_grad():
        backend.model.lm_head.bias = None
        backend.model.model.language_model.norm.weight.fill_(float("nan"))
    assert len(ids_of(made.ask("hello", sampling=SHORT))) == 6
