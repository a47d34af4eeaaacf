"""Downloads from the Hugging Face hub: all files of one commit, small files first, then weights."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from huggingface_hub import HfApi, constants, get_token, is_offline_mode, try_to_load_from_cache
from huggingface_hub import errors as theirs

from qwenvl_kit.checkpoints.download import (
    RESUME,
    SMALL_FILES,
    Checkpoint,
    check_space,
    disk_full_error,
    is_disk_full,
    weights_to_fetch,
    words_of,
)
from qwenvl_kit.checkpoints.foreign_formats import no_config_error
from qwenvl_kit.checkpoints.small_files import check_file_bytes, is_needless
from qwenvl_kit.checkpoints.weights import absent_weights
from qwenvl_kit.errors import (
    CheckpointError,
    DownloadError,
    ModelForbiddenError,
    ModelLoadError,
    ModelNotFoundError,
    WeightsError,
)

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

TensorHeaders: TypeAlias = dict[str, tuple[str, tuple[int, ...]]]
"""Tensors by name, each with its dtype in safetensors' words (such as BF16) and its shape."""

_NUM_AT_ONCE = 8
_NUM_WEIGHTS_AT_ONCE = 2  # all files in transfer are lost when the network breaks
_MAX_UNTRUSTED_BYTES = 64 * 2**20
_COMMIT = re.compile(r"[0-9a-f]{40}")
_GO_ONLINE = "load it once with a network, without offline=True or HF_HUB_OFFLINE"
_LOG_IN = "`hf auth login`, or the variable HF_TOKEN"


def find_on_hub(
    name: str, *, revision: str | None, offline: bool, is_untrusted: bool = False
) -> Checkpoint:
    """Fetch the small files of a repository, all from the commit that the revision names now.

    Args:
        name: id of the repository.
        revision: branch, tag or commit; None is the main branch.
        offline: True to use the cache alone.
        is_untrusted: True if somebody else chose the name, such as a server. No credentials are
            sent then, and at most 64 MiB are fetched.

    Raises:
        ModelLoadError: of the kinds that `find_checkpoint` lists.
    """
    if offline or is_offline_mode():
        cached = _cached(name, revision)
        if cached is None:
            raise _not_cached(name, revision)
        return cached
    try:
        api = HfApi(token=False if is_untrusted else None)
        commit, files = _look_up(name, revision, api)
    except DownloadError:
        cached = _cached(name, revision)
        if cached is None:
            raise
        return cached
    if is_untrusted:
        _check_untrusted_size(name, files)
    return _fetch_small_files(name, revision, commit, files, api)


def _check_untrusted_size(name: str, files: Mapping[str, RepoSibling]) -> None:
    """Raise an error if the small files together are too large for an untrusted repository.

    Raises:
        CheckpointError: they are too large, or their size is not known.
    """
    sizes = [file.size for path, file in files.items() if _is_small(path)]
    if None in sizes or sum(filter(None, sizes)) > _MAX_UNTRUSTED_BYTES:
        raise CheckpointError(
            f"the small files of {name!r} are larger than {_MAX_UNTRUSTED_BYTES >> 20} MiB",
            hint="give it yourself as checkpoint=...: then it may have any size",
        )


def fetch_from_hub(checkpoint: Checkpoint, *, offline: bool) -> None:
    """Fetch the weights of a checkpoint's commit into its folder.

    Args:
        checkpoint: the result of `find_on_hub`.
        offline: True to use the cache alone.

    Raises:
        ModelLoadError: of the kinds that `fetch_weights` lists.
    """
    absent = absent_weights(checkpoint.folder)
    if not absent:
        return
    name, commit = checkpoint.name, checkpoint.revision
    if offline or is_offline_mode():
        raise DownloadError(
            f"the cache lacks {len(absent)} weight files of {name!r} ({absent[0]} first), and the "
            "hub cannot be asked (offline)",
            hint=_GO_ONLINE,
        )
    _, files = _look_up(name, commit)
    wanted = weights_to_fetch(checkpoint, files)
    listed = (files[file] for file in wanted)
    check_space(name, checkpoint.folder, _missing_bytes(checkpoint.folder, listed))
    _download(name, commit, wanted, num_at_once=_NUM_WEIGHTS_AT_ONCE)


