"""Whether a chat can take requests, and how much it has to do."""

from __future__ import annotations

from dataclasses import dataclass

from qwenvl_kit.backends.base import Backend
from qwenvl_kit.errors import ModelLoadError


@dataclass(frozen=True)
class Health:
    """How a chat is doing at the moment. Asking for it never waits for the model.

    Attributes:
        is_ready: whether requests are taken; False once it was closed.
        num_waiting: requests that wait for the model.
        num_running: requests that are being answered.
        free_bytes: memory that the device could still give; None where not known.
    """

    is_ready: bool
    num_waiting: int
    num_running: int
    free_bytes: int | None

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self.num_waiting and not self.num_running


def health_of(backend: Backend) -> Health:
    """How a backend is doing."""
    try:
        load = backend.load()
        return Health(True, load.num_waiting, load.num_running, backend.free_bytes())
    except ModelLoadError:  # it was closed
        return Health(False, 0, 0, None)
