"""`export_merged`: a chat's model with its adapter merged in, as a checkpoint of its own."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.errors import InputError, QwenVLKitError, TrainingError

if TYPE_CHECKING:
    from qwenvl_kit.chat import VisionChat


@explains_wrong_arguments
def export_merged(chat: VisionChat, folder: str | os.PathLike[str]) -> Path:
    """Write the model of a chat, with the adapter in use merged in, as a checkpoint.

        chat = VisionChat.from_pretrained("Qwen/Qwen2-VL-2B-Instruct", adapter="out/adapter")
        export_merged(chat, "receipts-2b")
        VisionChat.from_pretrained("receipts-2b")

    The folder has weights as safetensors under the names of the base model's, in files of at most
    5 GB; config.json; and the base model's own tokenizer, processor, chat template and
    generation settings. It loads here, in transformers and in vLLM. If the adapter was trained by
    the kit, it also has `qwenvl_kit.json`, from which a chat takes the budget.

    The chat stays as it is, and its answers too. No request runs while the model is written.
    Adapted layers are in memory once more meanwhile; they are merged in fp32, and rounded once to
    the dtype of the model.

    Args:
        chat: a chat from `VisionChat.from_pretrained`. After `chat.adapters.merge()` the merged
            model is written.
        folder: a folder that does not exist, or is empty. It appears when everything is written.

    Returns:
        The folder.

    Raises:
        InputError: the folder holds something, or is a file.
        AdapterError: no adapter is in use, it cannot be merged, or the weights are quantised or
            packed.
        UnsupportedFeatureError: the chat has no weights in this process.
        TrainingError: the disk is full or refuses to be written to; nothing of it is left.
        ModelLoadError: the chat was closed, or the files of its checkpoint are not there any more.
    """
    from qwenvl_kit.chat import VisionChat

    if not isinstance(chat, VisionChat):
        raise InputError(
            f"a {type(chat).__name__} was given as the chat",
            expected="a VisionChat with an adapter",
        )
    path, adapters = _checked(folder), chat.adapters
    with _written_whole(path) as beside:
        adapters.export(beside)
    return path


def _checked(folder: object) -> Path:
    """The folder as a path.

    Raises:
        InputError: it is there and not empty, or is no folder.
    """
    if not isinstance(folder, (str, os.PathLike)) or not os.fspath(folder):
        raise InputError(f"folder={folder!r:.60} was given", expected="the path of a new folder")
    path = Path(os.path.abspath(os.path.expanduser(os.fsdecode(folder))))
    if path.is_dir() and not path.is_symlink():
        fault = "is not empty" if any(path.iterdir()) else ""
    else:
        fault = "is not a folder" if os.path.lexists(path) else ""
    if fault:
        raise InputError(
            f"{path} {fault}",
            expected="a folder that does not exist yet, or is empty",
            hint="another name; nothing is written over",
        )
    return path


@contextmanager
def _written_whole(path: Path) -> Iterator[Path]:
    """A folder beside a path, which takes its place at the end of the block; else it is removed.

    Raises:
        TrainingError: the disk refused to be written to.
    """
    beside: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.parent / f".{path.name[:100]}-{uuid.uuid4().hex[:12]}"
        beside.mkdir()
        yield beside
        if path.is_dir():
            path.rmdir()  # which is empty; Windows renames onto no folder
        beside.rename(path)
    except BaseException as error:
        if beside is not None:
            shutil.rmtree(beside, ignore_errors=True)
        if isinstance(error, QwenVLKitError) or not _is_of_the_disk(error):
            raise
        raise TrainingError(
            f"{path} cannot be written ({error})",
            expected="a folder that may be written to, on a disk with room for the model",
            hint="another disk; nothing was left in this one",
        ) from error


def _is_of_the_disk(error: BaseException) -> bool:
    """True for errors of files; safetensors has one of its own for a disk that is full."""
    from safetensors import SafetensorError

    return isinstance(error, (OSError, SafetensorError))
