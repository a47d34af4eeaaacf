"""Times of short computations that take turns, for choices by measurement."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence


def shortest_ms(
    computations: Sequence[Callable[[], object]], *, num_rounds: int = 4
) -> list[float]:
    """Return the shortest times of some computations that take turns, in milliseconds.

    The first round does not count, as kernels are chosen in it. Another program beside this one can
    only make a time longer, so that the shortest is the best estimate.
    """
    shortest = [math.inf] * len(computations)
    for number in range(1 + num_rounds):
        for at, compute in enumerate(computations):
            begun = time.perf_counter()
            compute()
            if number:
                shortest[at] = min(shortest[at], (time.perf_counter() - begun) * 1000)
    return shortest
