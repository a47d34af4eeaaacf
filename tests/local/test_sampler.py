"""The sampler takes the tokens of the raw distribution as often as `generate` would take them."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GenerationConfig, LogitsProcessorList
from transformers.generation import logits_process

from qwenvl_kit import Sampling
from qwenvl_kit.backends.local.engine.candidates import Candidates, narrowed
from qwenvl_kit.backends.local.engine.sampler import Sampler, SamplerSettings
from qwenvl_kit.backends.local.engine.sampler import drawn as drawn_from
from qwenvl_kit.backends.local.engine.top_logits import TopLogits, to_host
from qwenvl_kit.processing.generation_rules import GenerationRules
from tests.by_hand import processed_by

VOCABULARY = 1000

PUBLISHED: dict[str, dict[str, Any]] = {
    "Qwen2-VL": {"temperature": 0.01, "top_k": 1, "top_p": 0.001},
    "Qwen2.5-VL": {"temperature": 0.1, "top_p": 0.001, "repetition_penalty": 1.05},
    "Qwen3-VL": {"temperature": 0.7, "top_k": 20, "top_p": 0.8},
    "Qwen3.5": {"temperature": 1.0, "top_k": 20, "top_p": 0.95, "presence_penalty": 1.5},
}
OTHERS: dict[str, dict[str, Any]] = {
    "temperature": {"temperature": 1.3},
    "top-p": {"temperature": 1.0, "top_p": 0.6},
    "top-p that is wide": {"temperature": 5.0, "top_p": 0.99},
    "min-p": {"temperature": 1.0, "min_p": 0.1},
    "top-k that is large": {"temperature": 1.5, "top_k": 700},
    "all": {"temperature": 1.2, "top_k": 40, "top_p": 0.9, "min_p": 0.02},
    "penalties": {"temperature": 1.0, "repetition_penalty": 1.4, "presence_penalty": 0.5},
}
PROMPT, ANSWER = [5, 7, 11], [3, 8, 3]


def logits_of(seed: int, rows: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((rows, VOCABULARY), generator=generator) * 3


def by_transformers(logits: torch.Tensor, ids: list[int], given: dict[str, Any]) -> torch.Tensor:
    """The distribution that `generate` samples from; presence penalties are OpenAI's."""
    processors = LogitsProcessorList()
    if "repetition_penalty" in given:
        penalty = given["repetition_penalty"]
        processors.append(logits_process.RepetitionPenaltyLogitsProcessor(penalty))
    scores = processors(torch.tensor([ids]), logits[None].clone())[0]
    if given.get("presence_penalty"):
        scores[sorted(set(ids[len(PROMPT) :]))] -= given["presence_penalty"]
    config = GenerationConfig(do_sample=True, **{"top_k": 0, "top_p": 1.0, **narrowing(given)})
    warpers = LogitsProcessorList([logits_process.TemperatureLogitsWarper(config.temperature)])
    if config.top_k:
        warpers.append(logits_process.TopKLogitsWarper(config.top_k))
    if config.top_p < 1:
        warpers.append(logits_process.TopPLogitsWarper(config.top_p))
    if config.min_p:
        warpers.append(logits_process.MinPLogitsWarper(config.min_p))
    return torch.softmax(warpers(torch.tensor([ids]), scores[None])[0], dim=-1)


def narrowing(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if "penalty" not in name}


def drawn(sampler: Sampler, logits: torch.Tensor, ids: list[int]) -> int:
    """A token for a row, the way of a step of the engine."""
    top = TopLogits(processed_by(sampler, ids, logits)[None])
    (values,), (tokens,) = to_host(top.top(sampler.num_candidates or 1))
    return sampler.choose(values, [int(token) for token in tokens], top, 0)


