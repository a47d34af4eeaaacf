"""The resizer: pictures at another size, pixel for pixel as transformers' processors make them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy
import PIL.Image
import torch
import torchvision
from packaging.version import Version
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import resize

from qwenvl_kit.errors import CheckpointError
from qwenvl_kit.geometry import Size

_STRIP_ROWS = 64

_MODES: Mapping[Any, InterpolationMode] = MappingProxyType(
    {
        None: InterpolationMode.BILINEAR,
        0: InterpolationMode.NEAREST_EXACT,
        1: InterpolationMode.LANCZOS,
        2: InterpolationMode.BILINEAR,
        3: InterpolationMode.BICUBIC,
        4: InterpolationMode.BOX,
        5: InterpolationMode.HAMMING,
    }
)
"""The modes of torchvision for Pillow's numbers (`pil_torch_interpolation_mapping` of
transformers)."""


@dataclass(frozen=True)
class Resizer:
    """Resizes pictures and frames as a checkpoint's processors do.

    Attributes:
        images: the interpolation of pictures.
        frames: the interpolation of the frames of a video.
    """

    images: InterpolationMode = InterpolationMode.BICUBIC
    frames: InterpolationMode = InterpolationMode.BICUBIC

    @classmethod
    def of(cls, processor: Any) -> Resizer:
        """The resizer of a processor, by the `resample` of its preprocessor_config.json.

        Raises:
            CheckpointError: the value of `resample` is not known.
        """
        parts = (processor.image_processor, processor.video_processor)
        return cls(*map(_interpolation_of, parts))

    def image(self, image: PIL.Image.Image, size: Size) -> PIL.Image.Image:
        """Resize a picture."""
        return resize_image(image, size, self.images)

    def frame(self, image: PIL.Image.Image, size: Size) -> PIL.Image.Image:
        """Resize a frame of a video."""
        return resize_image(image, size, self.frames)


def _interpolation_of(part: Any) -> InterpolationMode:
    """The mode of torchvision for the `resample` of an image or video processor.

    Source: `TorchvisionBackend.resize` of transformers, which uses Lanczos with torchvision 0.27
    and later, and bicubic in its place before.
    """
    given = getattr(part, "resample", None)
    is_number = given is None or type(given) is int or isinstance(given, PIL.Image.Resampling)
    found: Any = _MODES.get(given) if is_number else given
    is_old = Version(torchvision.__version__) < Version("0.27")
    if found == InterpolationMode.LANCZOS and is_old:
        found = InterpolationMode.BICUBIC
    try:
        if not isinstance(found, InterpolationMode):
            raise ValueError("unknown")
        resize_image(PIL.Image.new("RGB", (8, 8)), Size(4, 4), found)
    except Exception as error:  # torchvision refuses what it does not know in several ways
        raise CheckpointError(
            f"the {type(part).__name__} says resample={given!r}, which cannot be used "
            f"({type(error).__name__}: {error})",
            expected="0 (nearest), 1 (Lanczos), 2 (bilinear) or 3 (bicubic), which is what all "
            "published checkpoints say",
        ) from error
    return found


def resize_image(
    image: PIL.Image.Image,
    size: Size,
    interpolation: InterpolationMode = InterpolationMode.BICUBIC,
) -> PIL.Image.Image:
    """Resize a picture by the arithmetic of transformers' processors.

    They resize uint8 tensors with torchvision; Pillow rounds differently, by up to two steps.
    """
    if image.size == (size.width_px, size.height_px):
        return image
    resized = resize(
        torch.from_numpy(_to_array(image)).permute(2, 0, 1),
        [size.height_px, size.width_px],
        interpolation=interpolation,
        antialias=True,
    )
    return PIL.Image.fromarray(resized.permute(1, 2, 0).numpy())


def _to_array(image: PIL.Image.Image) -> numpy.ndarray[Any, Any]:
    """The pixels of a picture, uint8 (height, width, 3).

    They are copied in strips, which stay in the cache of a core. For a large picture Pillow's own
    conversion makes two copies, and takes more than twice the time.
    """
    array = numpy.empty((image.height, image.width, 3), numpy.uint8)
    for top in range(0, image.height, _STRIP_ROWS):
        bottom = min(image.height, top + _STRIP_ROWS)
        array[top:bottom] = numpy.asarray(image.crop((0, top, image.width, bottom)))
    return array
