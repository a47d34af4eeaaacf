"""Memory bounds, for steps of decoding whose need is known in advance."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeAlias

Bound: TypeAlias = "Callable[[int], AbstractContextManager[None]]"
"""A function from a number of pixels to a context that bounds memory to such a picture's need."""


def unbounded(num_pixels: int) -> AbstractContextManager[None]:
    """Return a context without a bound; in the caller's process a bound would hold all threads."""
    del num_pixels
    return nullcontext()
