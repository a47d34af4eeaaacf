"""A network that OpenVINO runs, with the attributes by which the engine knows one of transformers.

The class of transformers is built without weights, on the "meta" device: it has the configuration,
the arithmetic of M-RoPE positions, and the shapes from which memory is predicted.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
import transformers

from qwenvl_kit.backends.openvino.graph import CompiledParts
from qwenvl_kit.backends.openvino.state import StatePool
from qwenvl_kit.backends.openvino.vision import VisionOutput, VisionPart
from qwenvl_kit.families import Family


class OpenVinoNetwork:
    """The parts of an exported model.

    Args:
        parts: the compiled parts.
        skeleton: the model of transformers without weights.
        dtype: the type in which OpenVINO computes.

    Attributes:
        config: its configuration.
        generation_config: its settings for generation.
        model: the inner model of transformers, without weights.
        device: the processor.
        dtype: the type in which OpenVINO computes.
        states: the keys and values of its language model.
        language_inputs: the names of the language model's inputs.
    """

    def __init__(self, parts: CompiledParts, skeleton: Any, dtype: torch.dtype) -> None:
        self.config = skeleton.config
        self.generation_config = skeleton.generation_config
        self.model = skeleton.model
        self.device = torch.device("cpu")
        self.dtype = dtype
        self.states = StatePool(parts.language, dtype)
        self.language_inputs = frozenset(
            name for each in parts.language.inputs for name in each.names
        )
        self._text_embeddings = parts.text_embeddings.create_infer_request()
        self._vision = VisionPart(parts, skeleton.config.vision_config)
        self._home = SimpleNamespace(weight=torch.empty(0))

    @property
    def has_windows(self) -> bool:
        """True if its vision encoder attends in windows, for which it is given a mask."""
        return self._vision.has_windows

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the embeddings of token ids, fp32 (rows, tokens, width)."""
        found = self._text_embeddings.infer([ids.contiguous().numpy()])[0]
        return torch.from_numpy(found.copy())

    def get_image_features(
        self, pixels: torch.Tensor, grids: torch.Tensor, *, return_dict: bool = True
    ) -> VisionOutput:
        """Return the features of pictures; see `VisionPart.encode`."""
        return self._vision.encode(pixels, grids)

    get_video_features: Callable[..., VisionOutput] = get_image_features

    def get_input_embeddings(self) -> Any:
        """Return an object whose `weight` lies where features belong: on the processor."""
        return self._home


def build_skeleton(config: Any, family: Family) -> Any:
    """Build a model of transformers without weights.

    Args:
        config: its configuration of transformers.
        family: its family.
    """
    with torch.device("meta"):
        return getattr(transformers, family.model_class)(config).eval()
