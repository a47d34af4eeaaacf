"""Which place a checkpoint's name means, before any hub is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit.checkpoints.download import Checkpoint
from qwenvl_kit.checkpoints.sources import fetch_weights, find_checkpoint
from qwenvl_kit.errors import ModelLoadError, ModelNotFoundError


def test_a_folder_is_taken_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owner" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    found = Checkpoint("owner/model", Path("owner/model"), "folder", None)
    assert find_checkpoint("owner/model") == find_checkpoint(Path("owner/model")) == found


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "model").mkdir()
    found = find_checkpoint("~/model")
    assert (found.name, found.folder) == ("~/model", tmp_path / "model")


def test_the_weights_of_a_folder_are_where_they_are(tmp_path: Path) -> None:
    fetch_weights(find_checkpoint(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_has_no_revisions(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"'v1'.*a folder has no revisions"):
        find_checkpoint(tmp_path, revision="v1")


@pytest.mark.parametrize(
    "model",
    [
        *(
            "",
            "model",
            "./model",
            "/nowhere/model",
            "~/model",
            "a b/c",
            "a/b/c",
            "a//b",
            "a/",
            "/a",
        ),
        *("../a", "a/..", "a/b\n", "C:\\models\\a", "https://host/a/b", "a/b@main", "é/b", "a\0/b"),
        *(Path("owner/model"), None, 3, b"owner/model", ["owner/model"]),
    ],
    ids=repr,
)
@pytest.mark.parametrize("source", ["huggingface", "modelscope"])
def test_what_is_neither_a_folder_nor_an_id_is_not_found(model: Any, source: Any) -> None:
    with pytest.raises(ModelNotFoundError, match=r"folder.*'Qwen/Qwen2-VL-2B-Instruct'"):
        find_checkpoint(model, source=source)


def test_a_file_is_not_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owner").mkdir()
    (tmp_path / "owner" / "model.gguf").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFoundError, match="is not a folder"):
        find_checkpoint("owner/model.gguf")


@pytest.mark.parametrize("revision", ["", "../../etc", "a..b", "/main", "a b", "a\nb", "a:b", 3])
@pytest.mark.parametrize("source", ["huggingface", "modelscope"])
def test_a_revision_that_git_could_not_have_is_not_found(revision: Any, source: Any) -> None:
    with pytest.raises(ModelNotFoundError, match=r"(?s)revision=.*branch"):
        find_checkpoint("owner/model", source=source, revision=revision)


@pytest.mark.parametrize("source", ["hf", "", None, ["huggingface"]])
def test_an_unknown_source_names_the_two(source: Any) -> None:
    with pytest.raises(ModelLoadError, match="'huggingface' or 'modelscope'"):
        find_checkpoint("owner/model", source=source)
