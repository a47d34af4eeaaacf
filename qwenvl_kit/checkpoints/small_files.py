"""Checks of a checkpoint's small files by kind and size, before one is opened.

A pipe is waited for, a device never ends, and a file of gigabytes fills the memory. transformers
opens some of them by itself, so all are checked together.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from qwenvl_kit.errors import CheckpointError

_MIB = 1 << 20

_SETTINGS = (
    *("config.json", "generation_config.json", "tokenizer_config.json", "processor_config.json"),
    *("preprocessor_config.json", "video_preprocessor_config.json", "adapter_config.json"),
    *("special_tokens_map.json", "added_tokens.json", "configuration.json"),
    *("chat_template.json", "chat_template.jinja", "qwenvl_kit.json"),
)
"""Settings files of a few kilobytes."""

_TABLES = (
    *("tokenizer.json", "vocab.json", "merges.txt", "vocab.txt", "tokenizer.model"),
    "model.safetensors.index.json",
)
"""Files with a line for each token or tensor; the largest published one has about 20 MB."""

_MOST = 128 * _MIB
_MAX_BYTES = {**dict.fromkeys(_SETTINGS, 4 * _MIB), **dict.fromkeys(_TABLES, _MOST)}
"""The size limit of each file, several times that of published ones: to read a file takes ten times
its size in memory for a moment."""

SMALL_FILE_NAMES = tuple(_MAX_BYTES)
"""The names of all small files that a checkpoint or an adapter may have."""

TEMPLATES_FOLDER = "additional_chat_templates"
"""The folder in which transformers looks for more templates."""

_MAX_TEMPLATES = 100


def check_small_files(folder: Path) -> None:
    """Raise an error if a small file is no regular file, or is too large.

    Symbolic links are followed, because the caches of hubs consist of them. Missing files are not
    an error here.

    Args:
        folder: folder of the checkpoint.

    Raises:
        CheckpointError: a file is too large or no regular file; the message names it.
    """
    for path in (*(folder / name for name in _MAX_BYTES), *_more_templates(folder)):
        try:
            found = os.stat(path)
        except OSError:  # missing, or a dead link: the code that needs it raises the error
            continue
        kind = _kind(found.st_mode) or _kernels(path, found.st_size)
        if kind:
            raise CheckpointError(
                f"{path} cannot be read: it is not a file, but {kind}",
                expected="the file as it was published",
            )
        check_file_bytes(str(path), path.name, found.st_size)


def is_needless(name: str, num_bytes: int | None) -> bool:
    """True if a checkpoint does not need a file, and it is too large to fetch for nothing."""
    return name not in _MAX_BYTES and (num_bytes or 0) > _MOST


def check_file_bytes(where: str, name: str, num_bytes: int | None) -> None:
    """Raise an error if a small file is too large.

    Args:
        where: path or description of the file, for the message.
        name: name of the file.
        num_bytes: size of the file; None if not known.

    Raises:
        CheckpointError: it is larger than the limit for its name.
    """
    most = _MAX_BYTES.get(name, _MOST)
    if num_bytes is not None and num_bytes > most:
        raise CheckpointError(
            f"{where} has {num_bytes / _MIB:,.0f} MiB",
            expected=f"at most {most // _MIB} MiB, which is more than any published one has",
            hint="another revision of the checkpoint",
        )


def _more_templates(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder / TEMPLATES_FOLDER) as entries:
            names = [entry.name for entry, _ in zip(entries, range(_MAX_TEMPLATES + 1))]
    except OSError:
        return
    if len(names) > _MAX_TEMPLATES:
        raise CheckpointError(
            f"{folder / TEMPLATES_FOLDER} has more than {_MAX_TEMPLATES} files", expected="a few"
        )
    yield from (folder / TEMPLATES_FOLDER / name for name in names)


def _kind(mode: int) -> str:
    """The kind of something that is no regular file, in words; empty for a regular file."""
    if stat.S_ISREG(mode):
        return ""
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a pipe" if stat.S_ISFIFO(mode) else "a device or socket"


def _kernels(path: Path, size: int) -> str:
    """The words for a file that the kernel makes up on reading, perhaps without end; else empty."""
    is_made_up = not size and os.path.realpath(path).startswith(("/proc/", "/sys/"))
    return "a file of the kernel" if is_made_up else ""
