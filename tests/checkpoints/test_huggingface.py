"""The Hugging Face hub: one commit, allowed files, specific errors, a cache that stays usable."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants, file_download

from qwenvl_kit.checkpoints import huggingface as hub_room
from qwenvl_kit.checkpoints import small_files
from qwenvl_kit.checkpoints.download import Checkpoint
from qwenvl_kit.checkpoints.huggingface import fetch_tensor_headers
from qwenvl_kit.checkpoints.sources import fetch_weights, find_checkpoint
from qwenvl_kit.errors import (
    CheckpointError,
    DownloadError,
    ModelForbiddenError,
    ModelLoadError,
    ModelNotFoundError,
    UnsafeWeightsError,
    WeightsError,
)
from tests.checkpoints.hub_server import NAME, FakeHub, safetensors_bytes, serve

TOKEN = "hf_" + "verysecret" * 3
WEIGHTS = safetensors_bytes(500)
SMALL = {
    "config.json": b'{"model_type": "qwen2_vl"}',
    "tokenizer.json": b"{}",
    "merges.txt": b"a b",
    "chat_template.jinja": b"{{ messages }}",
}
UNWANTED = {
    "modeling.py": b"raise SystemExit",
    "tokenizer.pkl": b"cos",
    "pytorch_model.bin": b"cos",
    "training_args.bin": b"cos",
    "README.md": b"# Model",
    "onnx/config.json": b"{}",
    "other/model.safetensors": WEIGHTS,
}
FILES = {**SMALL, **UNWANTED, "model.safetensors": WEIGHTS}
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def sharded() -> dict[str, bytes]:
    weight_map = {"first": SHARDS[0], "second": SHARDS[1]}
    return {
        **SMALL,
        "model.safetensors.index.json": json.dumps(
            {"metadata": {}, "weight_map": weight_map}
        ).encode(),
        SHARDS[0]: safetensors_bytes(8, "first"),
        SHARDS[1]: safetensors_bytes(6, "second"),
    }


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    wait = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: wait(min(seconds, 0.001)))  # of retries
    with serve() as fake:
        template = fake.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", fake.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 5)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        fake.publish(FILES)
        yield fake


def load(**options: Any) -> Checkpoint:
    """Both steps; what came is checked."""
    checkpoint = find_checkpoint(NAME, **options)
    fetch_weights(checkpoint, offline=options.get("offline", False))
    assert (checkpoint.folder / "model.safetensors").read_bytes() == WEIGHTS
    for name, data in SMALL.items():
        assert (checkpoint.folder / name).read_bytes() == data
    return checkpoint


def unplug(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens at the hub's address any more."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    template = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def test_the_first_step_fetches_small_files_and_the_second_weights(hub: FakeHub) -> None:
    checkpoint = find_checkpoint(NAME)
    assert checkpoint == Checkpoint(NAME, checkpoint.folder, "huggingface", hub.branches["main"])
    assert {path.name for path in checkpoint.folder.iterdir()} == set(SMALL)
    fetch_weights(checkpoint)
    assert {path.name for path in checkpoint.folder.iterdir()} == {*SMALL, "model.safetensors"}


def test_nothing_but_allowed_files_is_ever_asked_for(hub: FakeHub) -> None:
    fetch_tensor_headers(load())
    assert hub.asked_files == {*SMALL, "model.safetensors"}


def test_small_files_of_gigabytes_are_not_fetched(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small_files, "_MOST", 1 << 20)
    hub.publish({**FILES, "notes.txt": bytes(2 << 20)})
    assert not (find_checkpoint(NAME).folder / "notes.txt").exists()
    hub.publish({**FILES, "tokenizer_config.json": bytes(5 << 20)})
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json of .* has 5 MiB"):
        find_checkpoint(NAME)
    assert "notes.txt" not in hub.asked_files


def test_all_files_are_of_one_commit_though_the_branch_moves(hub: FakeHub) -> None:
    checkpoint = find_checkpoint(NAME)
    hub.publish({**FILES, "model.safetensors": safetensors_bytes(7), "config.json": b"{}"})
    fetch_weights(checkpoint)
    assert (checkpoint.folder / "model.safetensors").read_bytes() == WEIGHTS
    assert find_checkpoint(NAME).revision == hub.branches["main"] != checkpoint.revision


@pytest.mark.parametrize("length", [7, 40])
def test_a_commit_may_be_given_whole_or_short(hub: FakeHub, length: int) -> None:
    first = hub.branches["main"]
    hub.publish({"config.json": b"{}"})
    assert load(revision=first[:length]).revision == first
    assert load(revision=first[:length], offline=True).revision == first


def test_a_branch_with_a_slash_is_found_and_remembered(hub: FakeHub) -> None:
    commit = hub.publish(FILES, "refs/pr/1".replace("/", "%2F"))
    assert load(revision="refs/pr/1").revision == commit
    assert load(revision="refs/pr/1", offline=True).revision == commit


def test_a_second_load_asks_for_the_commit_alone(hub: FakeHub) -> None:
    load()
    hub.heal()
    load()
    assert hub.requests == [("GET", f"/api/models/{NAME}")]


@pytest.mark.parametrize(
    "name", ["a b/c", "a/b/c", "a/..", "a/b..c", "a/b--c", "/a/b/c", "a/b.git"]
)
@pytest.mark.parametrize("offline", [True, False])
def test_a_malformed_id_is_refused_without_a_request(
    hub: FakeHub, name: str, offline: bool
) -> None:
    with pytest.raises(ModelNotFoundError, match=name):
        find_checkpoint(name, offline=offline)
    assert hub.requests == []


def fault(where: str, status: int, code: str = "", message: str = "") -> Any:
    return lambda hub: hub.fail(where, status, code=code, message=message)


INVALID = "Invalid credentials in Authorization header"
REFUSALS = {
    "unknown id": (fault("/api", 404, "RepoNotFound"), ModelNotFoundError, "spelling"),
    "not logged in": (fault("/api", 401, "RepoNotFound"), ModelNotFoundError, "private"),
    "404 of another kind": (fault("/api", 404), ModelNotFoundError, "404"),
    "gated": (fault("/resolve/", 403, "GatedRepo"), ModelForbiddenError, "licence"),
    "gated, no token": (fault("/resolve/", 401, "GatedRepo"), ModelForbiddenError, "hf auth login"),
    "bad token": (fault("/api", 401, "", INVALID), ModelForbiddenError, "token"),
    "forbidden": (fault("/api", 403), ModelForbiddenError, "403"),
    "disabled": (
        fault("/api", 403, "", "Access to this resource is disabled."),
        ModelForbiddenError,
        "403",
    ),
    "hub fails": (fault("/api", 500), DownloadError, "500"),
    "hub fails later": (fault("/resolve/", 503), DownloadError, "are kept"),
    "too many requests": (fault("/api", 429), DownloadError, "429"),
    "broken transfer": (
        lambda hub: hub.fail("tokenizer.json", cut_after_bytes=1),
        DownloadError,
        "came whole are kept",
    ),
}


@pytest.mark.parametrize(
    ("break_it", "error", "words"), list(REFUSALS.values()), ids=list(REFUSALS)
)
def test_each_failure_has_its_error_and_leaves_the_cache_usable(
    hub: FakeHub, break_it: Callable[[FakeHub], None], error: type[ModelLoadError], words: str
) -> None:
    break_it(hub)
    with pytest.raises(error, match=words) as caught:
        find_checkpoint(NAME)
    assert type(caught.value) is error
    assert NAME in str(caught.value)
    assert caught.value.__cause__ is not None
    assert TOKEN not in str(caught.value)
    hub.heal()
    load()


def test_an_unknown_revision_is_named(hub: FakeHub) -> None:
    with pytest.raises(ModelNotFoundError, match="'nightly'"):
        find_checkpoint(NAME, revision="nightly")
    load()


def test_a_repository_without_config_is_no_checkpoint(hub: FakeHub) -> None:
    hub.publish({"README.md": b""})
    with pytest.raises(CheckpointError, match=r"config\.json"):
        find_checkpoint(NAME)


def test_weights_that_break_off_half_way_come_whole_the_next_time(hub: FakeHub) -> None:
    hub.publish(sharded())
    checkpoint = find_checkpoint(NAME)
    hub.fail(SHARDS[1], cut_after_bytes=10)
    with pytest.raises(DownloadError, match="came whole are kept"):
        fetch_weights(checkpoint)
    assert [path.name for path in checkpoint.folder.glob("*.safetensors")] == [SHARDS[0]]
    hub.heal()
    fetch_weights(checkpoint)
    assert (checkpoint.folder / SHARDS[1]).read_bytes() == sharded()[SHARDS[1]]
    assert hub.asked_files == {SHARDS[1]}


@pytest.mark.parametrize(
    "files", [["pytorch_model.bin"], ["pytorch_model-00001-of-00002.bin"], ["consolidated.00.pth"]]
)
def test_pickled_weights_are_refused_with_the_reason(hub: FakeHub, files: list[str]) -> None:
    hub.publish({**SMALL, **dict.fromkeys(files, b"cos")})
    checkpoint = find_checkpoint(NAME)
    with pytest.raises(UnsafeWeightsError, match=r"(?s)could run code.*safetensors"):
        fetch_weights(checkpoint)
    assert hub.asked_files == set(SMALL)


@pytest.mark.parametrize("others", [{}, {"model.gguf": b"GGUF"}, {"odd.safetensors": WEIGHTS}])
def test_a_repository_without_weights_is_said_to_have_none(
    hub: FakeHub, others: dict[str, bytes]
) -> None:
    hub.publish({**SMALL, "training_args.bin": b"cos", **others})
    with pytest.raises(WeightsError, match="no weights") as caught:
        fetch_weights(find_checkpoint(NAME))
    assert type(caught.value) is WeightsError
    assert all(name in str(caught.value) for name in others)


def test_the_shards_that_the_index_names_are_fetched_and_no_others(hub: FakeHub) -> None:
    hub.publish({**sharded(), "consolidated.safetensors": WEIGHTS})
    checkpoint = find_checkpoint(NAME)
    fetch_weights(checkpoint)
    weights = {path.name for path in checkpoint.folder.glob("*.safetensors")}
    assert weights == set(SHARDS)


def test_a_shard_that_the_repository_lacks_is_named(hub: FakeHub) -> None:
    files = sharded()
    del files[SHARDS[1]]
    hub.publish(files)
    with pytest.raises(WeightsError, match=SHARDS[1]):
        fetch_weights(find_checkpoint(NAME))
    assert not hub.asked_files & set(SHARDS)


DiskUsage = namedtuple("DiskUsage", "total used free")


def test_a_disk_that_is_too_small_is_noticed_before_the_download(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish({**SMALL, "model.safetensors": safetensors_bytes(10_000_000)})
    checkpoint = find_checkpoint(NAME)
    with monkeypatch.context() as small_disk:
        small_disk.setattr(shutil, "disk_usage", lambda _: DiskUsage(10**9, 990_000_000, 10**7))
        with pytest.raises(DownloadError, match=r"20\.0 MB more.*10\.0 MB are free.*HF_HOME"):
            fetch_weights(checkpoint)
        assert "model.safetensors" not in hub.asked_files
    fetch_weights(checkpoint)


def test_weights_that_another_commit_brought_need_no_room(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    load()
    hub.publish({**FILES, "README.md": b"# Corrected"})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: DiskUsage(10**9, 10**9 - 10, 10))
    load()


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("No space left on device")],
)
def test_a_disk_that_fills_half_way_is_told_with_figures(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    checkpoint = find_checkpoint(NAME)

    def fill(url: str, temp_file: Any, **_: object) -> None:
        temp_file.write(WEIGHTS[:50])
        temp_file.flush()
        raise error

    with monkeypatch.context() as full_disk:
        full_disk.setattr(file_download, "http_get", fill)
        with pytest.raises(DownloadError, match=r"disk became full.* GB are free.*make room"):
            fetch_weights(checkpoint)
    load()


def test_a_cache_that_cannot_be_written_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/cache")

    monkeypatch.setattr(file_download, "http_get", refuse)
    with pytest.raises(DownloadError, match="HF_HOME"):
        find_checkpoint(NAME)


@pytest.mark.parametrize("by_environment", [True, False])
def test_offline_only_the_cache_is_used(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, by_environment: bool
) -> None:
    online = load()
    hub.heal()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", by_environment)
    assert load(offline=not by_environment) == online
    assert load(offline=not by_environment, revision=online.revision) == online
    assert fetch_tensor_headers(online, offline=not by_environment) is None
    assert hub.requests == []


def test_offline_with_nothing_cached_the_id_is_not_found(hub: FakeHub) -> None:
    with pytest.raises(ModelNotFoundError, match=r"not in the cache.*with a network"):
        find_checkpoint(NAME, offline=True)
    assert hub.requests == []


def test_offline_another_revision_is_a_missing_download(hub: FakeHub) -> None:
    find_checkpoint(NAME)
    with pytest.raises(DownloadError, match=r"'nightly'.*with a network"):
        find_checkpoint(NAME, revision="nightly", offline=True)


def test_offline_weights_that_are_not_cached_are_a_missing_download(hub: FakeHub) -> None:
    checkpoint = find_checkpoint(NAME)
    with pytest.raises(DownloadError, match=r"model\.safetensors.*with a network"):
        fetch_weights(checkpoint, offline=True)


def test_small_files_that_broke_off_do_not_pass_for_whole_offline(hub: FakeHub) -> None:
    hub.fail("tokenizer.json", status=503)
    with pytest.raises(DownloadError):
        find_checkpoint(NAME)
    for revision in (None, hub.branches["main"]):
        with pytest.raises(DownloadError, match="not whole"):
            find_checkpoint(NAME, revision=revision, offline=True)


@pytest.mark.parametrize("how", ["no network", "hub fails", "too many requests"])
def test_without_the_hub_what_is_cached_is_used_silently(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], how: str
) -> None:
    online = load()
    capfd.readouterr()
    if how == "no network":
        unplug(hub, monkeypatch)
    else:
        hub.fail("/", status=500 if how == "hub fails" else 429)
    assert load() == load(revision=online.revision) == online
    assert capfd.readouterr() == ("", "")


def test_without_a_network_what_is_not_cached_is_a_failed_download(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_checkpoint(NAME)
    unplug(hub, monkeypatch)
    with pytest.raises(DownloadError, match="check the network"):
        find_checkpoint(NAME, revision="nightly")
    with pytest.raises(DownloadError, match="check the network"):
        fetch_weights(find_checkpoint(NAME))


def test_a_refusal_is_not_hidden_by_the_cache(hub: FakeHub) -> None:
    load()
    hub.fail("/api", status=403)
    with pytest.raises(ModelForbiddenError):
        find_checkpoint(NAME)


def test_tensor_headers_are_known_before_the_weights_come(hub: FakeHub) -> None:
    hub.publish(sharded())
    checkpoint = find_checkpoint(NAME)
    headers = fetch_tensor_headers(checkpoint)
    assert headers == {"first": ("BF16", (8,)), "second": ("BF16", (6,))}
    assert not list(checkpoint.folder.glob("*.safetensors"))
    assert len(hub.ranges) == 2
    fetch_weights(checkpoint)
    assert fetch_tensor_headers(checkpoint) == headers


def test_tensor_headers_of_a_long_file_are_read_by_range(hub: FakeHub) -> None:
    hub.publish({**SMALL, "model.safetensors": safetensors_bytes(500_000)})
    assert fetch_tensor_headers(find_checkpoint(NAME)) == {"weight": ("BF16", (500_000,))}
    assert hub.ranges == ["bytes=0-100000"]


def test_damaged_headers_are_damaged_weights(hub: FakeHub) -> None:
    hub.publish({**SMALL, "model.safetensors": b"\xff" * 100})
    with pytest.raises(WeightsError, match="header"):
        fetch_tensor_headers(find_checkpoint(NAME))


def test_tensor_headers_of_a_folder_are_not_the_hubs(hub: FakeHub, tmp_path: Path) -> None:
    assert fetch_tensor_headers(Checkpoint("here", tmp_path, "folder", None)) is None
    assert hub.requests == []


def test_a_token_in_a_foreign_message_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    said = f"Illegal header value b'Bearer {TOKEN}' at http://x/y?Signature=abc"
    monkeypatch.setenv("HF_TOKEN", "of-another-form")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(f"{said} of-another-form")

    monkeypatch.setattr(hub_room.HfApi, "model_info", fail)
    with pytest.raises(DownloadError) as caught:
        find_checkpoint(NAME)
    for secret in (TOKEN, "abc", "of-another-form"):
        assert secret not in str(caught.value)


def test_both_steps_import_neither_torch_nor_transformers(hub: FakeHub, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from qwenvl_kit.checkpoints.sources import fetch_weights, find_checkpoint\n"
        "from qwenvl_kit.checkpoints.huggingface import fetch_tensor_headers\n"
        f"found = find_checkpoint({NAME!r})\n"
        "fetch_tensor_headers(found)\n"
        "fetch_weights(found)\n"
        "print([m for m in ('torch', 'transformers') if m in sys.modules])\n"
    )
    settings = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "[]", done.stderr
