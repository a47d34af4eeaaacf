"""Decode steps with fixed shapes give the tokens of steps whose cache grows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText

from qwenvl_kit import ImagePart, Message, Reply, Request, Sampling, VisionChat
from qwenvl_kit.backends.local import load_backend
from qwenvl_kit.backends.local.engine import static_decode
from qwenvl_kit.backends.local.engine.static_decode import StaticDecoder
from qwenvl_kit.errors import ModelLoadError
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.structured_output.constraints import Constraint
from qwenvl_kit.testing import build_tiny_model
from tests.by_hand import picture
from tests.local.recorded_graphs import RecordedGraph

FULL = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
"""Families whose layers all have full attention."""

PUBLISHED = {"temperature": 0.7, "top_k": 20, "top_p": 0.8}


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of rows of each step with fixed shapes."""
    found: list[int] = []
    advance = StaticDecoder.advance

    def counted(decoder: StaticDecoder, requests: Any) -> None:
        found.append(len(requests))
        advance(decoder, requests)

    monkeypatch.setattr(StaticDecoder, "advance", counted)
    return found


@pytest.fixture
def small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buckets that tiny prompts outgrow."""
    monkeypatch.setattr(static_decode, "_LEAST_LENGTH", 8)
    monkeypatch.setattr(static_decode, "_ROOM", 4)


def _load(folder: Path, cuda_graphs: bool) -> VisionChat:
    return VisionChat.from_pretrained(
        folder, device="cpu", dtype="float32", cuda_graphs=cuda_graphs
    )


@pytest.fixture(scope="module")
def grown(tiny_folder: Path) -> VisionChat:
    """A chat whose cache grows."""
    return _load(tiny_folder, False)


@pytest.fixture
def fixed(tiny_folder: Path) -> VisionChat:
    """A chat that decodes with fixed shapes."""
    return _load(tiny_folder, True)


def _words(number: int) -> str:
    return f"{number} " * (1 + number % 5)


def _mixed(count: int, **settings: Any) -> list[Request]:
    """Requests of different lengths, whose answers end at different times."""
    return [
        Request(
            [Message.user(ImagePart(picture(56 + 28 * (at % 3), 56, at)), _words(at))]
            if at % 3 == 0
            else _words(at),
            sampling=Sampling(max_new_tokens=3 + 4 * (at % 4), **settings),
        )
        for at in range(count)
    ]


def _same(found: Reply | Any, expected: Reply | Any) -> None:
    """The same tokens, text and reason, with the same scores and alternatives."""
    assert isinstance(found, Reply), found
    assert isinstance(expected, Reply), expected
    assert (found.text, found.finish_reason) == (expected.text, expected.finish_reason)
    assert len(found.tokens or ()) == len(expected.tokens or ())
    for one, other in zip(found.tokens or (), expected.tokens or ()):
        assert one.token_id == other.token_id
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4)
        assert [each.token_id for each in one.alternatives] == [
            each.token_id for each in other.alternatives
        ]
        assert [each.logprob for each in one.alternatives] == pytest.approx(
            [each.logprob for each in other.alternatives], abs=1e-4
        )


def _all_same(one: VisionChat, other: VisionChat, make: Callable[[], list[Request]]) -> None:
    for found, expected in zip(one.ask_many(make()), other.ask_many(make())):
        _same(found, expected)


@pytest.mark.parametrize("family", FULL)
def test_each_family_of_full_attention_gives_the_same_tokens_in_batches_that_come_and_go(
    family: str, tmp_path: Path, steps: list[int], small_buckets: None
) -> None:
    folder = build_tiny_model(tmp_path / family, family)
    fixed, grown = _load(folder, True), _load(folder, False)
    _all_same(fixed, grown, lambda: _mixed(9, num_alternatives=3))
    assert max(steps) > 2
    assert len(set(steps)) > 2  # rows left the batch


def test_sampled_and_greedy_rows_together_give_the_same_tokens(
    fixed: VisionChat, grown: VisionChat, steps: list[int]
) -> None:
    def make() -> list[Request]:
        sampled = [
            Request(_words(seed), sampling=Sampling(max_new_tokens=6, seed=seed, **PUBLISHED))
            for seed in range(4)
        ]
        return [*sampled, *_mixed(3)]

    _all_same(fixed, grown, make)
    assert max(steps) > 2


@pytest.mark.parametrize("num_alternatives", [0, 1, 20, 300])
def test_any_number_of_alternatives_is_told(
    fixed: VisionChat, grown: VisionChat, num_alternatives: int
) -> None:
    sampling = Sampling(max_new_tokens=5, num_alternatives=num_alternatives)
    _same(fixed.ask("Hello", sampling=sampling), grown.ask("Hello", sampling=sampling))


def test_a_bucket_that_is_full_is_left_for_a_longer_one(
    fixed: VisionChat, grown: VisionChat, steps: list[int], small_buckets: None
) -> None:
    sampling = Sampling(max_new_tokens=60, max_cycle_tokens=None)
    _same(fixed.ask("Tell", sampling=sampling), grown.ask("Tell", sampling=sampling))
    assert len(steps) > 40


@pytest.mark.parametrize("max_new_tokens", [1, 2, 3])
def test_an_answer_has_no_token_too_many(
    fixed: VisionChat, grown: VisionChat, max_new_tokens: int
) -> None:
    sampling = Sampling(max_new_tokens=max_new_tokens)
    _same(fixed.ask("Hello", sampling=sampling), grown.ask("Hello", sampling=sampling))


def test_a_stop_string_ends_an_answer_where_it_did(fixed: VisionChat, grown: VisionChat) -> None:
    text = grown.ask("Hello", sampling=Sampling(max_new_tokens=8)).text
    sampling = Sampling(max_new_tokens=8, stop=(text[3:5],))
    found = fixed.ask("Hello", sampling=sampling)
    _same(found, grown.ask("Hello", sampling=sampling))
    assert found.finish_reason == "stop"


def test_a_stream_has_the_same_pieces(fixed: VisionChat, grown: VisionChat) -> None:
    def pieces(chat: VisionChat) -> list[str]:
        sampling = Sampling(max_new_tokens=8)
        return [delta.text for delta in chat.stream("Tell", picture(60, 60), sampling=sampling)]

    assert pieces(fixed) == pieces(grown)


def test_a_second_turn_goes_on_from_the_cache_of_the_first(
    fixed: VisionChat, grown: VisionChat
) -> None:
    def turns(chat: VisionChat) -> tuple[Reply, Reply, Reply]:
        sampling = Sampling(max_new_tokens=6)
        asked = [Message.user(ImagePart(picture(120, 90)), "what " * 50)]
        first = chat.ask(asked, sampling=sampling)
        other = chat.ask("something else entirely", sampling=sampling)  # writes over the buffers
        asked += [Message.assistant(first.text), Message.user("and now?")]
        return first, other, chat.ask(asked, sampling=sampling)

    found, expected = turns(fixed), turns(grown)
    for one, same in zip(found, expected):
        _same(one, same)
    assert found[2].usage.reused_tokens == expected[2].usage.reused_tokens > 50


def test_what_needs_processed_logits_runs_as_before_among_rows_that_do_not(
    fixed: VisionChat, grown: VisionChat, steps: list[int]
) -> None:
    def make() -> list[Request]:
        constraint = Constraint.from_regex("[0-9]{3}")
        return [
            *_mixed(3),
            Request("Which?", constraint=constraint, sampling=Sampling(max_new_tokens=9)),
            Request("Hm", sampling=Sampling(max_new_tokens=4, repetition_penalty=1.2)),
            Request("Any", sampling=Sampling(max_new_tokens=5, temperature=1.2, seed=1)),
        ]

    _all_same(fixed, grown, make)
    assert steps  # once the others have ended


def test_a_draft_is_looked_up_as_before(
    fixed: VisionChat, grown: VisionChat, steps: list[int]
) -> None:
    sampling = Sampling(max_new_tokens=12, prompt_lookup_tokens=6)
    asked = "a b c a b c a b c a b c"
    _same(fixed.ask(asked, sampling=sampling), grown.ask(asked, sampling=sampling))
    assert not steps


def test_a_beginning_that_is_held_once_runs_as_before(fixed: VisionChat, grown: VisionChat) -> None:
    def make() -> list[Request]:
        told = " ".join(map(str, range(160)))
        sampling = Sampling(max_new_tokens=4)
        return [Request(f"{told} {'x' * at}", sampling=sampling) for at in range(8)]

    _all_same(fixed, grown, make)


def test_requests_that_come_while_others_run_join_and_get_the_same_tokens(
    fixed: VisionChat, grown: VisionChat, steps: list[int]
) -> None:
    long = Sampling(max_new_tokens=40, max_cycle_tokens=None)
    running = fixed.stream("Tell a story", sampling=long)
    pieces = [next(running).text]
    joined = [fixed.ask(_words(at), sampling=Sampling(max_new_tokens=5)) for at in range(3)]
    pieces += [delta.text for delta in running]
    assert "".join(pieces) == grown.ask("Tell a story", sampling=long).text
    for at, reply in enumerate(joined):
        _same(reply, grown.ask(_words(at), sampling=Sampling(max_new_tokens=5)))
    assert {1, 2} <= set(steps)


def test_an_answer_that_is_cancelled_leaves_the_others_as_they_are(
    fixed: VisionChat, grown: VisionChat
) -> None:
    long = Sampling(max_new_tokens=200, max_cycle_tokens=None)
    running = fixed.stream("Tell a story", sampling=long)
    next(running)
    others = [fixed.ask(_words(at), sampling=Sampling(max_new_tokens=5)) for at in range(2)]
    running.cancel()
    for at, reply in enumerate(others):
        _same(reply, grown.ask(_words(at), sampling=Sampling(max_new_tokens=5)))
    sampling = Sampling(max_new_tokens=5)
    _same(fixed.ask("And?", sampling=sampling), grown.ask("And?", sampling=sampling))


@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
def test_packed_layers_give_the_same_tokens(
    tmp_path: Path, quantization: Any, steps: list[int]
) -> None:
    folder = build_tiny_model(tmp_path / "model", "qwen3_vl", hidden_size=64)
    fixed, grown = (
        VisionChat.from_pretrained(
            folder, device="cpu", quantization=quantization, cuda_graphs=cuda_graphs
        )
        for cuda_graphs in (True, False)
    )
    sampling = Sampling(max_new_tokens=6)
    assert fixed.ask("Hello", sampling=sampling).text == grown.ask("Hello", sampling=sampling).text
    assert steps


@pytest.mark.long
def test_an_adapter_that_is_loaded_takes_the_place_of_what_was_captured(
    tmp_path: Path, recorded: None, steps: list[int]
) -> None:
    peft = pytest.importorskip("peft", reason="adapters need the optional package peft")
    folder = build_tiny_model(tmp_path / "model", "qwen3_vl")
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    targets = r".*language_model.*\.(q_proj|v_proj)"
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=targets))
    torch.manual_seed(0)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data += torch.randn_like(parameter)
    adapted.save_pretrained(tmp_path / "adapter")

    def answers(chat: VisionChat) -> list[str]:
        sampling = Sampling(max_new_tokens=6)
        found = [chat.ask("Hello", sampling=sampling).text]
        chat.adapters.load(tmp_path / "adapter")
        found.append(chat.ask("Hello", sampling=sampling).text)
        chat.adapters.use(None)
        return [*found, chat.ask("Hello", sampling=sampling).text]

    found = answers(_load(folder, True))
    assert found == answers(_load(folder, False))
    assert found[0] == found[2] != found[1]
    assert steps


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in FULL])
def test_a_family_with_states_that_padding_changes_is_refused(family: str, tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path / family, family)
    with pytest.raises(ModelLoadError, match=r"padding would change.*full attention"):
        _load(folder, True)


def test_another_attention_is_refused(tiny_folder: Path) -> None:
    with pytest.raises(ModelLoadError, match="eager"):
        load_backend(tiny_folder, device="cpu", attention="eager", cuda_graphs=True)


@pytest.mark.parametrize("value", ["on", 1, None])
def test_an_unknown_value_is_refused(tiny_folder: Path, value: Any) -> None:
    with pytest.raises(ModelLoadError, match="cuda_graphs="):
        load_backend(tiny_folder, cuda_graphs=value)


def test_the_report_says_what_was_decided_and_why(tiny_folder: Path) -> None:
    reports = [
        VisionChat.from_pretrained(tiny_folder, device="cpu", cuda_graphs=value).report()
        for value in ("auto", False, True)
    ]
    assert [report["cuda_graphs"] for report in reports] == [
        "off (there are none on cpu)",
        "off (as asked)",
        "on (as asked: fixed shapes, without graphs)",
    ]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that are recorded once and repeated without Python, as a CUDA graph is."""
    prepare = StaticDecoder._prepare

    def with_graphs(decoder: StaticDecoder, bucket: Any) -> None:
        decoder.has_graphs = True
        prepare(decoder, bucket)

    monkeypatch.setattr(StaticDecoder, "_prepare", with_graphs)
    monkeypatch.setattr(static_decode, "StepGraph", RecordedGraph)


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("family", FULL)
def test_a_step_depends_on_nothing_that_a_graph_would_not_repeat(
    family: str, tmp_path: Path, small_buckets: None
) -> None:
    folder = build_tiny_model(tmp_path / family, family)
    fixed, grown = _load(folder, True), _load(folder, False)
    for _ in range(2):  # graphs are used again
        _all_same(fixed, grown, lambda: _mixed(5, num_alternatives=3))
    assert fixed.report()["cuda_graphs"].startswith("on")


