"""The tensors of a checkpoint, known before any of them is read."""

from __future__ import annotations

from qwenvl_kit.checkpoints.download import Checkpoint
from qwenvl_kit.checkpoints.huggingface import fetch_tensor_headers
from qwenvl_kit.checkpoints.weights import TensorInfo, absent_weights, read_tensors


def known_tensors(
    checkpoint: Checkpoint, *, offline: bool = False
) -> tuple[TensorInfo, ...] | None:
    """Names, types and shapes: from the files where they are here, else from their hub's headers.

    Returns:
        None where a hub does not tell before the weights are fetched.

    Raises:
        WeightsError: a folder without weights, or damaged ones.
        DownloadError: the hub could not be asked.
    """
    if checkpoint.origin == "folder" or not absent_weights(checkpoint.folder):
        return read_tensors(checkpoint.folder)
    headers = fetch_tensor_headers(checkpoint, offline=offline)
    if headers is None:
        return None
    return tuple(TensorInfo(name, dtype, tuple(shape)) for name, (dtype, shape) in headers.items())
