"""The probe of a model: its logits for a fixed question about a fixed picture.

If an adapter does not change them, it has no effect.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import PIL.Image
import torch

from qwenvl_kit.families import Family


class Probe:
    """Runs a forward pass on a small picture and a few words.

    Args:
        model: the model of transformers.
        processor: its processor.
        family: its family.
    """

    def __init__(self, model: Any, processor: Any, family: Family) -> None:
        self._model = model
        self._processor = processor
        self._family = family

    def __call__(self) -> torch.Tensor:
        """Return the model's logits, (1, tokens, vocabulary)."""
        device = self._model.device
        moved = {name: tensor.to(device) for name, tensor in self._inputs.items()}
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            logits: torch.Tensor = self._model(**moved, use_cache=False).logits
        return logits

    @cached_property
    def _inputs(self) -> dict[str, torch.Tensor]:
        family = self._family
        image = f"{family.vision_start_token}{family.image_token}{family.vision_end_token}"
        with torch.device("cpu"):  # whatever torch's default device is
            inputs = self._processor(
                text=[f"{image}What is it?"], images=[_picture()], return_tensors="pt"
            )
        return dict(inputs)


def _picture() -> PIL.Image.Image:
    """A picture of all colours and brightnesses, without two equal parts."""
    across = PIL.Image.linear_gradient("L")
    down = across.transpose(PIL.Image.Transpose.ROTATE_90)
    return PIL.Image.merge("RGB", (PIL.Image.radial_gradient("L"), across, down)).resize((128, 128))
