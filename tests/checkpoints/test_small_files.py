"""Small files that are no files, or not small, are refused before they are opened."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from qwenvl_kit import inspect
from qwenvl_kit.checkpoints.small_files import check_small_files
from qwenvl_kit.checkpoints.sources import find_checkpoint
from qwenvl_kit.errors import AdapterError, CheckpointError

NAMES = (
    *("config.json", "generation_config.json", "preprocessor_config.json", "tokenizer.json"),
    *("tokenizer_config.json", "chat_template.jinja", "chat_template.json", "merges.txt"),
    *("model.safetensors.index.json", "adapter_config.json", "special_tokens_map.json"),
    "additional_chat_templates/tools.jinja",
)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10 << 30)


NO_FILES: Mapping[str, tuple[Callable[[Path], object], str]] = {
    "a pipe": (os.mkfifo, "not a file, but a pipe"),
    "an endless device": (lambda path: path.symlink_to("/dev/zero"), "but a device"),
    "a file of the kernel": (lambda path: path.symlink_to("/proc/self/pagemap"), "of the kernel"),
    "a folder": (os.mkdir, "not a file, but a folder"),
    "10 GiB": (sparse, "has 10,240 MiB; expected at most"),
}


@pytest.fixture
def copy(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_small_file_is_refused_before_it_is_opened(
    copy: Path, name: str, kind: str
) -> None:
    make, said = NO_FILES[kind]
    path = copy / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    make(path)
    with pytest.raises(CheckpointError, match=said) as caught:
        inspect(copy)
    assert str(path) in str(caught.value)


def test_links_are_followed_as_the_caches_of_hubs_have_them(copy: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    for file in copy.iterdir():
        (snapshot / file.name).symlink_to(os.path.relpath(file, snapshot))
    (snapshot / "vocab.json").symlink_to("nothing")
    assert inspect(snapshot).missing == inspect(copy).missing == ()


def test_a_pipe_in_a_snapshot_of_the_cache_is_refused(copy: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "blob")
    (copy / "tokenizer.json").unlink()
    (copy / "tokenizer.json").symlink_to(tmp_path / "blob")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json cannot be read: it is not a file"):
        find_checkpoint(copy)


def test_thousands_of_templates_are_refused(copy: Path) -> None:
    folder = copy / "additional_chat_templates"
    folder.mkdir()
    for number in range(101):
        (folder / f"{number}.jinja").touch()
    with pytest.raises(CheckpointError, match="more than 100 files"):
        check_small_files(copy)


def test_the_settings_of_an_adapter_are_held_to_the_same(tmp_path: Path) -> None:
    from qwenvl_kit.backends.local.lora.files import read_adapter

    os.mkfifo(tmp_path / "adapter_config.json")
    (tmp_path / "adapter_model.safetensors").touch()
    with pytest.raises(AdapterError, match="not a file, but a pipe"):
        read_adapter(tmp_path)