@pytest.mark.parametrize("name", [*PUBLISHED, *OTHERS])
def test_tokens_come_as_often_as_generate_would_take_them(name: str) -> None:
    given, logits, draws = {**PUBLISHED, **OTHERS}[name], logits_of(1)[0], 2500
    expected = by_transformers(logits, PROMPT + ANSWER, given)
    sampler = Sampler(SamplerSettings(Sampling(seed=3, **given), prompt_ids=PROMPT))
    counts = Counter(drawn(sampler, logits, PROMPT + ANSWER) for _ in range(draws))
    assert all(expected[token] > 0 for token in counts), "no token that generate leaves out"
    bins: list[tuple[float, int]] = []  # rare tokens together, as the test asks for 5 of each
    wanted, found = 0.0, 0
    for token in expected.argsort().tolist():
        wanted, found = wanted + draws * expected[token].item(), found + counts[token]
        if wanted >= 5:
            bins.append((wanted, found))
            wanted, found = 0.0, 0
    statistic = sum((found - wanted) ** 2 / wanted for wanted, found in bins)
    freedom = max(1, len(bins) - 1)
    # Wilson and Hilferty, 1931: the cube root of a chi-square is nearly normal; 4 sigma.
    deviation = (statistic / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))
    assert deviation / math.sqrt(2 / (9 * freedom)) < 4


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_candidates_have_the_probabilities_that_generate_gives_them(data: st.DataObject) -> None:
    logits = logits_of(data.draw(st.integers(0, 999)))[0]
    if data.draw(st.booleans()):  # bf16 has many logits that are equal
        logits = logits.bfloat16().float()
    sampling = Sampling(
        temperature=data.draw(st.floats(0.1, 3)),
        top_k=data.draw(st.integers(1, 60)),
        top_p=data.draw(st.none() | st.floats(0.05, 1)),
        min_p=data.draw(st.none() | st.floats(0, 0.5)),
    )
    given_settings = {
        name: getattr(sampling, name)
        for name in ("temperature", "top_k", "top_p", "min_p")
        if getattr(sampling, name) is not None
    }
    expected = by_transformers(logits, PROMPT, given_settings)
    values, ids = TopLogits(logits[None]).at_least(0, logits.topk(60).values[-1].item())
    found = narrowed(values, ids, sampling)
    total = sum(found.weights)
    shares = torch.zeros(VOCABULARY)
    shares[list(found.ids)] = torch.tensor([weight / total for weight in found.weights])
    is_near_an_edge = (shares > 0) != (expected > 0)
    # Rounding may decide the last token of top-p or min-p, and of equal tokens the ones or others.
    assert len(logits[is_near_an_edge].unique()) <= 2
    assert abs(int((shares > 0).sum()) - int((expected > 0).sum())) <= 2
    if not is_near_an_edge.any():
        torch.testing.assert_close(shares, expected, atol=1e-5, rtol=1e-4)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_the_top_logits_are_those_of_a_full_sort(data: st.DataObject) -> None:
    size = data.draw(st.sampled_from([1, 5, 127, 128, 129, 448, 1000, 2600]))
    rows = data.draw(st.integers(1, 4))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    logits = torch.randn((rows, size), generator=generator)
    if data.draw(st.booleans()):
        logits = logits.round()  # many are equal
    count = data.draw(st.integers(1, 40))
    values, ids = TopLogits(logits).top(count)
    assert torch.equal(values, logits.topk(min(count, size)).values)
    assert torch.equal(values, logits.gather(1, ids))
    assert all(len(set(row)) == len(row) for row in ids.tolist())
    if count == 1:
        assert torch.equal(ids[:, 0], logits.argmax(-1)), "of equal logits the first, as argmax"


def test_the_normalizer_of_a_row_is_its_logsumexp() -> None:
    logits = logits_of(4, rows=3) * 10
    torch.testing.assert_close(TopLogits(logits).log_normalizers(), logits.logsumexp(-1))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_highest_logit_tells_a_row_that_cannot_be_used(value: float) -> None:
    logits = logits_of(5, rows=2)
    logits[0, 17] = value
    if value == -math.inf:
        logits[0] = value
    values, _ = TopLogits(logits).top(3)
    assert [math.isfinite(highest) for highest in values[:, 0].tolist()] == [False, True]


