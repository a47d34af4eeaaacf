"""System messages, as conversations begin with them."""

from __future__ import annotations

import random

from . import wordings, wordings_zh


def system_message(rng: random.Random) -> str:
    """A system message: a usual one in either language, or any words."""
    if rng.random() < 0.8:
        return rng.choice(rng.choice([wordings.SYSTEM, wordings_zh.SYSTEM]))
    words = " ".join(wordings.SYSTEM).split()
    return " ".join(rng.choice(words) for _ in range(rng.randint(2, 9)))
