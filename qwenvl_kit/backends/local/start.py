"""The start of the local backend, without torch until a checkpoint is known to be there.

The first load of a process imports torch and transformers, which takes longer than all else. A
folder or family that is wrong is told before; weights are read from the disk meanwhile.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qwenvl_kit.checkpoints.read_ahead import ReadAhead
from qwenvl_kit.checkpoints.settings import read_settings
from qwenvl_kit.checkpoints.sources import Source, find_checkpoint
from qwenvl_kit.display.progress import progress_bar
from qwenvl_kit.errors import QwenVLKitError

if TYPE_CHECKING:
    from qwenvl_kit.backends.local.backend import LocalBackend
    from qwenvl_kit.checkpoints.download import Checkpoint

_LOADER = "qwenvl_kit.backends.local.loading.loader"


def start_backend(
    model: str | os.PathLike[str],
    *,
    source: Source = "huggingface",
    revision: str | None = None,
    offline: bool = False,
    **options: Any,
) -> LocalBackend:
    """Find a checkpoint, import what runs it, and load it.

    The arguments and errors are those of `VisionChat.from_pretrained`; `options` are those of
    `load_backend`.
    """
    progress_bar()  # before others import tqdm, which would warn in a notebook
    checkpoint = _find(model, source, revision, offline)
    if _LOADER in sys.modules:
        return _load(checkpoint, offline, options)
    with ReadAhead(checkpoint.folder) as reading:
        with paused_collection():
            import qwenvl_kit.backends.local.loading.loader  # noqa: F401  # torch, transformers
        reading.check()
        return _load(checkpoint, offline, options)


def _find(
    model: str | os.PathLike[str], source: Source, revision: str | None, offline: bool
) -> Checkpoint:
    try:
        checkpoint = find_checkpoint(model, source=source, revision=revision, offline=offline)
        read_settings(checkpoint.folder)
    except QwenVLKitError:
        raise
    except Exception:
        from qwenvl_kit.backends.local.error_mapping import translated_load_errors

        with translated_load_errors():
            raise
    return checkpoint


def _load(checkpoint: Checkpoint, offline: bool, options: dict[str, Any]) -> LocalBackend:
    from qwenvl_kit.backends.local.loading.loader import load_backend

    return load_backend(checkpoint, offline=offline, **options)


@contextmanager
def paused_collection() -> Iterator[None]:
    """Pause Python's cyclic garbage collection while modules are imported.

    An import makes objects that stay, and the collector goes through all of them again and again:
    about a seventh of the processor time. Afterwards they count as old objects, as they
    would if they had been collected before. Nothing changes if the caller has turned collection
    off; objects that the caller has frozen (`gc.freeze`) stay frozen.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():
            gc.freeze()
            gc.unfreeze()  # moves all to the oldest generation, without a look at any
        gc.enable()
