"""Bounds of memory, for steps of decoding whose need is known before they are taken."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeAlias

Bound: TypeAlias = "Callable[[int], AbstractContextManager[None]]"
"""Holds a step to what a picture of so many pixels may take."""


def unbounded(num_pixels: int) -> AbstractContextManager[None]:
    """No bound, as in the process of who asks: one that it is set holds for all of its threads."""
    del num_pixels
    return nullcontext()
