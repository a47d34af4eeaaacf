"""Metrics of a chat for Prometheus (extra `metrics`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from qwenvl_kit.errors import MissingPackageError, UnsupportedFeatureError
from qwenvl_kit.results import Reply

if TYPE_CHECKING:
    from typing_extensions import Self

    from qwenvl_kit.chat import VisionChat

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_SHARES = tuple(share / 10 for share in range(1, 11))


class PrometheusMetrics:
    """Metrics of a chat, collected by Prometheus. Their names begin with `qwenvl_kit_`.

    - counters: requests by finish reason, failures by error, tokens by kind, degradations;
    - histograms: seconds by stage, confidence;
    - gauges: waiting and running requests, size, hits and misses of the cache that is kept between
      requests, free memory of the device.

    No prompt, answer or picture is ever part of them.

    Example:
        metrics = PrometheusMetrics(chat)
        prometheus_client.start_http_server(9000)

    Args:
        chat: the chat to measure.
        registry: a `prometheus_client.CollectorRegistry`; None takes the default one.
        labels: labels of all metrics, such as `{"model": "8B"}`.

    Raises:
        MissingPackageError: prometheus_client is not installed.
        ValueError: the registry has metrics of these names already, of another chat for example.
            Give each chat its own registry.
    """

    def __init__(
        self, chat: VisionChat, *, registry: Any = None, labels: dict[str, str] | None = None
    ) -> None:
        try:
            import prometheus_client
        except ImportError as error:
            raise MissingPackageError(
                "prometheus_client is not installed", hint="pip install 'qwenvl-kit[metrics]'"
            ) from error
        self._chat = chat
        self._registry = prometheus_client.REGISTRY if registry is None else registry
        self._collector = _Collector(chat, labels or {})
        self._registry.register(self._collector)
        chat.listeners.add(self._collector)

    def close(self) -> None:
        """Stop counting, and remove the metrics from the registry."""
        self._chat.listeners.remove(self._collector)
        self._registry.unregister(self._collector)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Collector:
    """A `Listener` that is also a collector of prometheus_client, with a registry of its own."""

    def __init__(self, chat: VisionChat, labels: dict[str, str]) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self._chat = chat
        self._labels = labels
        self._own = CollectorRegistry(auto_describe=False)
        names, values = tuple(labels), tuple(labels.values())

        def counter(name: str, text: str, label: str) -> Callable[[str, float], None]:
            made = Counter(f"qwenvl_kit_{name}", text, (*names, label), registry=self._own)
            return lambda kind, amount: made.labels(*values, kind).inc(amount)

        def histogram(
            name: str, text: str, label: str, buckets: tuple[float, ...]
        ) -> Callable[[str, float], None]:
            made = Histogram(
                f"qwenvl_kit_{name}", text, (*names, label), registry=self._own, buckets=buckets
            )
            return lambda kind, amount: made.labels(*values, kind).observe(amount)

        self._requests = counter("requests", "Requests by finish reason.", "outcome")
        self._failures = counter("failures", "Requests that failed, by error.", "error")
        self._tokens = counter("tokens", "Tokens of prompts and answers.", "kind")
        self._degradations = counter(
            "degradations", "Degradations that were accepted to answer.", "kind"
        )
        self._seconds = histogram("seconds", "Seconds of a request by stage.", "stage", _SECONDS)
        self._confidence = histogram("confidence", "Confidence of answers.", "outcome", _SHARES)

    def on_reply(self, reply: Reply) -> None:
        """Count a reply."""
        self._requests(reply.finish_reason, 1)
        usage, timing = reply.usage, reply.timing
        for kind, count in (
            ("prompt", usage.prompt_tokens),
            ("visual", usage.visual_tokens),
            ("completion", usage.completion_tokens),
            ("reused", usage.reused_tokens),
        ):
            self._tokens(kind, count)
        for stage in ("media", "vision", "prefill", "decode", "total"):
            seconds = getattr(timing, stage)
            if seconds is not None:
                self._seconds(stage, seconds)
        if reply.plan.degradations:
            self._degradations("reply", len(reply.plan.degradations))
        if reply.confidence is not None:
            self._confidence(reply.finish_reason, reply.confidence)

    def on_failure(self, error: Exception) -> None:
        """Count a failure."""
        self._requests("failed", 1)
        self._failures(type(error).__name__, 1)

    def collect(self) -> Iterator[Any]:
        """Yield all metrics; Prometheus calls this for each scrape."""
        from prometheus_client.core import GaugeMetricFamily

        yield from self._own.collect()
        for name, text, value in self._gauges():
            gauge = GaugeMetricFamily(f"qwenvl_kit_{name}", text, labels=tuple(self._labels))
            gauge.add_metric(tuple(self._labels.values()), value)
            yield gauge

    def describe(self) -> Iterator[Any]:
        """Yield all metrics, by which the registry notices a second collector of these names."""
        return self.collect()

    def _gauges(self) -> Iterator[tuple[str, str, float]]:
        health = self._chat.health()
        yield "waiting_requests", "Requests that are waiting.", health.num_waiting
        yield "running_requests", "Requests that are running.", health.num_running
        if health.free_bytes is not None:
            yield "free_bytes", "Free memory of the device.", health.free_bytes
        try:
            kept = self._chat.cache_info()
        except UnsupportedFeatureError:
            return
        yield "cache_bytes", "Memory of the cache between requests.", kept.used_bytes
        yield "cache_max_bytes", "Limit of the memory of the cache.", kept.max_bytes
        yield "cache_hits", "Pictures and prompts found in the cache.", kept.hits
        yield "cache_misses", "Pictures and prompts not found in the cache.", kept.misses
