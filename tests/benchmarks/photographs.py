"""Pictures that compress like photographs."""

from __future__ import annotations

import numpy
import PIL.Image


def photograph(width: int, height: int, seed: int = 0) -> PIL.Image.Image:
    """Detail at every scale, falling off as in photographs, and a sensor's noise."""
    rng = numpy.random.default_rng(seed)
    total = numpy.zeros((height, width, 3), numpy.float32)
    for side in (4, 16, 64, 256, 1024):
        noise = rng.integers(0, 255, (side * height // width, side, 3), dtype=numpy.uint8)
        layer = PIL.Image.fromarray(noise).resize((width, height), PIL.Image.Resampling.BICUBIC)
        total += (numpy.asarray(layer, numpy.float32) - 127) * (8 / side**0.5) / 8
    total += rng.normal(0, 3, total.shape)
    return PIL.Image.fromarray(numpy.clip(total + 127, 0, 255).astype(numpy.uint8))
