"""Downloads from ModelScope, through its own package."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qwenvl_kit.checkpoints.download import (
    RESUME,
    SMALL_FILES,
    Checkpoint,
    causes_of,
    check_space,
    disk_full_error,
    is_disk_full,
    weights_to_fetch,
    words_of,
)
from qwenvl_kit.checkpoints.foreign_formats import names_in, no_config_error
from qwenvl_kit.checkpoints.weights import absent_weights
from qwenvl_kit.errors import (
    DownloadError,
    MissingPackageError,
    ModelForbiddenError,
    ModelLoadError,
    ModelNotFoundError,
)

_MAIN_BRANCH = "master"


def find_on_modelscope(name: str, *, revision: str | None, offline: bool) -> Checkpoint:
    """Fetch the small files of a repository.

    The revision of the result is the given branch, tag or commit: ModelScope's package does not
    tell the commit of a branch, and its cache does not separate commits. If a checkpoint must not
    change, give a tag or a commit.

    Args:
        name: id of the repository.
        revision: branch, tag or commit; None is the branch master.
        offline: True to use the cache alone.

    Raises:
        MissingPackageError: the package modelscope is not installed.
        ModelNotFoundError: there is no such id or revision, or it is not cached and `offline` is
            set.
        ModelForbiddenError: ModelScope refuses it to this user.
        DownloadError: it cannot be fetched.
        CheckpointError: it has no config.json.
    """
    find = _find_offline if offline else _find_online
    folder = find(name, revision)
    if not (folder / "config.json").is_file():
        raise no_config_error(repr(name), names_in(folder), folder)
    return Checkpoint(name, folder, "modelscope", revision or _MAIN_BRANCH)


def fetch_from_modelscope(checkpoint: Checkpoint, *, offline: bool) -> None:
    """Fetch the weights of a checkpoint into its folder.

    Args:
        checkpoint: the result of `find_on_modelscope`.
        offline: True to use the cache alone.

    Raises:
        UnsafeWeightsError: the repository has pickled weights only.
        WeightsError: it has no weights, or lacks files that its index names.
        ModelForbiddenError: ModelScope refuses them to this user.
        DownloadError: too little disk space, a failed download, or offline and not in the cache.
    """
    absent = absent_weights(checkpoint.folder)
    if not absent:
        return
    if offline:
        raise DownloadError(
            f"the cache lacks {len(absent)} weight files of {checkpoint.name!r} ({absent[0]} "
            "first), and ModelScope cannot be asked (offline)",
            hint="load it once with a network, without offline=True",
        )
    sizes = _list(checkpoint.name, checkpoint.revision)
    wanted = weights_to_fetch(checkpoint, sizes)
    check_space(checkpoint.name, checkpoint.folder, sum(sizes[file] for file in wanted))
    _download(checkpoint.name, checkpoint.revision, allow_patterns=list(wanted))


def _find_online(name: str, revision: str | None) -> Path:
    wanted = {"allow_patterns": list(SMALL_FILES), "ignore_patterns": ["*/*"]}
    try:
        return _download(name, revision, **wanted)
    except DownloadError as error:
        folder = None if is_disk_full(error) else _cached(name, revision)
        if folder is None:
            raise
        return folder


def _find_offline(name: str, revision: str | None) -> Path:
    folder = _cached(name, revision)
    if folder is None:
        raise ModelNotFoundError(
            f"{name!r} at revision {revision or _MAIN_BRANCH!r} is not in the cache of ModelScope, "
            "which cannot be asked (offline)",
            hint="load it once with a network, without offline=True",
        )
    return folder


def _download(name: str, revision: str | None, **options: Any) -> Path:
    with _translated(name, revision):
        return Path(_package().snapshot_download(name, revision=revision, **options))


def _list(name: str, revision: str | None) -> Mapping[str, int]:
    """Names of a repository's files, with their sizes in bytes."""
    with _translated(name, revision):
        files = _package().HubApi().get_model_files(name, revision=revision, recursive=True)
        return {str(file["Path"]): int(file.get("Size") or 0) for file in files}


def _cached(name: str, revision: str | None) -> Path | None:
    package = _package()
    try:
        folder = Path(package.snapshot_download(name, revision=revision, local_files_only=True))
    except Exception:  # its kind depends on the version; all mean that it is not in the cache
        return None
    return folder if (folder / "config.json").is_file() else None


def _package() -> Any:
    """ModelScope's package; it imports torch, if that is installed, for its log."""
    try:
        return importlib.import_module("modelscope")
    except ImportError as error:
        raise MissingPackageError(
            f"source='modelscope' needs the package modelscope ({error})",
            hint="pip install modelscope",
        ) from error


@contextmanager
def _translated(name: str, revision: str | None) -> Iterator[None]:
    """Turn what modelscope raises into the kit's errors; its kinds differ between versions."""
    try:
        yield
    except ModelLoadError:
        raise
    except Exception as error:
        raise _translate(error, name, revision) from error


def _translate(error: Exception, name: str, revision: str | None) -> ModelLoadError:
    if is_disk_full(error):
        cache = os.environ.get("MODELSCOPE_CACHE") or Path.home() / ".cache" / "modelscope"
        return disk_full_error(name, Path(cache))
    status = next(filter(None, map(_status_of, causes_of(error))), None)
    if status == 404:
        return ModelNotFoundError(
            f"ModelScope has no {name!r} at revision {revision or _MAIN_BRANCH!r}, or it is "
            "private",
            hint="check the spelling of both; where it is private, `modelscope login`",
        )
    if status in (401, 403):
        return ModelForbiddenError(
            f"ModelScope refuses {name!r} (HTTP {status})",
            hint="accept its licence on the model's page, then `modelscope login`",
        )
    return DownloadError(
        f"{name!r} cannot be fetched from ModelScope ({words_of(error)})",
        hint=f"check the network, then {RESUME}",
    )


def _status_of(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    status = getattr(error, "status_code", None) or getattr(response, "status_code", None)
    return status if isinstance(status, int) else None