def test_logits_that_equal_the_last_of_top_k_are_candidates_as_in_generate() -> None:
    logits = torch.full((VOCABULARY,), -5.0)
    logits[100:160] = 1.0
    sampler = Sampler(SamplerSettings(Sampling(temperature=1.0, top_k=3, seed=1)))
    found = {drawn(sampler, logits, PROMPT) for _ in range(2000)}
    assert found == set(range(100, 160))


@pytest.mark.parametrize("name", [*PUBLISHED, *OTHERS])
def test_a_seed_repeats_alone_and_in_any_batch(name: str) -> None:
    given = {**PUBLISHED, **OTHERS}[name]
    rows = logits_of(6, rows=12)

    def answer(seed: int) -> list[int]:
        sampler = Sampler(SamplerSettings(Sampling(seed=seed, **given), prompt_ids=PROMPT))
        tokens = list[int]()
        for logits in rows:
            tokens.append(drawn(sampler, logits, PROMPT + tokens))
        return tokens

    assert answer(3) == answer(3)
    if given["temperature"] >= 0.7:
        assert answer(3) != answer(4)


def test_a_rule_that_narrows_by_more_is_transformers_own() -> None:
    logits = logits_of(7)[0]
    rules = GenerationRules({"typical_p": 0.3})
    sampler = Sampler(SamplerSettings(Sampling(temperature=1.0, seed=1), rules))
    kept = logits_process.TypicalLogitsWarper(0.3)(torch.tensor([PROMPT]), logits[None])[0]
    allowed = set(kept.isfinite().nonzero()[:, 0].tolist())
    assert {drawn(sampler, logits, PROMPT) for _ in range(500)} <= allowed


def test_few_tokens_that_a_grammar_leaves_cost_no_look_at_the_whole_vocabulary() -> None:
    logits = torch.full((VOCABULARY,), -math.inf)
    logits[[7, 9]] = torch.tensor([1.0, 2.0])
    sampler = Sampler(SamplerSettings(Sampling(temperature=1.0, top_k=20, seed=1)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TopLogits, "at_least", None)
        assert {drawn(sampler, logits, PROMPT) for _ in range(100)} == {7, 9}


@pytest.mark.parametrize("count", [1, 2, 20])
def test_of_many_equal_logits_the_first_is_the_likeliest_whatever_is_asked(count: int) -> None:
    logits = torch.zeros(3, VOCABULARY)
    logits[:, [130, 260, 390, 520, 650]] = 4.0
    assert TopLogits(logits).top(count)[1][:, 0].tolist() == [130] * 3


def test_a_draw_at_the_ends_of_its_range_is_a_candidate() -> None:
    candidates = Candidates([4, 2, 9], [0.5, 0.3, 0.0])
    assert candidates.draw(0.0) == 4
    assert candidates.draw(math.nextafter(1.0, 0.0)) == 2, "never one of weight 0"


@given(
    size=st.integers(1, 1300),
    zeros=st.floats(0, 1),
    chance=st.floats(0, 1, exclude_max=True),
    seed=st.integers(0, 999),
)
@settings(max_examples=60, deadline=None)
def test_a_draw_inverts_the_cumulative_distribution(
    size: int, zeros: float, chance: float, seed: int
) -> None:
    maker = torch.Generator().manual_seed(seed)
    weights = torch.rand(size, generator=maker) * (torch.rand(size, generator=maker) >= zeros)
    weights[seed % size] = 0.5
    (token,) = drawn_from(weights, chance).tolist()
    sums = weights.double().cumsum(0)
    before, wanted = sums[token] - weights[token], sums[-1] * chance
    assert weights[token] > 0
    assert before - 1e-9 <= wanted <= sums[token] + 1e-9


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0])
def test_a_draw_from_what_is_no_distribution_stays_within_the_vocabulary(value: float) -> None:
    for size in (1, 448, 1024):
        (token,) = drawn_from(torch.full((size,), value), 0.5).tolist()
        assert 0 <= token < size
