"""Output layers (`lm_head`) that differ from the embeddings although config.json ties the two.

transformers compares the two when it loads them, and keeps both if they differ (`tie_weights`).
Merged and altered models ("abliterated" ones) are often saved with a config.json that still ties.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from qwenvl_kit.checkpoints.settings import Settings
from qwenvl_kit.checkpoints.weights import TensorInfo, absent_weights, weight_files

_CHUNK_BYTES = 1 << 20


def with_own_head(folder: Path, tensors: Sequence[TensorInfo], settings: Settings) -> Settings:
    """Return the settings with `has_own_head` set by a comparison of the two tensors.

    The tensors are read up to the first difference: a moment if they differ, both in full if one is
    a copy. Nothing is read if config.json does not tie them, or the files hold no output layer.

    Args:
        folder: folder of the weights; without weights the settings are returned unchanged.
        tensors: tensors in the files.
        settings: the checkpoint's config.json.
    """
    head, table = (_named(end, tensors) for end in ("lm_head.weight", "embed_tokens.weight"))
    if not settings.ties_embeddings or head is None or table is None or absent_weights(folder):
        return settings
    is_own = (head.dtype, head.shape) != (table.dtype, table.shape) or not _are_equal(
        folder, head.name, table.name
    )
    return replace(settings, has_own_head=is_own)


def _named(end: str, tensors: Sequence[TensorInfo]) -> TensorInfo | None:
    return next((tensor for tensor in tensors if tensor.name.endswith(end)), None)


def _are_equal(folder: Path, first: str, second: str) -> bool:
    places = _places(folder)
    (path_a, start_a, end_a), (path_b, start_b, end_b) = places[first], places[second]
    with path_a.open("rb") as a, path_b.open("rb") as b:
        a.seek(start_a)
        b.seek(start_b)
        return end_a - start_a == end_b - start_b and _same_bytes(a, b, end_a - start_a)


def _same_bytes(a: BinaryIO, b: BinaryIO, num_bytes: int) -> bool:
    for at in range(0, num_bytes, _CHUNK_BYTES):
        length = min(_CHUNK_BYTES, num_bytes - at)
        if a.read(length) != b.read(length):
            return False
    return True


def _places(folder: Path) -> Mapping[str, tuple[Path, int, int]]:
    """The file of each tensor, and the offsets of its first byte and of the byte after its last."""
    places = {}
    for name in weight_files(folder):
        path = folder / name
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
        for tensor, entry in header.items():
            if tensor != "__metadata__":
                start, end = entry["data_offsets"]
                places[tensor] = (path, 8 + length + start, 8 + length + end)
    return places
