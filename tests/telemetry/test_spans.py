"""Spans for OpenTelemetry: one for each request, in the caller's trace, without what was said."""

from __future__ import annotations

import asyncio
import builtins
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import PIL.Image
import pytest

from qwenvl_kit import Request, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import GenerationError, MediaNotFoundError, MissingPackageError
from qwenvl_kit.telemetry import OpenTelemetrySpans
from qwenvl_kit.telemetry.spans import _of_model, _short_name

pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

RED = PIL.Image.new("RGB", (56, 56), "red")


class Recording:
    """A chat whose spans are kept."""

    def __init__(self, chat: VisionChat, **options: Any) -> None:
        self.chat = chat
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.spans = OpenTelemetrySpans(chat, tracer_provider=self.provider, **options)

    @property
    def all(self) -> tuple[Any, ...]:
        return self.exporter.get_finished_spans()

    def under_a_parent(self) -> Any:
        return self.provider.get_tracer("test").start_as_current_span("parent")


def _script(request: Any) -> str:
    if "fail" in request.messages[-1].text:
        raise GenerationError("no secret question")
    return "secret answer"


@pytest.fixture
def recording() -> Iterator[Recording]:
    with VisionChat(ScriptedBackend(_script)) as chat:
        yield Recording(chat)


def test_a_reply_is_a_span_with_the_names_of_the_conventions(recording: Recording) -> None:
    reply = recording.chat.ask("secret question", RED)
    (span,) = recording.all
    assert span.name == "chat scripted"
    assert span.kind is trace.SpanKind.INTERNAL
    told = dict(span.attributes)
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.provider.name"] == "qwenvl_kit"
    assert told["gen_ai.request.model"] == "scripted"
    assert told["gen_ai.response.finish_reasons"] == (reply.finish_reason,)
    assert told["gen_ai.usage.input_tokens"] == reply.usage.prompt_tokens
    assert told["gen_ai.usage.output_tokens"] == reply.usage.completion_tokens
    assert told["qwenvl_kit.visual_tokens"] == reply.usage.visual_tokens
    assert span.status.is_unset


def test_a_count_of_nothing_is_told_as_zero(recording: Recording) -> None:
    recording.chat.ask("a")
    told = recording.all[0].attributes
    assert told["gen_ai.usage.cache_read.input_tokens"] == 0
    assert told["qwenvl_kit.visual_tokens"] == 0


def test_each_name_is_one_of_the_conventions_or_of_the_kit(recording: Recording) -> None:
    gen_ai = pytest.importorskip("opentelemetry.semconv._incubating.attributes.gen_ai_attributes")
    if not hasattr(gen_ai, "GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS"):
        pytest.skip("the installed list of names is older than those of the kit")
    known = {value for value in vars(gen_ai).values() if isinstance(value, str)}
    known |= {"error.type", "server.address", "server.port"}
    recording.chat.ask("a", RED)
    with pytest.raises(GenerationError):
        recording.chat.ask("fail")
    for span in recording.all:
        names = {name for name in span.attributes if not name.startswith("qwenvl_kit.")}
        assert names <= known


def test_a_span_lasts_as_long_as_its_request(recording: Recording) -> None:
    reply = recording.chat.ask("a")
    (span,) = recording.all
    assert (span.end_time - span.start_time) / 1e9 == pytest.approx(reply.timing.total, abs=1e-6)


def test_a_failure_is_a_span_with_its_class_and_without_its_words(recording: Recording) -> None:
    with pytest.raises(GenerationError):
        recording.chat.ask("fail")
    with pytest.raises(MediaNotFoundError):
        recording.chat.ask("a", "secret.png")
    failed, missing = recording.all
    assert failed.status.status_code is trace.StatusCode.ERROR
    assert failed.attributes["error.type"] == "GenerationError"
    assert missing.attributes["error.type"] == "MediaNotFoundError"


def test_nothing_that_was_said_or_shown_is_in_a_span(recording: Recording) -> None:
    recording.chat.ask("secret question", RED)
    recording.chat.ask_many(["fail: secret question", Request.about("secret", "secret.png")])
    assert len(recording.all) == 3
    assert not any("secret" in span.to_json() for span in recording.all)


def test_spans_of_all_entrances_lie_in_the_trace_of_their_caller(recording: Recording) -> None:
    async def ask_twice() -> None:
        await asyncio.gather(recording.chat.ask_async("b"), recording.chat.ask_async("c"))

    with recording.under_a_parent() as parent:
        recording.chat.ask("a")
        asyncio.run(ask_twice())
        with recording.chat.stream("d") as stream:
            list(stream)
        recording.chat.ask_many(["e", "f", "fail"])
    inside = [span for span in recording.all if span.name.startswith("chat")]
    assert len(inside) == 7
    assert {span.parent.span_id for span in inside} == {parent.get_span_context().span_id}


def test_requests_of_several_threads_keep_their_traces_apart(recording: Recording) -> None:
    def work() -> None:
        with recording.under_a_parent():
            recording.chat.ask("a")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    inside = [span for span in recording.all if span.name.startswith("chat")]
    assert len({span.context.trace_id for span in inside}) == 4
    assert all(span.parent is not None for span in inside)


def test_spans_end_with_close_and_have_the_attributes_that_are_given() -> None:
    with VisionChat(ScriptedBackend(["a", "b"])) as chat:
        recording = Recording(chat, attributes={"deployment": "blue"})
        with recording.spans:
            chat.ask("a")
        chat.ask("b")
    (span,) = recording.all
    assert span.attributes["deployment"] == "blue"


def test_a_model_has_the_name_that_it_is_given() -> None:
    with VisionChat(ScriptedBackend(["a"])) as chat:
        recording = Recording(chat, attributes={"gen_ai.request.model": "menus-2"})
        chat.ask("a")
    assert recording.all[0].name == "chat menus-2"
    assert recording.all[0].attributes["gen_ai.request.model"] == "menus-2"


def test_a_trace_that_is_not_sampled_costs_no_span_and_no_error() -> None:
    with VisionChat(ScriptedBackend(["a"])) as chat:
        exporter, provider = InMemorySpanExporter(), TracerProvider(sampler=ALWAYS_OFF)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        OpenTelemetrySpans(chat, tracer_provider=provider)
        assert chat.ask("a").text == "a"
    assert exporter.get_finished_spans() == ()


def test_a_server_is_named_by_its_host_and_never_by_its_password() -> None:
    facts = {"server": "https://user:secret@models.example:8443/v1", "dialect": "vllm"}
    told = dict(_of_model(facts, "Qwen/Qwen3-VL-8B-Instruct"))
    assert told["server.address"] == "models.example"
    assert told["server.port"] == 8443
    assert told["gen_ai.provider.name"] == "vllm"
    assert not any("secret" in str(value) for value in told.values())


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("Qwen/Qwen2-VL-2B-Instruct", "Qwen/Qwen2-VL-2B-Instruct"),
        ("/home/anna/models/menus-2/", "menus-2"),
        ("models/menus-2", "models/menus-2"),
        ("C:\\models\\menus-2", "menus-2"),
        ("a/b/c", "c"),
        ("", ""),
    ],
)
def test_a_model_is_named_without_the_folders_of_the_machine(given: str, told: str) -> None:
    assert _short_name(given) == told


def test_the_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refusing(name: str, *given: Any, **options: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return real(name, *given, **options)

    monkeypatch.setattr(builtins, "__import__", refusing)
    with pytest.raises(MissingPackageError, match=r"qwenvl-kit\[tracing\]"):
        OpenTelemetrySpans(SimpleNamespace())  # type: ignore[arg-type]
