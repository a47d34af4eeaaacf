"""What holds on a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from qwenvl_kit import ImagePart, Message, Reply, Request, Sampling, VisionChat
from qwenvl_kit.backends.local import LocalBackend, load_backend
from qwenvl_kit.backends.local.engine import scheduler
from qwenvl_kit.backends.local.engine.request import EngineRequest
from qwenvl_kit.backends.local.engine.static_decode import StaticDecoder
from qwenvl_kit.backends.local.loading.device_map import WORKING_BYTES
from qwenvl_kit.backends.local.memory import shape_of
from qwenvl_kit.budget.memory import predict_activation_bytes, predict_cache_bytes
from qwenvl_kit.errors import PlacementError
from qwenvl_kit.testing import build_tiny_model
from tests.by_hand import ids_of, picture

pytestmark = pytest.mark.gpu


def test_a_gpu_gives_the_tokens_of_a_cpu(
    chat: VisionChat, tiny_folder: Path, conversation: list[Message]
) -> None:
    on_gpu = VisionChat.from_pretrained(tiny_folder, device="cuda", dtype="float32")
    sampling = Sampling(max_new_tokens=8)
    assert (
        on_gpu.ask(conversation, sampling=sampling).text
        == chat.ask(conversation, sampling=sampling).text
    )


def test_a_gpu_is_chosen_with_bf16_where_it_has_it(tiny_folder: Path) -> None:
    report = VisionChat.from_pretrained(tiny_folder).report()
    assert report["device"].startswith("cuda")
    assert report["dtype"] == "bfloat16"


def test_the_report_says_why_a_gpu_and_which_attention(tiny_folder: Path) -> None:
    report = VisionChat.from_pretrained(tiny_folder).report()
    assert "fit" in report["device_reason"]
    assert report["attention"] in ("sdpa", "flash_attention_2")
    assert report["attention_reason"]


@pytest.mark.parametrize("quantization", ["4bit", "8bit"])
def test_quantised_weights_answer_on_a_gpu(tiny_folder: Path, quantization: str) -> None:
    pytest.importorskip("bitsandbytes")
    chat = VisionChat.from_pretrained(tiny_folder, quantization=quantization)  # type: ignore[arg-type]
    assert chat.report()["device"].startswith("cuda")
    reply = chat.ask("What is this?", picture(120, 90), sampling=Sampling(max_new_tokens=4))
    assert reply.usage.completion_tokens >= 1


def test_weights_that_no_gpu_holds_are_refused_with_figures(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qwenvl_kit.backends.local.devices.read_free_bytes", lambda _: 10**6)
    with pytest.raises(PlacementError, match=r"1\.1 MB.*free on cuda:0"):
        VisionChat.from_pretrained(tiny_folder, dtype="float32")


def test_a_model_is_spread_over_several_gpus_when_one_is_too_small(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two CUDA devices")
    room = WORKING_BYTES + 800_000
    monkeypatch.setattr("qwenvl_kit.backends.local.devices.read_free_bytes", lambda _: room)
    backend = load_backend(tiny_folder, dtype="float32")
    homes = {parameter.device for parameter in backend.model.parameters()}
    assert len(homes) > 1
    assert all(home.type == "cuda" for home in homes)
    assert VisionChat(backend).ask("Hello", sampling=Sampling(max_new_tokens=2)).text


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl", "qwen3_5"])
def test_a_prompt_that_is_read_in_chunks_on_a_gpu_is_answered_as_on_a_cpu(
    tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build_tiny_model(tmp_path / family, family)
    asked = [Message.user(ImagePart(picture(300, 220)), "what is it? " * 30)]
    sampling = Sampling(max_new_tokens=8)
    on_cpu = VisionChat.from_pretrained(folder, device="cpu", dtype="float32")
    expected = ids_of(on_cpu.ask(asked, sampling=sampling))
    chat = VisionChat.from_pretrained(folder, device="cuda", dtype="float32")
    monkeypatch.setattr(scheduler, "ALONE_CHUNK_TOKENS", 40)
    assert ids_of(chat.ask(asked, sampling=sampling)) == expected


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe"])
def test_captured_steps_give_the_tokens_of_steps_that_are_not(tmp_path: Path, family: str) -> None:
    folder = build_tiny_model(tmp_path / family, family)
    captured, plain = (
        VisionChat.from_pretrained(folder, device="cuda", dtype="float32", cuda_graphs=each)
        for each in (True, False)
    )
    assert _greedy_and_sampled(captured) == _greedy_and_sampled(plain)
    decoder = _decoder(captured)
    assert not decoder.reason
    assert any(bucket.graphs for bucket in decoder._buckets.values())
    freed = captured.clear_cache()
    assert freed >= decoder.num_bytes == 0
    assert _greedy_and_sampled(captured) == _greedy_and_sampled(plain)


def _greedy_and_sampled(chat: VisionChat) -> list[list[int]]:
    """The tokens of a batch whose rows leave at different times, twice."""
    published = {"temperature": 0.7, "top_k": 20, "top_p": 0.8}
    found = []
    for settings in ({}, published):
        requests = [
            Request(
                [Message.user(ImagePart(picture(90, 60, seed)), "x " * seed)],
                sampling=Sampling(max_new_tokens=4 + 5 * seed, seed=seed, **settings),
            )
            for seed in range(5)
        ]
        found += [ids_of(reply) for reply in chat.ask_many(requests, on_error="raise")]
    return found


def _decoder(chat: VisionChat) -> StaticDecoder:
    backend = chat._pipeline.backend
    assert isinstance(backend, LocalBackend)
    assert backend._engine.static is not None
    return backend._engine.static


def test_graphs_are_the_default_on_one_gpu(tiny_folder: Path) -> None:
    chat = VisionChat.from_pretrained(tiny_folder, device="cuda", attention="sdpa")
    assert chat.report()["cuda_graphs"].startswith("on (")
    assert chat.ask("Hello", sampling=Sampling(max_new_tokens=8)).text
    assert chat.report()["cuda_graphs"].startswith("on (")  # nothing stopped it


def test_a_captured_step_waits_for_the_gpu_once(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = VisionChat.from_pretrained(tiny_folder, device="cuda", cuda_graphs=True)
    sampling = Sampling(max_new_tokens=16, max_cycle_tokens=None)
    chat.ask("Hello", sampling=sampling)  # captures
    advance, waits = StaticDecoder.advance, list[str]()

    def watched(decoder: StaticDecoder, requests: list[EngineRequest]) -> None:
        with warnings.catch_warnings(record=True) as noted:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")  # it tells of all waits but those for events
            try:
                advance(decoder, requests)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        waits.extend(str(each.message) for each in noted)

    monkeypatch.setattr(StaticDecoder, "advance", watched)
    chat.ask("Hello", sampling=sampling)
    assert waits == []


def test_flash_attention_gives_the_scores_of_torchs_own_attention(tiny_folder: Path) -> None:
    pytest.importorskip("flash_attn")
    asked = [Message.user(ImagePart(picture(300, 220)), "what is it? " * 30)]
    replies = {
        attention: VisionChat.from_pretrained(
            tiny_folder, device="cuda", dtype="bfloat16", attention=attention
        ).ask(asked, sampling=Sampling(max_new_tokens=1, num_alternatives=20))
        for attention in ("sdpa", "flash_attention_2")
    }
    one, other = (_alternatives(reply) for reply in replies.values())
    both = one.keys() & other.keys()
    assert len(both) > 10
    assert all(one[token] == pytest.approx(other[token], abs=0.1) for token in both)


def _alternatives(reply: Reply) -> dict[int, float]:
    """The log-probabilities of the likeliest first tokens."""
    (score, *_) = [*(reply.tokens or ()), reply.end_token]
    assert score is not None
    return {each.token_id: each.logprob for each in score.alternatives}


_ASK = """
import sys
import torch
from qwenvl_kit import Sampling, VisionChat
chat = VisionChat.from_pretrained(sys.argv[1], device=sys.argv[2])
assert chat.ask("Hello", sampling=Sampling(max_new_tokens=2)).usage.completion_tokens
print(torch.accelerator.device_count(), chat.report()["device"])
"""


def _ask_where(
    visible: str, folder: Path, device: str = "auto"
) -> subprocess.CompletedProcess[str]:
    """Ask in a process that sees these devices alone."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": visible, "QWENVL_KIT_REQUIRE_GPU": "0"}
    return subprocess.run(
        [sys.executable, "-c", _ASK, str(folder), device],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_one_gpu_that_a_process_is_shown_is_its_first(tiny_folder: Path) -> None:
    last = str(torch.cuda.device_count() - 1)
    shown = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[-1] or last
    done = _ask_where(shown, tiny_folder)
    assert done.stdout.split() == ["1", "cuda:0"], done.stderr


def test_a_gpu_that_a_process_is_not_shown_is_refused_by_name(tiny_folder: Path) -> None:
    shown = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
    done = _ask_where(shown, tiny_folder, "cuda:1")
    assert "PlacementError: device='cuda:1' cannot be used" in done.stderr


def test_a_process_that_is_shown_no_gpu_runs_on_the_processor(tiny_folder: Path) -> None:
    assert _ask_where("-1", tiny_folder).stdout.split()[-1] == "cpu"


@pytest.mark.parametrize("tokens", [64, 1280])
@pytest.mark.parametrize("family", ["qwen2_vl", "qwen3_vl"])
def test_the_memory_that_is_predicted_is_what_a_gpu_takes_within_a_tenth(
    tmp_path: Path, family: str, tokens: int
) -> None:
    backend = load_backend(build_tiny_model(tmp_path / family, family, hidden_size=256))
    side = backend.rules.family.token_side_px
    asked = [Message.user(ImagePart(picture(tokens // 8 * side, 8 * side)), "a b c " * 300)]
    reply, taken = _peak_of(backend, asked)
    shape, plan = shape_of(backend.model, backend.processor), reply.plan
    answered = reply.usage.completion_tokens
    predicted = predict_cache_bytes(shape, plan.prompt_tokens, answered) + predict_activation_bytes(
        shape, [*plan.images], backend.rules.family, plan.prompt_tokens, answered
    )
    assert predicted == pytest.approx(taken, rel=0.1)


def _peak_of(backend: LocalBackend, asked: list[Message]) -> tuple[Reply, int]:
    """The reply to a conversation, and the most bytes that torch gave out for it."""
    chat = VisionChat(backend)
    sampling = Sampling(max_new_tokens=4, max_cycle_tokens=None)
    chat.ask(asked, sampling=sampling)  # the first call makes room that libraries keep
    chat.clear_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    reply = chat.ask(asked, sampling=sampling)
    return reply, torch.cuda.max_memory_allocated() - before
