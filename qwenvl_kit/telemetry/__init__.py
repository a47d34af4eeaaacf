"""Telemetry of a chat: listeners that are told of each reply and failure, and Prometheus metrics.

from qwenvl_kit.telemetry import PrometheusMetrics
metrics = PrometheusMetrics(chat)
"""

from qwenvl_kit.pipeline.listeners import Listener, Listeners
from qwenvl_kit.telemetry.metrics import PrometheusMetrics

__all__ = ["Listener", "Listeners", "PrometheusMetrics"]
