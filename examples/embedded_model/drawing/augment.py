"""Mild damage that real pictures carry: JPEG, noise, blur, a cast of colour."""

from __future__ import annotations

import io
import random

import numpy as np
from PIL import Image, ImageFilter


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    """The picture after a round of JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def noise(rng: random.Random, picture: Image.Image, deviation: float) -> Image.Image:
    """The picture with Gaussian noise on every channel."""
    generator = np.random.default_rng(rng.getrandbits(32))
    pixels = np.asarray(picture)
    grain = generator.standard_normal(pixels.shape, np.float32) * deviation
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))


def cast(rng: random.Random, picture: Image.Image) -> Image.Image:
    """The picture slightly brighter, darker or tinted."""
    table: list[int] = []
    for _ in range(3):
        gain, offset = rng.uniform(0.9, 1.05), rng.uniform(-8, 8)
        table += [min(max(round(v * gain + offset), 0), 255) for v in range(256)]
    return picture.point(table)


def damage(rng: random.Random, picture: Image.Image, strength: float = 1.0) -> Image.Image:
    """Each kind of damage with a small probability; `strength` 0 leaves the picture alone."""
    if rng.random() < 0.08 * strength:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.8)))
    if rng.random() < 0.15 * strength:
        picture = cast(rng, picture)
    if rng.random() < 0.2 * strength:
        picture = noise(rng, picture, rng.uniform(1.5, 9.0))
    if rng.random() < 0.25 * strength:
        picture = jpeg(picture, rng.randint(40, 95))
    return picture
