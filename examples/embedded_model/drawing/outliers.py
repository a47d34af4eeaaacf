"""Photo-like pictures of nothing: what the model must not be sure about."""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from .canvas import Canvas

Field = NDArray[np.float32]


def _octaves(generator: np.random.Generator, width: int, height: int, first: int) -> Field:
    """Smooth noise of several scales, roughly in -1..1."""
    total = np.zeros((height, width), np.float32)
    for octave in range(4):
        count = first * 2**octave
        coarse = generator.standard_normal((count, count)).astype(np.float32)
        layer = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(layer) * 0.55**octave
    return total * 0.6


def _gradient(generator: np.random.Generator, width: int, height: int) -> Field:
    down, across = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = generator.uniform(0, 2 * np.pi)
    wave: Field = np.cos(angle) * across / width + np.sin(angle) * down / height
    return (wave * generator.uniform(0.5, 2)).astype(np.float32)


def _texture(generator: np.random.Generator, width: int, height: int) -> Field:
    down, across = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = generator.uniform(0, np.pi)
    period = generator.uniform(4, 30)
    phase = (np.cos(angle) * across + np.sin(angle) * down) * 2 * np.pi / period
    warp = _octaves(generator, width, height, 2) * generator.uniform(0, 3)
    wave: Field = np.sin(phase + warp).astype(np.float32)
    return wave


def _blobs(generator: np.random.Generator, width: int, height: int) -> Field:
    field = _octaves(generator, width, height, int(generator.integers(2, 5)))
    blobs: Field = np.tanh(field * generator.uniform(2, 8)).astype(np.float32)
    return blobs


def photo_like(rng: random.Random, canvas: Canvas) -> Image.Image:
    """A colourful mixture of gradients, clouds, textures and soft blobs."""
    generator = np.random.default_rng(rng.getrandbits(32))
    size = canvas.grid.width, canvas.grid.height
    makers = (_gradient, _texture, _blobs, lambda g, w, h: _octaves(g, w, h, 3))
    pixels = np.empty((size[1], size[0], 3), np.float32)
    pixels[:] = generator.uniform(30, 225, 3)
    for _ in range(rng.randint(2, 4)):
        field = rng.choice(makers)(generator, *size)
        pixels += field[:, :, None] * generator.normal(0, 45, 3).astype(np.float32)
    pixels += generator.standard_normal(pixels.shape, np.float32) * rng.uniform(0, 12)
    picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    if rng.random() < 0.5:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.5)))
    return picture
