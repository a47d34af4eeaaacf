"""Drafts save passes of the model, and no answer depends on them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from qwenvl_kit import Delta, Failure, Message, Reply, Request, Sampling, VisionChat
from qwenvl_kit.backends.local import LocalBackend, load_backend
from qwenvl_kit.errors import UnsupportedFeatureError
from qwenvl_kit.testing import build_tiny_model
from tests.by_hand import CONVERSATIONS, backend_request, ids_of, picture

FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
GREEDY = Sampling(max_new_tokens=40, max_cycle_tokens=None)
SAMPLED = replace(GREEDY, temperature=1.0, top_p=0.9, seed=6)
WAYS = {
    "greedy": GREEDY,
    "sampled": SAMPLED,
    "penalised": replace(SAMPLED, repetition_penalty=1.3, presence_penalty=0.5),
    "with alternatives": replace(GREEDY, num_alternatives=3),
}


@pytest.fixture(scope="module", params=FAMILIES)
def chat(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> VisionChat:
    """Each family whose cache can be cut."""
    folder = tmp_path_factory.mktemp("lookup") / request.param
    return VisionChat(load_backend(build_tiny_model(folder, request.param)))


@pytest.fixture
def fresh(tiny_folder: Path) -> VisionChat:
    return VisionChat(load_backend(tiny_folder))


@contextmanager
def widths_of_passes(chat: VisionChat) -> Iterator[list[int]]:
    """How many tokens each pass of the model took."""
    backend: LocalBackend = chat._backend  # type: ignore[assignment]
    widths: list[int] = []
    hook = backend.model.register_forward_pre_hook(
        lambda _, __, kwargs: widths.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    try:
        yield widths
    finally:
        hook.remove()


@pytest.fixture
def half_right(monkeypatch: pytest.MonkeyPatch) -> Callable[[Reply], None]:
    """Makes drafts of an answer that is known: right up to anywhere, and wrong from there."""

    def draft_of(reply: Reply) -> None:
        rng, known = random.Random(0), ids_of(reply)

        def draft(ids: Sequence[int], max_tokens: int) -> list[int]:
            at = len(ids) - reply.usage.prompt_tokens
            right = known[at : at + rng.randint(0, max_tokens)]
            wrong = [rng.randrange(400) for _ in range(max_tokens - len(right))]
            return right + wrong

        monkeypatch.setattr("qwenvl_kit.backends.local.engine.prompt_lookup.draft_after", draft)

    return draft_of


def looking_up(sampling: Sampling, num_tokens: int = 6) -> Sampling:
    return replace(sampling, prompt_lookup_tokens=num_tokens)


def same(one: Reply, other: Reply) -> bool:
    pairs = list(zip(one.tokens or (), other.tokens or ()))
    return (
        ids_of(one) == ids_of(other)
        and (one.text, one.finish_reason) == (other.text, other.finish_reason)
        and all(a.logprob == pytest.approx(b.logprob, abs=2e-4) for a, b in pairs)
        and all(
            [x.token_id for x in a.alternatives] == [y.token_id for y in b.alternatives]
            for a, b in pairs
        )
    )


@pytest.mark.parametrize("way", WAYS)
def test_whatever_is_drafted_the_answer_and_its_scores_stay_the_same(
    chat: VisionChat, half_right: Callable[[Reply], None], way: str
) -> None:
    for form in ("text alone", "one image", "a video of five frames"):
        plain = chat.ask(CONVERSATIONS[form], sampling=WAYS[way])
        half_right(plain)
        with widths_of_passes(chat) as widths:
            reply = chat.ask(CONVERSATIONS[form], sampling=looking_up(WAYS[way]))
        assert same(reply, plain)
        assert len(widths) < len(ids_of(plain))


def test_an_answer_that_is_looked_up_in_itself_and_its_prompt_is_the_same(
    chat: VisionChat,
) -> None:
    for question in ("what", "a b c a b c a b c"):
        for sampling in (replace(GREEDY, max_new_tokens=150), replace(SAMPLED, temperature=0.3)):
            plain = chat.ask(question, sampling=sampling)
            assert same(chat.ask(question, sampling=looking_up(sampling, 10)), plain)


def test_an_answer_that_goes_round_in_a_circle_takes_far_fewer_passes_than_tokens(
    fresh: VisionChat,
) -> None:
    question = _endless(fresh)
    plain = fresh.ask(question, sampling=replace(GREEDY, max_new_tokens=300))
    with widths_of_passes(fresh) as widths:
        sampling = looking_up(replace(GREEDY, max_new_tokens=300), 10)
        reply = fresh.ask(question, sampling=sampling)
    assert same(reply, plain)
    assert len(widths) < 300 / 3


def _endless(chat: VisionChat) -> str:
    """A question whose answer comes to no end; each token follows from the one before alone."""
    backend: LocalBackend = chat._backend  # type: ignore[assignment]
    for layer in backend.model.model.language_model.layers:
        for projection in (layer.self_attn.o_proj, layer.mlp.down_proj):
            projection.weight.data = torch.zeros_like(projection.weight)
    words = ("what", "where", "why", "how", "many", "colour", "shape")
    return next(w for w in words if chat.ask(w, sampling=GREEDY).finish_reason == "length")


def test_a_circle_is_noticed_at_the_same_token(fresh: VisionChat) -> None:
    question = _endless(fresh)
    sampling = Sampling(max_new_tokens=400, max_cycle_tokens=60)
    plain = fresh.ask(question, sampling=sampling)
    assert plain.finish_reason == "repetition"
    assert same(fresh.ask(question, sampling=looking_up(sampling)), plain)


@pytest.mark.parametrize("length", range(1, 15))
def test_an_answer_may_reach_its_length_anywhere_within_a_draft(
    fresh: VisionChat, half_right: Callable[[Reply], None], length: int
) -> None:
    half_right(fresh.ask("hello", sampling=GREEDY))
    sampling = replace(GREEDY, max_new_tokens=length)
    plain = fresh.ask("hello", sampling=sampling)
    with widths_of_passes(fresh) as widths:
        reply = fresh.ask("hello", sampling=looking_up(sampling))
    assert same(reply, plain)
    assert reply.usage.completion_tokens == length
    assert max(widths[1:], default=1) <= max(1, length - 1)  # nothing is computed for no token


def test_a_stop_string_within_a_draft_ends_the_answer_before_itself(
    fresh: VisionChat, half_right: Callable[[Reply], None]
) -> None:
    full = fresh.ask("hello", sampling=SAMPLED)
    half_right(full)
    for at in range(3, 20, 4):
        sampling = replace(SAMPLED, stop=(full.text[at : at + 3],))
        plain = fresh.ask("hello", sampling=sampling)
        assert plain.finish_reason == "stop"
        assert same(fresh.ask("hello", sampling=looking_up(sampling)), plain)


def test_a_stream_gives_the_tokens_of_a_draft_one_at_a_time(
    fresh: VisionChat, half_right: Callable[[Reply], None]
) -> None:
    plain = fresh.ask("hello", sampling=GREEDY)
    half_right(plain)
    deltas = list(fresh.stream("hello", sampling=looking_up(GREEDY)))
    given = [delta.token.token_id for delta in deltas if delta.token is not None]
    assert given == [score.token_id for score in plain.tokens or ()]
    assert "".join(delta.text for delta in deltas) == plain.text


class Watching:
    """Follows one request; calls back when it has had so many tokens, and then may cancel."""

    def __init__(
        self, num_tokens: int, then: Callable[[], object] = int, *, cancels: bool = False
    ) -> None:
        self._left = num_tokens
        self._then = then
        self._cancels = cancels

    def on_delta(self, delta: Delta) -> None:
        self._left -= 1
        if self._left == 0:
            self._then()

    def is_cancelled(self) -> bool:
        return self._cancels and self._left <= 0


@pytest.mark.parametrize("num_tokens", range(1, 9))
def test_an_answer_is_cancelled_within_a_draft_as_it_is_between_passes(
    fresh: VisionChat, half_right: Callable[[Reply], None], num_tokens: int
) -> None:
    backend: LocalBackend = fresh._backend  # type: ignore[assignment]
    half_right(fresh.ask("hello", sampling=GREEDY))
    lengths = []
    for sampling in (GREEDY, looking_up(GREEDY)):
        request = backend_request(fresh, Request.about("hello", sampling=sampling))
        done = backend.submit(request, Watching(num_tokens, cancels=True)).result()
        assert done.finish_reason == "cancelled"
        lengths.append(done.completion_tokens)
    assert lengths[0] == lengths[1] < GREEDY.max_new_tokens


def test_a_draft_that_outlives_its_request_is_nothing_to_the_next(
    fresh: VisionChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend: LocalBackend = fresh._backend  # type: ignore[assignment]
    plain = fresh.ask("where is it?", sampling=GREEDY)
    first = ids_of(plain)[0]
    monkeypatch.setattr(
        "qwenvl_kit.backends.local.engine.prompt_lookup.draft_after",
        lambda ids, most: [first] * most,
    )
    request = backend_request(fresh, Request.about("hello", sampling=looking_up(GREEDY)))
    backend.submit(request, Watching(1, cancels=True)).result()
    assert same(fresh.ask("where is it?", sampling=GREEDY), plain)


@pytest.mark.parametrize("num_tokens", range(1, 9))
def test_a_request_that_joins_within_a_draft_changes_no_answer(
    fresh: VisionChat, half_right: Callable[[Reply], None], num_tokens: int
) -> None:
    backend: LocalBackend = fresh._backend  # type: ignore[assignment]
    joined, plain = (fresh.ask(text, sampling=GREEDY) for text in ("where is it?", "hello"))
    half_right(plain)
    first, second = (
        backend_request(fresh, Request.about(text, sampling=looking_up(GREEDY)))
        for text in ("hello", "where is it?")
    )
    futures = []
    join = lambda: futures.append(backend._engine.submit(second, Watching(0)))  # noqa: E731
    done = backend.submit(first, Watching(num_tokens, join)).result()
    other = futures[0].result(timeout=60)
    for completion, reply in ((done, plain), (other, joined)):
        given = [score.token_id for score in completion.tokens]
        assert given == [score.token_id for score in reply.tokens or ()]


def test_requests_that_run_together_get_the_answers_that_they_get_alone(chat: VisionChat) -> None:
    texts = ["a b c a b c", "what what what", "why"]
    plain = [chat.ask(text, sampling=GREEDY) for text in texts]
    requests = [Request.about(text, sampling=looking_up(GREEDY)) for text in texts]
    for one, other in zip(chat.ask_many(requests, on_error="raise"), plain):
        assert same(one, other)


def test_a_conversation_goes_on_from_an_answer_with_drafts_as_from_any(
    tiny_folder: Path, half_right: Callable[[Reply], None]
) -> None:
    chats = [VisionChat(load_backend(tiny_folder)) for _ in range(2)]
    one, other = (chat.start(system="Be brief.") for chat in chats)
    for turn, question in enumerate(("What is it?", "Why?", "And then?")):
        media = [picture(120, 90, turn)] if turn != 1 else []
        sampling = replace(SAMPLED, seed=turn, stop=("e", "o"))  # within a draft
        plain = one.ask(question, *media, sampling=sampling)
        half_right(plain)
        reply = other.ask(question, *media, sampling=looking_up(sampling))
        assert plain.finish_reason == "stop"
        assert same(reply, plain)
        assert reply.usage.reused_tokens == plain.usage.reused_tokens
    assert chats[0].cache_info().used_bytes == chats[1].cache_info().used_bytes


def test_where_memory_runs_out_within_a_draft_the_answer_stays_the_same(
    fresh: VisionChat, half_right: Callable[[Reply], None]
) -> None:
    backend: LocalBackend = fresh._backend  # type: ignore[assignment]
    plain = fresh.ask("hello", sampling=GREEDY)
    half_right(plain)
    is_due = iter([False, False, True])

    def fail(*_: object) -> None:
        if next(is_due, False):
            raise torch.OutOfMemoryError("injected")

    hook = backend.model.model.language_model.layers[1].register_forward_pre_hook(fail)
    reply = fresh.ask("hello", sampling=looking_up(GREEDY))
    hook.remove()
    assert same(reply, plain)
    assert "memory ran out" in reply.plan.degradations[0]


def test_drafts_that_always_fail_cost_little(
    fresh: VisionChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = fresh.ask("hello", sampling=replace(GREEDY, max_new_tokens=100))
    never = min(set(range(400)) - set(ids_of(plain)))
    monkeypatch.setattr(
        "qwenvl_kit.backends.local.engine.prompt_lookup.draft_after",
        lambda ids, most: [never] * most,
    )
    with widths_of_passes(fresh) as widths:
        fresh.ask("hello", sampling=looking_up(replace(GREEDY, max_new_tokens=100), 10))
    assert sum(widths[1:]) - len(widths[1:]) == 10 + 5 + 2 + 1


def test_a_family_that_cannot_go_back_refuses_and_costs_no_other_request(tmp_path: Path) -> None:
    chat = VisionChat(load_backend(build_tiny_model(tmp_path / "model", "qwen3_5")))
    sampling = Sampling(max_new_tokens=2)
    results = chat.ask_many(
        [
            Request.about("hello", sampling=looking_up(sampling)),
            Request.about("hello", sampling=sampling),
        ]
    )
    assert isinstance(results[0], Failure)
    assert isinstance(results[0].error, UnsupportedFeatureError)
    assert "qwen3_5" in results[0].error.problem
    assert results[0].error.hint
    assert isinstance(results[1], Reply)
    with pytest.raises(UnsupportedFeatureError, match="prompt_lookup_tokens=3"):
        chat.ask("hello", sampling=looking_up(sampling, 3))


def test_no_placeholder_and_no_end_is_ever_drafted(fresh: VisionChat) -> None:
    backend: LocalBackend = fresh._backend  # type: ignore[assignment]
    messages = [Message.user("see", *CONVERSATIONS["two images"][0].parts)]
    plan = fresh.plan(messages)
    prompt = backend._engine.encoder.encode_prompt(messages, list(plan.media.values()))
    config = backend.model.config
    barred = {
        *(config.image_token_id, config.video_token_id),
        *(config.vision_start_token_id, config.vision_end_token_id),
        *backend._loaded.end_ids,
    }
    assert len(barred & set(prompt.ids)) >= 4
    for at in range(len(prompt.ids) - 2):
        lookup = backend._engine._lookup.lookup_for(looking_up(GREEDY, 30), prompt.ids, 8)
        assert lookup is not None
        following = prompt.ids[at + 2 : at + 3]
        draft = lookup.propose(prompt.ids[at : at + 2])
        assert not barred & set(draft)
        if not barred & set(prompt.ids[at : at + 3]):
            assert draft[:1] == following
