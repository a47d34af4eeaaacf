"""What a chat tells of its work: each request once, nothing that was said, and harming nobody."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import PIL.Image
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from qwenvl_kit import Sampling, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import GenerationError, MediaNotFoundError
from qwenvl_kit.results import Reply
from qwenvl_kit.telemetry import PrometheusMetrics

RED = PIL.Image.new("RGB", (56, 56), "red")


class Noting:
    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.failures: list[Exception] = []

    def on_reply(self, reply: Reply) -> None:
        self.replies.append(reply)

    def on_failure(self, error: Exception) -> None:
        self.failures.append(error)


class Failing:
    def on_reply(self, reply: Reply) -> None:
        raise RuntimeError("no")

    def on_failure(self, error: Exception) -> None:
        raise RuntimeError("no")


def _script(request: object) -> str:
    text = request.messages[-1].text  # type: ignore[attr-defined]
    if "fail" in text:
        raise GenerationError("no")
    return "secret answer"


@pytest.fixture
def chat() -> Iterator[VisionChat]:
    with VisionChat(ScriptedBackend(_script)) as made:
        yield made


def test_each_request_is_told_once_whichever_way_it_came(chat: VisionChat) -> None:
    noting = Noting()
    chat.listeners.add(noting)
    chat.listeners.add(noting)
    chat.ask("a", RED)
    with chat.stream("b") as stream:
        _ = stream.reply
    asyncio.run(chat.ask_async("c"))
    chat.ask_many(["d", "fail", "e"])
    with pytest.raises(GenerationError):
        chat.ask("fail")
    with pytest.raises(MediaNotFoundError):
        chat.ask("f", "/no/such.png")
    assert len(noting.replies) == 5
    kinds = [type(error).__name__ for error in noting.failures]
    assert kinds == ["GenerationError", "GenerationError", "MediaNotFoundError"]


def test_who_is_removed_is_told_no_more(chat: VisionChat) -> None:
    noting = Noting()
    chat.listeners.add(noting)
    chat.listeners.remove(noting)
    chat.listeners.remove(noting)
    chat.ask("a")
    assert not noting.replies


def test_a_listener_that_fails_harms_neither_requests_nor_other_listeners(
    chat: VisionChat, caplog: pytest.LogCaptureFixture
) -> None:
    noting = Noting()
    chat.listeners.add(Failing())
    chat.listeners.add(noting)
    with caplog.at_level(logging.WARNING, "qwenvl_kit"):
        assert chat.ask("a").text == "secret answer"
        with pytest.raises(GenerationError, match="no"):
            chat.ask("fail")
    assert len(noting.replies) == len(noting.failures) == 1
    assert {record.name for record in caplog.records} == {"qwenvl_kit"}
    assert "secret" not in caplog.text.split("Traceback")[0]


def test_the_kit_is_silent_until_somebody_listens(
    chat: VisionChat, capfd: pytest.CaptureFixture[str]
) -> None:
    chat.listeners.add(Failing())
    chat.ask("a")
    assert capfd.readouterr() == ("", "")


def _exposed(registry: CollectorRegistry) -> dict[str, float]:
    lines = generate_latest(registry).decode().splitlines()
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in lines
        if not line.startswith("#")
    }


def test_metrics_count_what_was_done_and_hold_nothing_that_was_said(chat: VisionChat) -> None:
    registry = CollectorRegistry()
    with PrometheusMetrics(chat, registry=registry, labels={"model": "a"}):
        replies = [chat.ask("secret question", RED) for _ in range(3)]
        chat.ask_many(["fail", "cut"], sampling=Sampling(max_new_tokens=1))
        found = _exposed(registry)
        text = generate_latest(registry).decode()
    prefix = "qwenvl_kit"
    assert found[f'{prefix}_requests_total{{model="a",outcome="stop"}}'] == 3
    assert found[f'{prefix}_requests_total{{model="a",outcome="length"}}'] == 1
    assert found[f'{prefix}_requests_total{{model="a",outcome="failed"}}'] == 1
    assert found[f'{prefix}_failures_total{{error="GenerationError",model="a"}}'] == 1
    visual = sum(reply.usage.visual_tokens for reply in replies)
    assert found[f'{prefix}_tokens_total{{kind="visual",model="a"}}'] == visual
    assert found[f'{prefix}_seconds_count{{model="a",stage="total"}}'] == 4
    assert found[f'{prefix}_waiting_requests{{model="a"}}'] == 0
    assert "secret" not in text
    assert not _exposed(registry)


def test_a_registry_takes_one_chat_and_refuses_a_second() -> None:
    registry = CollectorRegistry()
    first, second = (VisionChat(ScriptedBackend(["A"])) for _ in range(2))
    metrics = PrometheusMetrics(first, registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        PrometheusMetrics(second, registry=registry)
    metrics.close()
    PrometheusMetrics(second, registry=registry)


def test_health_says_whether_requests_are_taken(tiny_chat: VisionChat) -> None:
    health = tiny_chat.health()
    assert (health.is_ready, health.num_waiting, health.num_running) == (True, 0, 0)
    tiny_chat.close()
    assert not tiny_chat.health().is_ready


@pytest.fixture
def tiny_chat(tiny_folder) -> VisionChat:  # type: ignore[no-untyped-def]
    return VisionChat.from_pretrained(tiny_folder, device="cpu", dtype="float32")


def test_health_counts_what_waits_and_what_runs(tiny_chat: VisionChat) -> None:
    seen = []
    with tiny_chat.stream("a", sampling=Sampling(max_new_tokens=50)) as stream:
        for _ in stream:
            seen.append(tiny_chat.health())
            break
        stream.cancel()
    assert seen[0].num_running + seen[0].num_waiting <= 1
    assert seen[0].is_ready
