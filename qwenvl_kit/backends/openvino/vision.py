"""The vision encoder of an export: patches of pictures and frames become visual tokens.

optimum-intel leaves the arithmetic about positions to the caller: the angles of patches, windows
(Qwen2.5-VL) and learned positions (Qwen3-VL). Attention stays within one picture or group of
frames, so each goes through the encoder alone; a mask of ones is then a single number, where a mask
for all patches of several pictures would take the square of their count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from qwenvl_kit.backends.openvino.graph import CompiledParts, input_names

_THETA = 10_000.0
"""The base of the angles, in all families (`VisionRotaryEmbedding` of transformers)."""


@dataclass(frozen=True)
class VisionOutput:
    """Features as the engine takes them.

    Attributes:
        pooler_output: one vector for each visual token, for each picture or video.
    """

    pooler_output: tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class DeepVisionOutput(VisionOutput):
    """Features with those for deeper layers of the language model (Qwen3-VL).

    Attributes:
        deepstack_features: for each of these layers, vectors for each picture or video.
    """

    deepstack_features: Sequence[Sequence[torch.Tensor]] = ()


class VisionPart:
    """Runs the vision parts of an export.

    Args:
        parts: the compiled parts.
        config: the `vision_config` of transformers.

    Attributes:
        has_windows: True if most of its layers attend within windows.
    """

    def __init__(self, parts: CompiledParts, config: Any) -> None:
        self._embeddings = parts.vision_embeddings.create_infer_request()
        self._encoder = parts.vision_encoder.create_infer_request()
        learned = parts.vision_positions
        self._positions: Any = learned and learned.create_infer_request()
        width = getattr(config, "embed_dim", None) or config.hidden_size
        self._frequencies = frequencies(width // config.num_heads // 2)
        self._merge = int(config.spatial_merge_size)
        self._side = round(getattr(config, "num_position_embeddings", 0) ** 0.5)
        self.has_windows = "window_index" in input_names(parts.vision_encoder)
        self._window = (
            config.window_size // self._merge // config.patch_size if self.has_windows else 0
        )

    def encode(self, pixels: torch.Tensor, grids: torch.Tensor) -> VisionOutput:
        """Return the features of pictures, or of videos.

        Args:
            pixels: patches of all of them, fp32 (patches, values of one).
            grids: for each the number of patches in time, height and width, (pictures, 3).
        """
        pooled, deep, start = list[torch.Tensor](), list[torch.Tensor](), 0
        for frames, height, width in grids.tolist():
            count = height * width
            groups = [
                self._encode_group(
                    pixels[start + count * at : start + count * (at + 1)], height, width
                )
                for at in range(frames)
            ]
            start += frames * count
            pooled.append(torch.cat([group[0] for group in groups]))
            deep.append(torch.cat([group[1] for group in groups], dim=1))
        if self._positions is None:
            return VisionOutput(tuple(pooled))
        return DeepVisionOutput(tuple(pooled), [list(level) for level in zip(*map(list, deep))])

    def _encode_group(
        self, pixels: torch.Tensor, height: int, width: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The features of one picture or group of frames, and those for deeper layers."""
        embedded = self._embeddings.infer([np.ascontiguousarray(pixels.float().numpy())])[0]
        if self._positions is not None:
            embedded = embedded + self._learned_positions(height, width)
        given = {
            "hidden_states": np.ascontiguousarray(embedded),
            "attention_mask": np.zeros((1, 1, 1), np.float32),
            "rotary_pos_emb": angles(self._frequencies, height, width, self._merge),
        }
        if self.has_windows:
            index, lengths = windows(height // self._merge, width // self._merge, self._window)
            given["window_index"] = index
            given["window_attention_mask"] = block_mask(lengths * self._merge**2)
        outputs = self._encoder.infer(given)
        made = [torch.from_numpy(outputs[at].copy()) for at in range(len(outputs))]
        return made[0], made[1] if len(made) > 1 else made[0].new_zeros((0, len(made[0]), 0))

    def _learned_positions(self, height: int, width: int) -> np.ndarray[Any, Any]:
        """The learned positions, interpolated between the four places around each patch."""
        places, weights = interpolation(height, width, self._side)
        found = self._positions.infer([places])[0]
        summed = (found * weights[:, :, None]).sum(axis=0)
        return merged_order(summed, height, width, self._merge)


def frequencies(count: int) -> np.ndarray[Any, Any]:
    """The frequencies of one axis of the positions, fp32 (count / 2,)."""
    steps = torch.arange(0, count, 2, dtype=torch.float) / count  # rounds as transformers does
    found: np.ndarray[Any, Any] = (1.0 / _THETA**steps).numpy()
    return found


def angles(
    frequencies: np.ndarray[Any, Any], height: int, width: int, merge: int
) -> np.ndarray[Any, Any]:
    """The angles of patches: those of their row, then those of their column.

    Returns:
        fp32 (height x width, 2 x frequencies), in the order of patches.
    """
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    both = np.stack([rows, columns], axis=-1).reshape(height * width, 2)
    ordered = merged_order(both, height, width, merge).astype(np.float32)
    turned = ordered[:, :, None] * frequencies.astype(np.float32)
    return np.ascontiguousarray(turned.reshape(height * width, -1))


def merged_order(
    values: np.ndarray[Any, Any], height: int, width: int, merge: int
) -> np.ndarray[Any, Any]:
    """Put values of patches from row by row into their order: squares that are merged together."""
    shape = (height // merge, merge, width // merge, merge, -1)
    squares: np.ndarray[Any, Any] = values.reshape(shape).transpose(0, 2, 1, 3, 4)
    return squares.reshape(height * width, -1)


def windows(
    height: int, width: int, side: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The windows in which most layers of Qwen2.5-VL attend (`get_window_index`).

    Args:
        height: rows of visual tokens.
        width: columns of visual tokens.
        side: rows and columns of a window.

    Returns:
        The visual tokens window by window, int64 (height x width,), and the number in each window.
    """
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    number = (rows // side) * -(-width // side) + columns // side
    index = np.argsort(number.reshape(-1), kind="stable").astype(np.int64)
    return index, np.bincount(number.reshape(-1))


def block_mask(lengths: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A mask in which each place sees its own block: 0 there, -inf elsewhere, (1, all, all)."""
    number = np.repeat(np.arange(len(lengths)), lengths)
    is_same = number[None, :, None] == number[None, None, :]
    mask: np.ndarray[Any, Any] = np.where(is_same, np.float32(0), np.float32(-np.inf))
    return mask


def interpolation(
    height: int, width: int, side: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The four learned positions around each patch and their weights, row by row.

    It is the bilinear interpolation of `fast_pos_embed_interpolate` of transformers.

    Args:
        height: rows of patches.
        width: columns of patches.
        side: rows and columns of the learned positions.

    Returns:
        Their numbers, int64 (4, patches), and weights, fp32 (4, patches).
    """
    (low_row, high_row, down), (low_column, high_column, right) = (
        _between(count, side) for count in (height, width)
    )
    rows = ((low_row, 1 - down), (high_row, down))
    columns = ((low_column, 1 - right), (high_column, right))
    corners = [(row, column) for row in rows for column in columns]
    places = [(row[0][:, None] * side + column[0]).reshape(-1) for row, column in corners]
    weights = [(row[1][:, None] * column[1]).reshape(-1) for row, column in corners]
    return np.stack(places).astype(np.int64), np.stack(weights).astype(np.float32)


def _between(
    count: int, side: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """For evenly spread places the position before, the one after, and the part of the way."""
    places = torch.linspace(0, side - 1, count).numpy()  # rounds as transformers does
    low = places.astype(np.int64)
    return low, np.minimum(low + 1, side - 1), (places - low).astype(np.float32)
