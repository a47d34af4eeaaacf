"""Pictures at another size, pixel for pixel as transformers' processors make them."""

from __future__ import annotations

from typing import Any

import numpy
import PIL.Image
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import resize

from qwenvl_kit.geometry import Size

_STRIP_ROWS = 64


def resize_image(image: PIL.Image.Image, size: Size) -> PIL.Image.Image:
    """The picture at another size by the arithmetic of transformers' processors.

    They resize uint8 tensors with torchvision; Pillow rounds differently, by up to two steps.
    """
    if image.size == (size.width_px, size.height_px):
        return image
    resized = resize(
        torch.from_numpy(_to_array(image)).permute(2, 0, 1),
        [size.height_px, size.width_px],
        interpolation=InterpolationMode.BICUBIC,
        antialias=True,
    )
    return PIL.Image.fromarray(resized.permute(1, 2, 0).numpy())


def _to_array(image: PIL.Image.Image) -> numpy.ndarray[Any, Any]:
    """The pixels of a picture, uint8 (height, width, 3).

    In strips, which stay in a core's cache: of a large picture Pillow's own way makes two copies,
    in more than twice the time.
    """
    array = numpy.empty((image.height, image.width, 3), numpy.uint8)
    for top in range(0, image.height, _STRIP_ROWS):
        bottom = min(image.height, top + _STRIP_ROWS)
        array[top:bottom] = numpy.asarray(image.crop((0, top, image.width, bottom)))
    return array
