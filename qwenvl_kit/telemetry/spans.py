"""Spans of a chat for OpenTelemetry (extra `tracing`), by its conventions for generative AI.

Names of attributes and the rules of spans: "Semantic conventions for generative client AI spans",
https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/, status Development, as of 1.41.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from qwenvl_kit.errors import MissingPackageError
from qwenvl_kit.results import Reply

if TYPE_CHECKING:
    from opentelemetry.trace import Span, TracerProvider
    from typing_extensions import Self

    from qwenvl_kit.chat import VisionChat

_STAGES = ("media", "vision", "prefill", "decode")


class OpenTelemetrySpans:
    """Spans of a chat: one for each reply and failure, in the trace of the caller.

    A span is named `chat MODEL`. Its kind is CLIENT for a server and INTERNAL for a model of this
    process. It has the attributes `gen_ai.*` of the conventions: model, finish reason, tokens of
    prompt and answer, those that were not computed again. What the conventions have no name for
    begins with `qwenvl_kit.`: visual tokens, seconds of each stage, confidence, degradations.

    A span is made when the reply is there, with the times of the request: it has no children, and
    samplers see all attributes at its start. No prompt, answer, picture or path is ever part of it.

    Example:
        spans = OpenTelemetrySpans(chat)

    Args:
        chat: the chat to trace.
        tracer_provider: a `TracerProvider` of OpenTelemetry; None takes the global one.
        attributes: attributes of all spans, such as `{"deployment": "blue"}`. Its
            "gen_ai.request.model" names the model, which is else its hub id or the last folder of
            its path.

    Raises:
        MissingPackageError: opentelemetry-api is not installed.
    """

    def __init__(
        self,
        chat: VisionChat,
        *,
        tracer_provider: TracerProvider | None = None,
        attributes: Mapping[str, str | bool | int | float] | None = None,
    ) -> None:
        try:
            from opentelemetry import trace
        except ImportError as error:
            raise MissingPackageError(
                "opentelemetry-api is not installed", hint="pip install 'qwenvl-kit[tracing]'"
            ) from error
        self._chat = chat
        self._attributes = dict(attributes or {})
        self._tracer = trace.get_tracer("qwenvl_kit", tracer_provider=tracer_provider)
        chat.listeners.add(self)

    def close(self) -> None:
        """Make no more spans."""
        self._chat.listeners.remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def on_reply(self, reply: Reply) -> None:
        """Make the span of a reply, which ends now and began `timing.total` seconds ago."""
        ended = time.time_ns()
        self._begin(ended - round(reply.timing.total * 1e9), dict(_of_reply(reply))).end(ended)

    def on_failure(self, error: Exception) -> None:
        """Make the span of a failure, without a duration: its beginning is not known."""
        from opentelemetry.trace import Status, StatusCode

        now = time.time_ns()
        span = self._begin(now, {"error.type": _error_type(error)})
        span.set_status(Status(StatusCode.ERROR))
        span.end(now)

    def _begin(self, started: int, attributes: Mapping[str, Any]) -> Span:
        from opentelemetry.trace import SpanKind

        facts = self._chat.report()
        named = self._attributes.get("gen_ai.request.model")
        model = str(named) if named else _short_name(facts.get("model", ""))
        return self._tracer.start_span(
            f"chat {model}".strip(),
            kind=SpanKind.CLIENT if "server" in facts else SpanKind.INTERNAL,
            attributes={**dict(_of_model(facts, model)), **attributes, **self._attributes},
            start_time=started,
        )


def _of_model(facts: Mapping[str, str], model: str) -> Iterator[tuple[str, Any]]:
    yield "gen_ai.operation.name", "chat"
    yield "gen_ai.provider.name", facts.get("dialect", "qwenvl_kit")
    if model:
        yield "gen_ai.request.model", model
    if "server" in facts:
        address = urlsplit(facts["server"])
        if address.hostname:
            yield "server.address", address.hostname
        if address.port:
            yield "server.port", address.port


def _of_reply(reply: Reply) -> Iterator[tuple[str, Any]]:
    usage = reply.usage
    yield "gen_ai.response.finish_reasons", (reply.finish_reason,)
    yield "gen_ai.usage.input_tokens", usage.prompt_tokens
    yield "gen_ai.usage.output_tokens", usage.completion_tokens
    yield "gen_ai.usage.cache_read.input_tokens", usage.reused_tokens
    yield "gen_ai.request.max_tokens", reply.plan.max_new_tokens
    yield "qwenvl_kit.visual_tokens", usage.visual_tokens
    for stage in _STAGES:
        yield f"qwenvl_kit.{stage}_seconds", getattr(reply.timing, stage)
    if reply.confidence is not None:
        yield "qwenvl_kit.confidence", reply.confidence
    if reply.plan.degradations:
        yield "qwenvl_kit.num_degradations", len(reply.plan.degradations)


def _error_type(error: Exception) -> str:
    """The class of an error; "timeout" is a word of the conventions for what took too long."""
    return "timeout" if isinstance(error, TimeoutError) else type(error).__qualname__


def _short_name(model: str) -> str:
    """A name of few values, and without the folders of a machine: a hub id, or a last folder."""
    is_path = model.startswith(("/", ".", "~")) or "\\" in model or model.count("/") > 1
    return model.replace("\\", "/").rstrip("/").rpartition("/")[2] if is_path else model
