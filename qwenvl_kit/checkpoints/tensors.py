"""The tensors of a checkpoint, from the headers of its files, here or on a hub."""

from __future__ import annotations

from qwenvl_kit.checkpoints.download import Checkpoint
from qwenvl_kit.checkpoints.huggingface import fetch_tensor_headers
from qwenvl_kit.checkpoints.weights import TensorInfo, absent_weights, read_tensors


def known_tensors(
    checkpoint: Checkpoint, *, offline: bool = False
) -> tuple[TensorInfo, ...] | None:
    """Return names, dtypes and shapes: from the files if they are here, else from the hub.

    Returns:
        None if the hub does not tell before the weights are fetched.

    Raises:
        WeightsError: a folder has no weights, or damaged ones.
        DownloadError: the hub cannot be asked.
    """
    if checkpoint.origin == "folder" or not absent_weights(checkpoint.folder):
        return read_tensors(checkpoint.folder)
    headers = fetch_tensor_headers(checkpoint, offline=offline)
    if headers is None:
        return None
    return tuple(TensorInfo(name, dtype, tuple(shape)) for name, (dtype, shape) in headers.items())