def fetch_tensor_headers(checkpoint: Checkpoint, *, offline: bool = False) -> TensorHeaders | None:
    """Fetch the headers of a checkpoint's weight files, without the weights.

    A few hundred kilobytes tell the dtypes and shapes of gigabytes of weights.

    Args:
        checkpoint: the result of `find_checkpoint`.
        offline: True to open no connection.

    Returns:
        The dtype and the shape of each tensor. None if they cannot be known before the download:
        for a folder, for ModelScope, which serves no headers, and offline.

    Raises:
        UnsafeWeightsError: the repository has pickled weights only.
        WeightsError: it has no weights, lacks files that its index names, or has damaged ones.
        ModelForbiddenError: the hub refuses them to this user.
        DownloadError: they cannot be fetched.
    """
    if checkpoint.origin != "huggingface" or offline or is_offline_mode():
        return None
    name, commit = checkpoint.name, checkpoint.revision
    _, files = _look_up(name, commit)

    def read(file: str) -> TensorHeaders:
        header = HfApi().parse_safetensors_file_metadata(name, file, revision=commit)
        return {key: (str(t.dtype), tuple(t.shape)) for key, t in header.tensors.items()}

    there = (path.name for path in checkpoint.folder.glob("*.safetensors"))
    wanted = {*weights_to_fetch(checkpoint, files), *there}
    with _translated(name, commit), ThreadPoolExecutor(_NUM_AT_ONCE) as pool:
        parts = list(pool.map(read, sorted(wanted)))
    return {tensor: header for part in parts for tensor, header in part.items()}


def _look_up(
    name: str, revision: str | None, api: HfApi | None = None
) -> tuple[str, Mapping[str, RepoSibling]]:
    """The commit that a revision names now, and all its files by name."""
    with _translated(name, revision):
        found = (api or HfApi()).model_info(
            name,
            revision=revision,
            files_metadata=True,
            timeout=constants.HF_HUB_ETAG_TIMEOUT,  # without one it would wait for ever
        )
    if not _COMMIT.fullmatch(found.sha or ""):
        raise DownloadError(f"the hub names no commit for {name!r} (sha={found.sha!r})")
    return str(found.sha), {file.rfilename: file for file in found.siblings or ()}


def _fetch_small_files(
    name: str, revision: str | None, commit: str, files: Mapping[str, RepoSibling], api: HfApi
) -> Checkpoint:
    if "config.json" not in files:
        raise no_config_error(repr(name), files)
    small = [file for file in files if _is_small(file) and not is_needless(file, files[file].size)]
    for file in small:
        check_file_bytes(f"{file} of {name!r}", file, files[file].size)
    small.remove("config.json")
    _download(name, commit, small, api=api)
    # Last, so that a commit with its config.json in the cache has the others too.
    folder = _download(name, commit, ["config.json"], api=api)[0].parent
    _note_revision(folder, revision or constants.DEFAULT_REVISION, commit)
    return Checkpoint(name, folder, "huggingface", commit)


def _is_small(file: str) -> bool:
    in_top_folder = "/" not in file and "\\" not in file
    return in_top_folder and any(fnmatchcase(file, pattern) for pattern in SMALL_FILES)


def _download(
    name: str,
    commit: str | None,
    files: Sequence[str],
    *,
    num_at_once: int = _NUM_AT_ONCE,
    api: HfApi | None = None,
) -> list[Path]:
    """Fetch some files of a commit into the cache; cached files cost no request.

    They are fetched one by one, because `snapshot_download` lists a repository without a timeout.
    """
    api = api or HfApi()
    pool = ThreadPoolExecutor(num_at_once)
    with _translated(name, commit):
        try:
            jobs = [pool.submit(api.hf_hub_download, name, file, revision=commit) for file in files]
            for job in as_completed(jobs):
                job.result()
        except BaseException as error:  # an interruption does not wait for gigabytes
            pool.shutdown(wait=isinstance(error, Exception), cancel_futures=True)
            raise
        pool.shutdown()
    return [Path(job.result()) for job in jobs]


def _missing_bytes(folder: Path, files: Iterable[RepoSibling]) -> int:
    """The bytes still to be fetched; another commit may have brought the same file already."""
    blobs = folder.parent.parent / "blobs"
    blob_names = [(file, str(file.lfs.sha256 if file.lfs else file.blob_id)) for file in files]
    return sum(file.size or 0 for file, name in blob_names if not (blobs / name).exists())


