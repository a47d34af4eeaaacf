"""Telemetry of a chat: listeners told of each reply and failure, and what they make of it.

from qwenvl_kit.telemetry import OpenTelemetrySpans, PrometheusMetrics
metrics = PrometheusMetrics(chat)  # for Prometheus
spans = OpenTelemetrySpans(chat)  # for OpenTelemetry
"""

from qwenvl_kit.pipeline.listeners import Listener, Listeners
from qwenvl_kit.pipeline.tracing import Trace, TracedRequest, TraceSpan
from qwenvl_kit.telemetry.metrics import PrometheusMetrics
from qwenvl_kit.telemetry.spans import OpenTelemetrySpans
from qwenvl_kit.telemetry.tracing import trace

__all__ = [
    "Listener",
    "Listeners",
    "OpenTelemetrySpans",
    "PrometheusMetrics",
    "Trace",
    "TraceSpan",
    "TracedRequest",
    "trace",
]
