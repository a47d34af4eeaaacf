"""The runner of a language model in OpenVINO: passes over tokens, with their keys and values."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from qwenvl_kit.backends.local.cache.kv_cache import CacheState
from qwenvl_kit.backends.local.engine.model_runner import ModelRunner
from qwenvl_kit.backends.local.engine.vision_encoder import EncoderOutputs
from qwenvl_kit.backends.openvino.graph import KEEP
from qwenvl_kit.backends.openvino.network import OpenVinoNetwork
from qwenvl_kit.backends.openvino.state import OpenState

_KINDS = ("image", "video")


class OpenVinoRunner(ModelRunner):
    """Runs the language model of an export on parts of sequences.

    Args:
        network: the parts of the export.
        pad_id: the token for padding.
    """

    def __init__(self, network: OpenVinoNetwork, pad_id: int) -> None:
        super().__init__(network, pad_id)
        self._network = network
        config = network.config
        self._placeholders = {"image": config.image_token_id, "video": config.video_token_id}
        vision = config.vision_config
        self._num_deep = len(getattr(vision, "deepstack_visual_indexes", None) or ())

    def may_share(self, length: int, num_rows: int) -> bool:
        """False: OpenVINO's attention takes no prefix that is held once for several rows."""
        return False

    def open_state(self, state: CacheState | None = None) -> OpenState:
        """Open keys and values with which the model can go on, empty or from a state."""
        return self._network.states.open(state)

    def read(self, cache: OpenState) -> CacheState:
        """Read the state; later passes do not change what is returned."""
        return cache.read()

    def cut(self, cache: OpenState, length: int) -> None:
        """Cut a state down to its first positions: it is read, and written anew."""
        cache.cut(length)

    def _reserve(self, cache: OpenState, length: int) -> None:
        """Do nothing: OpenVINO makes room by itself."""

    def _run(self, cache: OpenState, **inputs: Any) -> torch.Tensor:
        """Run a pass; return logits, fp32 (batch, tokens, vocabulary)."""
        ids, mask, positions = (
            inputs[name] for name in ("input_ids", "attention_mask", "position_ids")
        )
        rows, width = ids.shape
        if mask is None:
            mask = torch.ones((rows, cache.get_seq_length() + width), dtype=torch.long)
        outputs = inputs.get("mm_encoder_outputs")
        given = {
            "inputs_embeds": self._embed(ids, outputs),
            "attention_mask": mask,
            "position_ids": positions[1:],  # the first are those in the text
            KEEP: torch.tensor([inputs["logits_to_keep"]]),
            **self._deep(ids, outputs),
        }
        arrays = {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in given.items()}
        arrays["beam_idx"] = np.arange(rows, dtype=np.int32)
        return torch.from_numpy(cache.infer(arrays, width))

    def _embed(self, ids: torch.Tensor, outputs: EncoderOutputs | None) -> torch.Tensor:
        """The embeddings of tokens, with the features of media in their places."""
        embedded = self._network.embed(ids)
        for kind in _KINDS:
            found = None if outputs is None else outputs.get(kind)
            if found is not None:
                embedded[ids == self._placeholders[kind]] = torch.cat(list(found.pooler_output))
        return embedded

    def _deep(self, ids: torch.Tensor, outputs: EncoderOutputs | None) -> dict[str, torch.Tensor]:
        """The features that deeper layers are given; one that nobody reads where there are none."""
        if not self._num_deep:
            return {}
        places = {kind: ids == token for kind, token in self._placeholders.items()}
        shown = places["image"] | places["video"]
        if outputs is None or not bool(shown.any()):
            empty = torch.zeros((self._num_deep, 1, self._width))
            return {
                "visual_pos_masks": torch.zeros_like(shown),
                "deepstack_visual_embeds": empty,
            }
        deep = torch.zeros((self._num_deep, int(shown.sum()), self._width))
        for kind in _KINDS:
            found = outputs.get(kind)
            if found is not None:
                levels = [torch.cat(list(level)) for level in found.deepstack_features]
                deep[:, places[kind][shown]] = torch.stack(levels)
        return {"visual_pos_masks": shown, "deepstack_visual_embeds": deep}

    @property
    def _width(self) -> int:
        return int(self._network.config.get_text_config().hidden_size)
