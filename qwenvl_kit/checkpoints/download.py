"""Downloads of checkpoints: the parts that both hubs have in common."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from qwenvl_kit.checkpoints.foreign_formats import fault_of
from qwenvl_kit.checkpoints.weights import (
    INDEX_FILE,
    SINGLE_FILE,
    absent_weights,
    is_training_state,
    no_weights_error,
)
from qwenvl_kit.errors import DownloadError, UnsafeWeightsError, WeightsError
from qwenvl_kit.hardware import as_gigabytes

SMALL_FILES = ("*.json", "*.txt", "*.jinja", "tokenizer.model")
"""The files of a repository's top folder that `find_checkpoint` fetches: text to read, no code."""

# Not more: since 1.18 huggingface_hub throws half a file away (its issue 4196).
RESUME = "call again: the files that came whole are kept, and only the others are fetched"

_PICKLED = re.compile(r"(pytorch_model.*\.bin|consolidated.*\.(bin|pth?)|.*\.(pth?|ckpt|pkl))")
_SECRETS = re.compile(r"(?i)\bbearer\s+\S+|\b(?:hf_|ms-)[\w-]+|(?<=\?)[^\s'\">]+")
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on this machine: its folder and its revision.

    Attributes:
        name: the name that the user gave.
        folder: folder of the small files, and of the weights after `fetch_weights`.
        origin: "folder", "huggingface" or "modelscope".
        revision: commit of all its files; None for a folder. ModelScope does not tell the commit:
            there it is the branch or tag.
    """

    name: str
    folder: Path
    origin: str
    revision: str | None


def weights_to_fetch(checkpoint: Checkpoint, listed: Collection[str]) -> tuple[str, ...]:
    """Return the names of the weight files that are not in the folder yet.

    Args:
        checkpoint: a checkpoint whose small files are in its folder; the index among them names
            the shards.
        listed: names of all files of the repository.

    Raises:
        UnsafeWeightsError: the repository has pickled weights only.
        WeightsError: it has no weights, or lacks files that its index names.
    """
    absent = absent_weights(checkpoint.folder)
    lacking = [name for name in absent if name not in listed]
    if lacking and not (checkpoint.folder / INDEX_FILE).is_file():
        raise _no_weights(checkpoint.name, listed)
    if lacking:
        raise WeightsError(
            f"{checkpoint.name!r} lacks {len(lacking)} of the weight files that its index names, "
            f"{lacking[0]!r} first",
            hint="another revision of it",
        )
    return absent


def _no_weights(name: str, listed: Collection[str]) -> WeightsError:
    expected = f"{SINGLE_FILE}, or shards with an index"
    pickled = sorted(
        file for file in listed if _PICKLED.fullmatch(file) and not is_training_state(file)
    )
    if pickled and not any(file.endswith(".safetensors") for file in listed):
        return UnsafeWeightsError(
            f"{name!r} has pickled weights only ({pickled[0]}), which could run code when opened",
            expected=expected,
            hint="a revision or a copy of it with safetensors files",
        )
    others = sorted(file for file in listed if file.endswith((".safetensors", ".gguf")))
    if not others:
        return no_weights_error(repr(name), fault_of(listed))
    fault = fault_of(others)
    return WeightsError(
        f"{name!r} has no weights under a known name, only {others[0]!r}",
        expected=expected,
        hint=fault.cure if fault else "",
    )


def check_space(name: str, folder: Path, num_bytes: int) -> None:
    """Raise an error if the disk has too little space for a download.

    Args:
        name: name of the checkpoint.
        folder: folder of its files.
        num_bytes: bytes that are still to be fetched.

    Raises:
        DownloadError: fewer bytes are free.
    """
    free_bytes = shutil.disk_usage(folder).free
    if num_bytes > free_bytes:
        raise DownloadError(
            f"the weights of {name!r} need {as_gigabytes(num_bytes)} more in {folder}, where "
            f"{as_gigabytes(free_bytes)} are free",
            hint="make room, or move the cache to a larger disk (HF_HOME, or MODELSCOPE_CACHE)",
        )


def disk_full_error(name: str, folder: Path) -> DownloadError:
    """Return the error to raise if the disk became full during a download.

    Args:
        name: name of the checkpoint.
        folder: a folder on that disk; it need not exist yet.
    """
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free_bytes = shutil.disk_usage(there).free
    return DownloadError(
        f"the disk became full while {name!r} was fetched: {as_gigabytes(free_bytes)} are free in "
        f"{folder}",
        hint=f"make room, then {RESUME}",
    )


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all its causes, and those of each file if several files failed."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop(0)
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            files = getattr(each, "failed_files", None)  # of modelscope's FileDownloadError
            near = [each.__cause__, each.__context__, *(files or {}).values()]
            waiting.extend(other for other in near if isinstance(other, BaseException))


def is_disk_full(error: BaseException) -> bool:
    """True if an error means a full disk; libraries in Rust tell it in words alone."""
    return any(
        getattr(each, "errno", None) in _FULL or "No space left on device" in str(each)
        for each in causes_of(error)
    )


def words_of(error: BaseException, token: str | None = None) -> str:
    """Return the kind of a client's error and its first line, without tokens and signed URLs.

    Args:
        error: the error that the client of a hub raised.
        token: the access token in use, which may have any form.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[0] if lines else ""
    said = said.replace(token, "***") if token else said
    said = _SECRETS.sub("***", said)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
