"""ModelScope: its package is called as it wants to be called, and its errors are the kit's."""

from __future__ import annotations

import errno
import importlib
import inspect
import shutil
import sys
from collections import namedtuple
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from qwenvl_kit.checkpoints.download import Checkpoint
from qwenvl_kit.checkpoints.huggingface import fetch_tensor_headers
from qwenvl_kit.checkpoints.sources import fetch_weights, find_checkpoint
from qwenvl_kit.errors import (
    CheckpointError,
    DownloadError,
    MissingPackageError,
    ModelForbiddenError,
    ModelLoadError,
    ModelNotFoundError,
    UnsafeWeightsError,
    WeightsError,
)
from tests.checkpoints.hub_server import safetensors_bytes

NAME = "Owner/Model"
WEIGHTS = safetensors_bytes(500)
SMALL = {"config.json": b"{}", "tokenizer.json": b"{}", "chat_template.jinja": b""}
UNWANTED = {"modeling.py": b"", "pytorch_model.bin": b"", "onnx/config.json": b"{}"}


class FakeModelScope:
    """What of the package is used, with a repository in memory."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.files: dict[str, bytes] = {**SMALL, **UNWANTED, "model.safetensors": WEIGHTS}
        self.error: Exception | None = None
        self.fetched: list[str] = []

    def snapshot_download(
        self,
        model_id: str | None = None,
        revision: str | None = None,
        cache_dir: str | None = None,
        local_files_only: bool | None = False,
        *,
        allow_patterns: list[str] | str | None = None,
        ignore_patterns: list[str] | str | None = None,
    ) -> str:
        folder = self.cache / str(model_id) / (revision or "master")
        if local_files_only:
            if not folder.is_dir():
                raise ValueError("Cannot find the requested files in the cached path")
            return str(folder)
        if self.error is not None:
            raise self.error
        for name, data in self.files.items():
            allowed = any(fnmatch(name, pattern) for pattern in allow_patterns or "*")
            if allowed and not any(fnmatch(name, pattern) for pattern in ignore_patterns or ()):
                self.fetched.append(name)
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)
        return str(folder)

    def get_model_files(
        self, model_id: str, revision: str | None = None, recursive: bool = True
    ) -> list[dict[str, Any]]:
        if self.error is not None:
            raise self.error
        return [{"Path": name, "Size": len(data)} for name, data in self.files.items()]


@pytest.fixture
def scope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeModelScope:
    fake = FakeModelScope(tmp_path / "cache")
    package = ModuleType("modelscope")
    package.snapshot_download = fake.snapshot_download  # type: ignore[attr-defined]
    package.HubApi = lambda: fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "modelscope", package)
    return fake


def find(**options: Any) -> Checkpoint:
    return find_checkpoint(NAME, source="modelscope", **options)


def load(**options: Any) -> Checkpoint:
    checkpoint = find(**options)
    fetch_weights(checkpoint, offline=options.get("offline", False))
    assert (checkpoint.folder / "model.safetensors").read_bytes() == WEIGHTS
    return checkpoint


def test_the_first_step_fetches_small_files_and_the_second_weights(scope: FakeModelScope) -> None:
    checkpoint = find()
    assert (checkpoint.name, checkpoint.origin) == (NAME, "modelscope")
    assert set(scope.fetched) == set(SMALL)
    assert fetch_tensor_headers(checkpoint) is None
    fetch_weights(checkpoint)
    assert set(scope.fetched) == {*SMALL, "model.safetensors"}
    scope.error = ConnectionError("not to be asked again")
    fetch_weights(checkpoint)


@pytest.mark.parametrize(("given", "recorded"), [(None, "master"), ("v1.0", "v1.0")])
def test_the_revision_is_the_branch_or_tag(
    scope: FakeModelScope, given: str | None, recorded: str
) -> None:
    checkpoint = load(revision=given)
    assert checkpoint.revision == recorded
    assert checkpoint.folder.name == recorded


class HubError(Exception):
    """What modelscope raises since 1.38, where `requests.HTTPError` is raised from it."""

    def __init__(self, status_code: int) -> None:
        super().__init__(f"[E3020] [{status_code}] ms-secret?token=abc")
        self.status_code = status_code


def raised_from(cause: Exception) -> Exception:
    error = RuntimeError("HTTP error")
    error.__cause__ = cause
    return error


def answered(status: int) -> Exception:
    """What older versions raise."""
    error = OSError(f"{status} Client Error")
    error.response = SimpleNamespace(status_code=status)  # type: ignore[attr-defined]
    return error


def several(*errors: Exception) -> Exception:
    error = RuntimeError(f"{len(errors)} of 9 file(s) failed to download")
    error.failed_files = dict(enumerate(errors))  # type: ignore[attr-defined]
    return error


FAILURES = {
    "unknown": (raised_from(HubError(404)), ModelNotFoundError, "spelling"),
    "unknown, older": (answered(404), ModelNotFoundError, "'master'"),
    "no token": (raised_from(HubError(401)), ModelForbiddenError, "modelscope login"),
    "gated file": (several(HubError(403)), ModelForbiddenError, "licence"),
    "server error": (several(HubError(502)), DownloadError, "are kept"),
    "no network": (ConnectionError("Failed to resolve"), DownloadError, "check the network"),
    "full disk": (
        several(OSError(errno.ENOSPC, "No space left on device")),
        DownloadError,
        r"disk became full.*[MG]B are free",
    ),
}


@pytest.mark.parametrize(("failure", "error", "words"), list(FAILURES.values()), ids=list(FAILURES))
def test_each_failure_has_its_error(
    scope: FakeModelScope, failure: Exception, error: type[ModelLoadError], words: str
) -> None:
    scope.error = failure
    with pytest.raises(error, match=words) as caught:
        find()
    assert type(caught.value) is error
    assert caught.value.__cause__ is failure
    assert not any(secret in str(caught.value) for secret in ("ms-secret", "abc"))
    scope.error = None
    load()


@pytest.mark.parametrize("failure", [ConnectionError("no route"), answered(503)])
def test_without_the_hub_what_is_cached_is_used(scope: FakeModelScope, failure: Exception) -> None:
    online = load()
    scope.error = failure
    assert load() == online


def test_offline_only_the_cache_is_used(scope: FakeModelScope) -> None:
    with pytest.raises(ModelNotFoundError, match="not in the cache"):
        find(offline=True)
    checkpoint = find()
    with pytest.raises(DownloadError, match=r"model\.safetensors"):
        fetch_weights(checkpoint, offline=True)
    fetch_weights(checkpoint)
    scope.fetched.clear()
    assert load(offline=True) == checkpoint
    assert scope.fetched == []


def test_pickled_weights_are_refused(scope: FakeModelScope) -> None:
    del scope.files["model.safetensors"]
    with pytest.raises(UnsafeWeightsError, match="could run code"):
        fetch_weights(find())


def test_a_repository_without_weights_is_said_to_have_none(scope: FakeModelScope) -> None:
    scope.files = dict(SMALL)
    with pytest.raises(WeightsError, match="no weights"):
        fetch_weights(find())


def test_a_repository_without_config_is_no_checkpoint(scope: FakeModelScope) -> None:
    del scope.files["config.json"]
    with pytest.raises(CheckpointError, match=r"config\.json"):
        find()


def test_a_disk_that_is_too_small_is_noticed_before_the_download(
    scope: FakeModelScope, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = find()
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(free=10))
    with pytest.raises(DownloadError, match=r"[MG]B are free"):
        fetch_weights(checkpoint)
    assert "model.safetensors" not in scope.fetched


def test_without_the_package_the_command_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "modelscope", None)
    with pytest.raises(MissingPackageError, match="pip install modelscope"):
        find()


def test_the_real_package_takes_what_it_is_given() -> None:
    pytest.importorskip("modelscope")
    package = importlib.import_module("modelscope")
    inspect.signature(package.snapshot_download).bind(
        NAME, revision=None, allow_patterns=["*.json"], ignore_patterns=["*/*"]
    )
    inspect.signature(package.snapshot_download).bind(NAME, revision=None, local_files_only=True)
    inspect.signature(package.HubApi.get_model_files).bind(
        package.HubApi, NAME, revision=None, recursive=True
    )