def _note_revision(folder: Path, revision: str, commit: str) -> None:
    """Write the commit of a branch or tag into the cache, as `hf_hub_download` does."""
    path = folder.parent.parent / "refs" / revision
    try:
        if revision == commit or (path.is_file() and path.read_text() == commit):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            file.write(commit)
        os.replace(file.name, path)
    except OSError:
        pass  # a cache that cannot be written still works; only offline use needs this


def _cached(name: str, revision: str | None) -> Checkpoint | None:
    """The checkpoint in the cache, at the commit that the cache last noted; None if not whole."""

    def find(file: str) -> Path | None:
        with _translated(name, revision):
            path = try_to_load_from_cache(name, file, revision=revision)
        return Path(path) if isinstance(path, str) else None

    config, vocabulary = find("config.json"), find("tokenizer.json") or find("vocab.json")
    if config is None or vocabulary is None or not _COMMIT.fullmatch(config.parent.name):
        return None
    return Checkpoint(name, config.parent, "huggingface", config.parent.name)


def _not_cached(name: str, revision: str | None) -> ModelLoadError:
    cache = Path(constants.HF_HUB_CACHE)
    snapshots = cache / f"models--{name.replace('/', '--')}" / "snapshots"
    if not (snapshots.is_dir() and any(snapshots.iterdir())):
        return ModelNotFoundError(
            f"{name!r} is not in the cache ({cache}), and the hub cannot be asked (offline)",
            hint=_GO_ONLINE,
        )
    return DownloadError(
        f"{name!r} is not whole in the cache ({cache}) at revision "
        f"{revision or constants.DEFAULT_REVISION!r}, and the hub cannot be asked (offline)",
        hint=_GO_ONLINE,
    )


@contextmanager
def _translated(name: str, revision: str | None) -> Iterator[None]:
    """Turn what huggingface_hub and its transport raise into the kit's errors."""
    try:
        yield
    except ModelLoadError:
        raise
    except Exception as error:  # the transport is httpx or httpx2, and its errors have no one root
        raise _translate(error, name, revision) from error


def _translate(error: Exception, name: str, revision: str | None) -> ModelLoadError:
    if is_disk_full(error):
        return disk_full_error(name, Path(constants.HF_HUB_CACHE))
    cause = error.__cause__ if isinstance(error, theirs.LocalEntryNotFoundError) else None
    root = cause or error
    refusal = _as_refusal(root, name, revision)
    if refusal is not None:
        return refusal
    if isinstance(root, theirs.SafetensorsParsingError):
        return WeightsError(
            f"the weights of {name!r} have no header that can be read "
            f"({words_of(root, get_token())})",
            expected="safetensors files",
        )
    if isinstance(root, PermissionError):
        return DownloadError(
            f"{name!r} cannot be written to the cache ({words_of(root)})",
            hint="a cache folder that you may write to, by the variable HF_HOME",
        )
    return DownloadError(
        f"{name!r} cannot be fetched ({words_of(root, get_token())})",
        hint=f"check the network and the hub's status, then {RESUME}",
    )


def _as_refusal(error: BaseException, name: str, revision: str | None) -> ModelLoadError | None:
    """The error of a final answer of the hub, which a retry would not change; else None."""
    status = getattr(getattr(error, "response", None), "status_code", 0)
    if isinstance(error, theirs.GatedRepoError):
        return ModelForbiddenError(
            f"{name!r} is open only to users who accepted its licence",
            hint=f"accept it on the model's page on the hub, then {_LOG_IN}",
        )
    if isinstance(error, theirs.RevisionNotFoundError):
        return ModelNotFoundError(
            f"{name!r} has no revision {revision!r}",
            expected="one of its branches, tags or commits",
        )
    if isinstance(error, theirs.RemoteEntryNotFoundError):
        return CheckpointError(f"a file of {name!r} is listed and not there (HTTP {status})")
    if isinstance(error, (theirs.RepositoryNotFoundError, theirs.HFValidationError)):
        return ModelNotFoundError(
            f"the hub has no {name!r}, or it is private",
            hint=f"check the spelling; where it is private, {_LOG_IN}",
        )
    if status in (401, 403):
        return ModelForbiddenError(
            f"the hub refuses {name!r} (HTTP {status})",
            hint=f"a token that is valid and may read it: {_LOG_IN}",
        )
    return ModelNotFoundError(f"the hub has no {name!r} (HTTP 404)") if status == 404 else None
