"""The small files of a checkpoint, judged by what the file system says before one is opened.

A pipe is waited for, a device never ends, and a file of gigabytes fills the memory. transformers
opens some of them by itself, so all are judged together.
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
    *("chat_template.json", "chat_template.jinja"),
)
"""Files of some kilobytes."""

_TABLES = (
    *("tokenizer.json", "vocab.json", "merges.txt", "vocab.txt", "tokenizer.model"),
    "model.safetensors.index.json",
)
"""Files with a line for each token or tensor; the longest that is published has some 20 MB."""

_MOST = 128 * _MIB
_MAX_BYTES = {**dict.fromkeys(_SETTINGS, 4 * _MIB), **dict.fromkeys(_TABLES, _MOST)}
"""Several times what is published: reading one takes ten times its size in memory, for a moment."""

_TEMPLATES = "additional_chat_templates"
"""A folder in which transformers looks for more templates."""

_MAX_TEMPLATES = 100


def check_small_files(folder: Path) -> None:
    """Refuse small files that are no files, or are not small.

    Symbolic links are followed, as the caches of hubs are made of them. What is not there is no
    fault here.

    Args:
        folder: a checkpoint's.

    Raises:
        CheckpointError: it names the file.
    """
    for path in (*(folder / name for name in _MAX_BYTES), *_more_templates(folder)):
        try:
            found = os.stat(path)
        except OSError:  # not there, or a link to nothing: whoever needs it says so
            continue
        kind = _kind(found.st_mode) or _kernels(path, found.st_size)
        if kind:
            raise CheckpointError(
                f"{path} cannot be read: it is no file, but {kind}",
                expected="the file as it was published",
            )
        check_size(str(path), path.name, found.st_size)


def is_needless(name: str, num_bytes: int | None) -> bool:
    """Whether a file is none of a checkpoint's, and too large to be fetched for nothing."""
    return name not in _MAX_BYTES and (num_bytes or 0) > _MOST


def check_size(where: str, name: str, num_bytes: int | None) -> None:
    """Refuse a small file that is not small.

    Args:
        where: the file, for the message.
        name: its name.
        num_bytes: its size, if that is known.

    Raises:
        CheckpointError: it is larger than any that is published.
    """
    most = _MAX_BYTES.get(name, _MOST)
    if num_bytes is not None and num_bytes > most:
        raise CheckpointError(
            f"{where} has {num_bytes / _MIB:,.0f} MiB",
            expected=f"at most {most // _MIB} MiB, which is more than any has that is published",
            hint="another revision of the checkpoint",
        )


def _more_templates(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder / _TEMPLATES) as entries:
            names = [entry.name for entry, _ in zip(entries, range(_MAX_TEMPLATES + 1))]
    except OSError:
        return
    if len(names) > _MAX_TEMPLATES:
        raise CheckpointError(
            f"{folder / _TEMPLATES} has more than {_MAX_TEMPLATES} files", expected="a few"
        )
    yield from (folder / _TEMPLATES / name for name in names)


def _kind(mode: int) -> str:
    """What something is that is no file; nothing for a file."""
    if stat.S_ISREG(mode):
        return ""
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a pipe" if stat.S_ISFIFO(mode) else "a device or socket"


def _kernels(path: Path, size: int) -> str:
    """What the kernel makes up as it is read has no size, and may have no end."""
    is_made_up = not size and os.path.realpath(path).startswith(("/proc/", "/sys/"))
    return "a file of the kernel" if is_made_up else ""
