"""Memory of the weights that the kit packs for a processor, in 8 or 4 bits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from qwenvl_kit.checkpoints.memory import (
    FloatName,
    bytes_in_4bit,
    float_bytes,
    is_quantizable,
    tensors_in_model,
)
from qwenvl_kit.checkpoints.settings import Settings
from qwenvl_kit.checkpoints.weights import TensorInfo

GROUP = 64
"""Values of a row that share a scale and a zero in 4 bits, as in bitsandbytes' NF4."""


@dataclass(frozen=True)
class Packing:
    """The form of quantised weights on a processor. The output layer is always int8.

    Attributes:
        layers: the form of the layers of the language model; None if bitsandbytes holds them.
        reason: the reason for it.
    """

    layers: Literal["int8", "int4"] | None
    reason: str


def predict_packed_bytes(
    tensors: Iterable[TensorInfo],
    settings: Settings,
    packing: Packing,
    *,
    rest: FloatName = "bfloat16",
) -> int:
    """Return the bytes of the weights in memory, with an output layer in int8.

    An output layer that is tied to the embedding is held beside it, as the embedding is read row
    by row.

    Args:
        tensors: tensors of the checkpoint.
        settings: its config.json.
        packing: form in which the weights will be held.
        rest: dtype of the tensors that are not quantised.
    """
    total = 0
    for tensor in tensors_in_model(tensors, settings):
        if tensor.name.endswith("lm_head.weight"):
            total += int8_bytes(*tensor.shape)
        elif is_quantizable(tensor, settings.family):
            total += _layer_bytes(tensor, packing)
        else:
            total += float_bytes(tensor, rest)
        if settings.ties_embeddings and tensor.name.endswith(".embed_tokens.weight"):
            total += int8_bytes(*tensor.shape)
    return total


def _layer_bytes(tensor: TensorInfo, packing: Packing) -> int:
    if packing.layers is None:
        return bytes_in_4bit(tensor)
    rows, columns = tensor.shape
    return (int8_bytes if packing.layers == "int8" else int4_bytes)(rows, columns)


def int8_bytes(rows: int, columns: int) -> int:
    """The bytes of a matrix that FBGEMM has packed: values, and three numbers for each row.

    It stores blocks of 512 columns and 8 rows (`PackingTraits` for AVX2) in full, and for each row
    a scale, a zero point and a sum, of four bytes each.
    """
    return -(-rows // 8) * 8 * -(-columns // 512) * 512 + 12 * rows


def int4_bytes(rows: int, columns: int) -> int:
    """The bytes of a packed matrix: two values a byte, and two bf16 numbers for each group."""
    return rows * columns // 2 + rows * (columns // GROUP) * 4