@pytest.mark.usefixtures("recorded")
def test_a_step_that_is_not_what_was_captured_is_noticed_and_not_used(
    fixed: VisionChat, grown: VisionChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(RecordedGraph):
        def __init__(self, run: Any, *given: Any) -> None:
            super().__init__(run, *given)
            self._found = run.args[0].found[run.args[1]]

        def replay(self) -> None:
            super().replay()
            self._found.add_(1.0)

    monkeypatch.setattr(static_decode, "StepGraph", Wrong)
    sampling = Sampling(max_new_tokens=6)
    with pytest.warns(RuntimeWarning, match="did not give the logits"):
        found = fixed.ask("Hello", sampling=sampling)
    _same(found, grown.ask("Hello", sampling=sampling))
    assert fixed.report()["cuda_graphs"].startswith("off (a captured decode step")


def test_a_capture_that_fails_costs_no_answer(
    fixed: VisionChat, grown: VisionChat, monkeypatch: pytest.MonkeyPatch, recorded: None
) -> None:
    def failing(*_: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(static_decode, "StepGraph", failing)
    sampling = Sampling(max_new_tokens=6)
    with pytest.warns(RuntimeWarning, match="not permitted when stream is capturing"):
        found = fixed.ask("Hello", sampling=sampling)
    _same(found, grown.ask("Hello", sampling=sampling))
    assert "could not be captured" in fixed.report()["cuda_graphs"]


def test_without_memory_for_a_bucket_answers_are_decoded_as_before(
    fixed: VisionChat, grown: VisionChat, monkeypatch: pytest.MonkeyPatch, steps: list[int]
) -> None:
    monkeypatch.setattr(static_decode, "read_free_bytes", lambda _: 1000)
    sampling = Sampling(max_new_tokens=6)
    _same(fixed.ask("Hello", sampling=sampling), grown.ask("Hello", sampling=sampling))
    assert not steps


def test_buffers_are_kept_between_requests_and_given_back_when_asked(fixed: VisionChat) -> None:
    sampling = Sampling(max_new_tokens=3)
    fixed.ask("Hello", sampling=sampling)
    _idle(fixed)
    kept = fixed.cache_info().used_bytes
    assert fixed.clear_cache() > kept
    assert fixed.clear_cache() == 0
    assert fixed.ask("Hello", sampling=sampling).text


def _idle(chat: VisionChat) -> None:
    """Wait until the engine has put its last batch away."""
    scheduler = chat._pipeline.backend._engine.scheduler  # type: ignore[attr-defined]
    with scheduler.paused():
        pass


def test_an_answer_whose_logits_are_no_numbers_fails_alone(
    fixed: VisionChat, grown: VisionChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = static_decode.ModelRunner.step_in_place
    calls = []

    def broken(runner: Any, *inputs: Any) -> torch.Tensor:
        logits = run(runner, *inputs)
        calls.append(1)
        if len(calls) == 3:
            logits[1] = torch.nan
        return logits

    monkeypatch.setattr(static_decode.ModelRunner, "step_in_place", broken)
    sampling = Sampling(max_new_tokens=8)
    asked = [Request(_words(at), sampling=sampling) for at in range(3)]
    found = list(fixed.ask_many(asked))
    monkeypatch.undo()
    expected = list(grown.ask_many([Request(_words(at), sampling=sampling) for at in range(3)]))
    failed = [not isinstance(each, Reply) for each in found]
    assert sum(failed) == 1
    for one, other, has_failed in zip(found, expected, failed):
        if not has_failed:
            _same(one, other)
