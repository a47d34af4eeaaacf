"""Telemetry of a chat: listeners that are told of each reply, Prometheus metrics, and traces.

from qwenvl_kit.telemetry import PrometheusMetrics
metrics = PrometheusMetrics(chat)
"""

from qwenvl_kit.pipeline.listeners import Listener, Listeners
from qwenvl_kit.pipeline.tracing import Trace, TracedRequest, TraceSpan
from qwenvl_kit.telemetry.metrics import PrometheusMetrics
from qwenvl_kit.telemetry.tracing import trace

__all__ = [
    "Listener",
    "Listeners",
    "PrometheusMetrics",
    "Trace",
    "TraceSpan",
    "TracedRequest",
    "trace",
]
