"""What a server says of its model opens no folder, and uses nobody's credentials."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from qwenvl_kit.errors import ModelLoadError, QwenVLKitError
from tests.checkpoints.hub_server import NAME, FakeHub, serve

from .conftest import Connect
from .speaking import Speaker

TOKEN = "hf_of_the_user"
SMALL = ("*.json", "*.txt", "*.jinja")


def lead_to(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def hub(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub that has the small model, and a user who is known there."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 5)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with serve() as fake:
        lead_to(fake.address, monkeypatch)
        files = [path for form in SMALL for path in tiny_folder.glob(form)]
        fake.publish({path.name: path.read_bytes() for path in files} | {"model.bin": b"x"})
        yield fake


def says(**extra: Any) -> Speaker:
    return Speaker(extra=extra)


def test_an_id_that_a_server_names_is_looked_up_without_credentials(
    connect: Connect, hub: FakeHub
) -> None:
    report = connect(says(root=NAME)).report()
    assert (report["checkpoint"], report["prompt_tokens"]) == (NAME, "counted")
    assert hub.credentials
    assert set(hub.credentials) == {None}
    assert "model.bin" not in hub.asked_files


def test_an_id_that_the_caller_names_is_looked_up_in_the_callers_name(
    connect: Connect, hub: FakeHub
) -> None:
    assert connect(Speaker(), checkpoint=NAME).report()["prompt_tokens"] == "counted"
    assert set(hub.credentials) == {f"Bearer {TOKEN}"}


def test_a_repository_whose_small_files_are_large_is_not_fetched(
    connect: Connect, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qwenvl_kit.checkpoints.huggingface._MAX_UNTRUSTED_BYTES", 1000)
    assert "are larger than" in connect(says(root=NAME)).report()["checkpoint"]
    assert hub.asked_files == set()


def test_a_hub_that_does_not_answer_holds_nobody_up(
    connect: Connect, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qwenvl_kit.backends.server.model_lookup._MOST_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        lead_to(f"http://127.0.0.1:{silent.getsockname()[1]}", monkeypatch)
        report = connect(says(root=NAME)).report()
    assert "not found within" in report["checkpoint"]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was read as a checkpoint."""
    found: list[Any] = []

    def note(name: Any, *_: object, **__: object) -> None:
        found.append(name)
        raise ModelLoadError("nothing")

    for place in ("model_lookup.read_settings", "connect.read_settings", "connect.find_checkpoint"):
        monkeypatch.setattr(f"qwenvl_kit.backends.server.{place}", note)
    return found


@pytest.fixture
def stranger(
    hub: FakeHub, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A checkpoint's folder, which is also at `Stranger/Model` of the folder that one is in."""
    (tmp_path / "Stranger").mkdir()
    (tmp_path / "Stranger" / "Model").symlink_to(tiny_folder)
    monkeypatch.chdir(tmp_path)
    return tiny_folder


@pytest.mark.parametrize(
    "name", ["Stranger/Model", "./evil", "/etc", "~", "a/b/c", "..", "a/..", "", "a\0b", "C:\\a"]
)
def test_a_folder_that_a_server_names_is_not_opened(
    connect: Connect, stranger: Path, opened: list[Any], name: str
) -> None:
    for root in (name, str(stranger)):
        assert connect(says(root=root)).report()["checkpoint"].startswith("none")
    assert opened == []


@pytest.mark.parametrize("length", [97, 300, 4000])
def test_a_name_that_no_file_system_takes_is_none_that_is_looked_up(
    connect: Connect, hub: FakeHub, length: int
) -> None:
    root = f"{'a' * length}/{'b' * length}"
    report = connect(Speaker(models=["Qwen2-VL" + "c" * length], extra={"root": root})).report()
    assert report["checkpoint"].startswith("none")
    assert len(report["checkpoint"]) < 500
    assert hub.requests == []


def test_a_name_that_is_too_long_to_be_asked_for_is_an_error(connect: Connect) -> None:
    with pytest.raises(QwenVLKitError, match="usable name"):
        connect(Speaker(models=["Qwen2-VL" + "c" * 5000]))
