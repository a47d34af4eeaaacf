"""A cluster of Ray that is this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

MOST_STARTS = 5
"""Ray gives its node 30 seconds to start, which no setting changes (`ray/_private/node.py`)."""
TIMEOUTS = {
    "RAY_gcs_server_port_wait_time_s": "120",
    "RAY_gcs_rpc_server_connect_timeout_s": "120",
    "RAY_py_gcs_connect_timeout_s": "120",
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_agent_register_timeout_ms": "600000",
}
"""Longer timeouts than Ray's own: a busy machine is slow and not broken."""


@contextmanager
def running_cluster() -> Iterator[None]:
    """Two processors on loopback, and nothing printed."""
    import ray
    import ray.data

    for name, value in TIMEOUTS.items():
        os.environ.setdefault(name, value)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    _start(ray)
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        yield
    finally:
        ray.shutdown()


def _start(ray: Any) -> None:
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "error"}
    for start in range(MOST_STARTS):
        try:
            ray.init(
                num_cpus=2, object_store_memory=300 << 20, _node_ip_address="127.0.0.1", **quiet
            )
            return
        except Exception:  # Ray raises no class of its own where its node is late
            ray.shutdown()
            if start == MOST_STARTS - 1:
                raise
