"""Sources of checkpoints: a folder, the Hugging Face hub, or ModelScope."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal, TypeAlias

from qwenvl_kit.checkpoints.download import Checkpoint
from qwenvl_kit.checkpoints.small_files import check_small_files
from qwenvl_kit.errors import ModelLoadError, ModelNotFoundError
from qwenvl_kit.safe_text import shown

Source: TypeAlias = Literal["huggingface", "modelscope"]

_EXAMPLE = "a hub id such as 'Qwen/Qwen2-VL-2B-Instruct'"
_ID = re.compile(r"[A-Za-z0-9_][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)
# What git allows in the name of a branch or tag; `..` would also leave the cache's folder.
_REVISION = re.compile(r"(?!.*\.\.)[^\s/~^:?*\[\\\x00-\x1f\x7f][^\s~^:?*\[\\\x00-\x1f\x7f]*")


def find_checkpoint(
    model: str | os.PathLike[str],
    *,
    source: Source = "huggingface",
    revision: str | None = None,
    offline: bool = False,
) -> Checkpoint:
    """Find a checkpoint and fetch its small files: configuration, tokenizer, template.

    If a name is both a folder and a hub id, the folder is taken, as in transformers. On the Hugging
    Face hub the revision is first resolved to one commit, and all files come from that commit,
    here and in `fetch_weights`. Without a network the cache is used if it has the revision.

    Args:
        model: a folder, or the id of a repository; a `Path` is always a folder.
        source: the hub of the id: "huggingface" or "modelscope".
        revision: branch, tag or commit; None is the main branch of the repository.
        offline: True to use the cache alone. `HF_HUB_OFFLINE=1` does the same for the Hugging Face
            hub.

    Raises:
        ModelNotFoundError: there is no such folder, id or revision, or it is not cached and the
            hub cannot be asked (offline).
        ModelForbiddenError: the hub refuses the checkpoint to this user.
        DownloadError: no network, a broken transfer, a failing hub or a full disk.
        CheckpointError: the repository has no config.json, or a small file is no regular file or
            is too large.
        MissingPackageError: the package of ModelScope is not installed.
        ModelLoadError: the source is unknown.
    """
    _check_source(source)
    _check_revision(revision)
    folder = _as_folder(model)
    if folder is not None:
        _check_unversioned(model, revision)
        found = Checkpoint(os.fspath(model), folder, "folder", None)
    else:
        found = _find_on_a_hub(_as_id(model), source, revision, offline)
    check_small_files(found.folder)
    return found


def fetch_weights(checkpoint: Checkpoint, *, offline: bool = False) -> None:
    """Fetch the weights of a checkpoint into its folder, if they are not there yet.

    Only safetensors files are fetched, from the checkpoint's own revision.

    Args:
        checkpoint: the result of `find_checkpoint`.
        offline: True to use the cache alone, as in `find_checkpoint`.

    Raises:
        UnsafeWeightsError: the repository has pickled weights only.
        WeightsError: it has no weights, or lacks files that its index names.
        ModelForbiddenError: the hub refuses them to this user.
        DownloadError: too little disk space, no network, a broken transfer, or offline and not in
            the cache.
    """
    if checkpoint.origin == "huggingface":
        from qwenvl_kit.checkpoints.huggingface import fetch_from_hub

        fetch_from_hub(checkpoint, offline=offline)
    elif checkpoint.origin == "modelscope":
        from qwenvl_kit.checkpoints.modelscope import fetch_from_modelscope

        fetch_from_modelscope(checkpoint, offline=offline)


def _find_on_a_hub(name: str, source: str, revision: str | None, offline: bool) -> Checkpoint:
    if source == "huggingface":
        from qwenvl_kit.checkpoints.huggingface import find_on_hub

        return find_on_hub(name, revision=revision, offline=offline)
    from qwenvl_kit.checkpoints.modelscope import find_on_modelscope

    return find_on_modelscope(name, revision=revision, offline=offline)


def _check_source(source: str) -> None:
    if source not in ("huggingface", "modelscope"):
        raise ModelLoadError(
            f"source={source!r} was given", expected="'huggingface' or 'modelscope'"
        )


def _check_revision(revision: object) -> None:
    if revision is None or (isinstance(revision, str) and _REVISION.fullmatch(revision)):
        return
    raise ModelNotFoundError(
        f"revision={revision!r} was given", expected="the name of a branch, a tag or a commit"
    )


def _check_unversioned(model: str | os.PathLike[str], revision: str | None) -> None:
    if revision is not None:
        raise ModelNotFoundError(
            f"revision={revision!r} was given with the folder {os.fspath(model)!r}, and a folder "
            "has no revisions",
            hint="leave revision out, or give a hub id",
        )


def _as_folder(model: object) -> Path | None:
    if not isinstance(model, (str, os.PathLike)):
        raise ModelNotFoundError(
            f"a model of type {type(model).__name__} was given",
            expected=f"a checkpoint's folder, or {_EXAMPLE}",
        )
    path = os.path.expanduser(os.fsdecode(model))
    return Path(path) if os.path.isdir(path) else None


def _as_id(model: str | os.PathLike[str]) -> str:
    """The name of a model as a hub id; an error if it looks like a path or cannot be an id."""
    name = os.fsdecode(model)
    if not isinstance(model, str) or name.startswith((".", "/", "~")) or os.path.exists(name):
        raise ModelNotFoundError(
            f"{shown(name)} is not a folder",
            expected=f"a checkpoint's folder, or {_EXAMPLE}",
            hint="install the package again if this is the folder of its embedded model",
        )
    if not is_hub_id(name):
        raise ModelNotFoundError(
            f"{shown(name)} is neither a folder nor a hub id",
            expected=f"a checkpoint's folder, or {_EXAMPLE}: an owner, one '/' and a name",
        )
    return name


def is_hub_id(name: str) -> bool:
    """True if a name has the form of a repository id on a hub: an owner, one '/' and a name."""
    return _ID.fullmatch(name) is not None and ".." not in name
