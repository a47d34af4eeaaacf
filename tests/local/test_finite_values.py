"""What is no number in one request costs that request, and its neighbours are answered."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import torch

from qwenvl_kit import Failure, Reply, Request, Sampling, VisionChat
from qwenvl_kit.backends.local import LocalBackend, load_backend
from qwenvl_kit.backends.local.cache.kv_cache import is_croppable
from qwenvl_kit.backends.local.engine import finite_values, model_runner
from qwenvl_kit.backends.local.engine.decode import DecodeBatch
from qwenvl_kit.backends.local.engine.grammar import GrammarState
from qwenvl_kit.backends.local.engine.prefill import Prefill
from qwenvl_kit.backends.local.engine.request import EngineRequest
from qwenvl_kit.backends.local.engine.sampler import Sampler
from qwenvl_kit.errors import GenerationError
from qwenvl_kit.structured_output.constraints import Constraint
from qwenvl_kit.testing import build_tiny_model
from tests.by_hand import picture

MARK = "~"
"""A token whose request goes wrong."""

SOUND = ("hello", "a much longer question about what is to be seen here", "b" * 30, "why")
WAYS = {
    "greedy": Sampling(max_new_tokens=6),
    "sampled": Sampling(max_new_tokens=6, temperature=1.0, top_p=0.9, seed=3),
    "looked up": Sampling(max_new_tokens=6, prompt_lookup_tokens=4),
}
KINDS = {"NaN": math.nan, "infinite": math.inf, "nothing": -math.inf}


@pytest.fixture(scope="module", params=["qwen2_vl", "qwen3_5"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LocalBackend:
    """A model, of a family without and one with linear attention."""
    folder: Path = build_tiny_model(tmp_path_factory.mktemp("rows"), request.param)
    return load_backend(folder, dtype="float32", device="cpu")


@pytest.fixture
def chat(model: LocalBackend) -> VisionChat:
    """It, with nothing kept."""
    chat = VisionChat(model)
    chat.clear_cache()
    return chat


def token_of_mark(model: LocalBackend) -> int:
    tokenizer: Any = model.processor.tokenizer
    (token_id,) = tokenizer.encode(MARK, add_special_tokens=False)
    return int(token_id)


@pytest.fixture
def marked(model: LocalBackend) -> Iterator[int]:
    """The token whose embedding is no number meanwhile."""
    token_id = token_of_mark(model)

    def spoil(_: object, given: tuple[torch.Tensor, ...], made: torch.Tensor) -> torch.Tensor:
        return made.masked_fill((given[0] == token_id)[..., None], math.nan)

    embedding: Any = model.model.get_input_embeddings()
    hook = embedding.register_forward_hook(spoil)
    yield token_id
    hook.remove()


def texts_alone(chat: VisionChat, questions: tuple[str, ...], sampling: Sampling) -> list[str]:
    return [chat.ask(question, sampling=sampling).text for question in questions]


def texts(results: list[Any]) -> list[str]:
    assert all(isinstance(result, Reply) for result in results), results
    return [result.text for result in results]


def error_of(result: object) -> str:
    assert isinstance(result, Failure)
    assert isinstance(result.error, GenerationError)
    return str(result.error)


def spoil_step(monkeypatch: pytest.MonkeyPatch, mark: int, value: float) -> None:
    """Have the third token of each request with the mark come from such logits."""
    step = DecodeBatch.step

    def spoiled(batch: DecodeBatch) -> torch.Tensor:
        logits = step(batch).clone()
        for at, request in enumerate(batch.requests):
            if mark in request.prompt.ids and len(request.sequence.token_ids) >= 2:
                logits[at, 1 if value == math.inf else slice(None)] = value
        return logits

    monkeypatch.setattr(DecodeBatch, "step", spoiled)


@pytest.mark.parametrize("way", WAYS)
def test_a_prompt_that_is_no_number_fails_alone(
    chat: VisionChat, model: LocalBackend, marked: int, way: str
) -> None:
    sampling = WAYS[way]
    if sampling.prompt_lookup_tokens and not is_croppable(model.model):
        pytest.skip("a model that takes no drafts")
    expected = texts_alone(chat, SOUND, sampling)
    chat.clear_cache()
    bad, *good = chat.ask_many([f"is {MARK} it?", *SOUND], sampling=sampling)
    assert "language model are not numbers (it computes in float32)" in error_of(bad)
    assert texts(good) == expected


@pytest.mark.parametrize("way", ["greedy", "sampled"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_that_gives_no_number_ends_that_answer_alone(
    chat: VisionChat,
    model: LocalBackend,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    kind: str,
) -> None:
    sampling = WAYS[way]
    expected = texts_alone(chat, SOUND, sampling)
    spoil_step(monkeypatch, token_of_mark(model), KINDS[kind])
    first, bad, *good = chat.ask_many([SOUND[0], f"is {MARK} it?", *SOUND[1:]], sampling=sampling)
    assert "not numbers" in error_of(bad)
    assert texts([first, *good]) == expected


def test_a_row_that_becomes_no_number_as_it_is_written_does_not_reach_its_neighbours(
    chat: VisionChat, marked: int
) -> None:
    sampling = Sampling(max_new_tokens=8)
    bound = Constraint.from_choices([f"a{MARK}bcdef"])
    expected = texts_alone(chat, SOUND, sampling)
    chat.clear_cache()
    first, bad, *good = chat.ask_many(
        [SOUND[0], Request.about("x", constraint=bound), *SOUND[1:]], sampling=sampling
    )
    assert "not numbers" in error_of(bad)
    assert texts([first, *good]) == expected


def test_it_does_not_reach_neighbours_through_what_they_begin_with(
    chat: VisionChat, marked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_runner, "_MIN_SAVED", 200)
    sampling = Sampling(max_new_tokens=6)
    shown = picture(224, 224, 1)
    expected = [chat.ask(question, shown, sampling=sampling).text for question in SOUND]
    chat.clear_cache()
    asked = [Request.about(question, shown) for question in (SOUND[0], MARK, *SOUND[1:])]
    first, bad, *good = chat.ask_many(asked, sampling=sampling)
    assert "not numbers" in error_of(bad)
    assert texts([first, *good]) == expected


def test_nothing_of_it_is_kept_so_that_the_next_one_is_answered(
    chat: VisionChat, model: LocalBackend
) -> None:
    question = "is it a long question, of more tokens than are looked for?"
    expected = chat.ask(question, sampling=WAYS["greedy"]).text
    chat.clear_cache()
    norm = model.model.model.language_model.norm
    hook = norm.register_forward_hook(lambda _, __, made: made * math.nan)
    with pytest.raises(GenerationError, match="not numbers"):
        chat.ask(question, sampling=WAYS["greedy"])
    hook.remove()
    assert chat.cache_info().num_prompts == 0
    assert chat.ask(question, sampling=WAYS["greedy"]).text == expected


def test_an_answer_that_became_no_number_is_not_kept(
    chat: VisionChat, marked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = list[EngineRequest]()
    monkeypatch.setattr(Prefill, "keep_answer", lambda _, request, __: kept.append(request))
    bound = Constraint.from_choices([f"a{MARK}bcdef"])
    with pytest.raises(GenerationError, match="not numbers"):
        chat.ask("x", constraint=bound)
    assert not kept
    chat.ask("x", sampling=WAYS["greedy"])
    assert kept


def test_features_that_are_no_numbers_name_the_vision_encoder_and_cost_their_request(
    chat: VisionChat, model: LocalBackend
) -> None:
    """White pixels alone go wrong, in the same pass as others."""
    sampling = WAYS["greedy"]
    good_picture, white = picture(84, 84, 1), PIL.Image.new("RGB", (84, 84), "white")
    expected = chat.ask("what?", good_picture, sampling=sampling).text
    chat.clear_cache()

    def spoil(_: object, given: tuple[torch.Tensor, ...], made: torch.Tensor) -> torch.Tensor:
        is_white = (given[0] > 1).flatten(1).all(dim=1) | (given[0] == 1).flatten(1).all(dim=1)
        return made.masked_fill(is_white.view(made.shape[0], -1), math.nan)

    hook = model.model.model.visual.patch_embed.register_forward_hook(spoil)
    try:
        bad, good, text = chat.ask_many(
            [Request.about("what?", white), Request.about("what?", good_picture), "hello"],
            sampling=sampling,
        )
    finally:
        hook.remove()
    assert "vision encoder are not numbers" in error_of(bad)
    assert texts([good, text])[0] == expected
    assert chat.cache_info().num_media == 1
    assert isinstance(chat.ask("what?", white, sampling=sampling), Reply)


def test_settings_that_leave_no_number_fail_their_own_request_and_are_named(
    chat: VisionChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Sampler.process

    def spoiled(sampler: Sampler, logits: torch.Tensor) -> torch.Tensor:
        made = process(sampler, logits)
        return made * math.nan if sampler.settings.sampling.seed == 13 else made

    monkeypatch.setattr(Sampler, "process", spoiled)
    sampling = Sampling(max_new_tokens=6, temperature=1.0, seed=3)
    expected = texts_alone(chat, SOUND * 2, sampling)
    odd = Sampling(max_new_tokens=6, temperature=0.5, presence_penalty=0.1, seed=13)
    bad, *good = chat.ask_many([Request.about("x", sampling=odd), *SOUND * 2], sampling=sampling)
    assert "temperature=0.5" in error_of(bad)
    assert texts(good) == expected


def test_any_fault_of_one_row_as_it_is_chosen_costs_that_row(
    chat: VisionChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object) -> None:
        raise ValueError("a form that cannot go on")

    monkeypatch.setattr(GrammarState, "accept", break_down)
    expected = texts_alone(chat, SOUND * 2, WAYS["greedy"])
    bound = Request.about("x", constraint=Constraint.from_choices(["yes", "no"]))
    bad, *good = chat.ask_many([bound, *SOUND * 2], sampling=WAYS["greedy"])
    assert "ValueError: a form that cannot go on" in error_of(bad)
    assert texts(good) == expected


def test_a_prompt_that_the_model_cannot_read_costs_none_that_was_read_with_it(
    chat: VisionChat, model: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = texts_alone(chat, SOUND, WAYS["greedy"])
    chat.clear_cache()
    mark, prefill = token_of_mark(model), model_runner.ModelRunner.prefill

    def breaking(self: Any, requests: list[EngineRequest], *args: Any) -> Any:
        if any(mark in request.prompt.ids for request in requests):
            raise RuntimeError("a shape that does not fit")
        return prefill(self, requests, *args)

    monkeypatch.setattr(model_runner.ModelRunner, "prefill", breaking)
    bad, *good = chat.ask_many([f"is {MARK} it?", *SOUND], sampling=WAYS["greedy"])
    assert "a shape that does not fit" in error_of(bad)
    assert texts(good) == expected


def test_scores_of_choices_fail_by_name_where_the_model_gives_no_numbers(
    chat: VisionChat, marked: int
) -> None:
    from qwenvl_kit.tasks import classify

    with pytest.raises(GenerationError, match="not numbers"):
        classify(chat, picture(84, 84), ["cat", "dog"], prompt=f"is {MARK} it?")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("part", [finite_values.LANGUAGE_MODEL, finite_values.VISION_ENCODER])
def test_the_number_type_is_blamed_for_fp16_alone(dtype: torch.dtype, part: str) -> None:
    error = str(finite_values.not_numbers(part, dtype))
    assert part in error
    assert ("too small a range" in error) == (dtype == torch.float16)
    assert ("weights" in error) == (dtype != torch.float16)
