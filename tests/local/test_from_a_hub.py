"""A chat loaded from a hub, as users load it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from qwenvl_kit import Sampling, VisionChat, inspect
from qwenvl_kit.errors import DownloadError, PlacementError, UnknownFamilyError
from qwenvl_kit.hardware import Machine
from tests.by_hand import CONVERSATIONS
from tests.checkpoints.hub_server import NAME, FakeHub, serve

GREEDY = Sampling(max_new_tokens=6)
WEIGHTS = "model.safetensors"


@pytest.fixture
def files(tiny_folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in tiny_folder.iterdir()}


@pytest.fixture
def hub(
    files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakeHub]:
    with serve() as fake:
        template = fake.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", fake.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        fake.publish(files)
        yield fake


def answer(chat: VisionChat) -> str:
    return chat.ask(CONVERSATIONS["one image"], sampling=GREEDY).text


def test_a_checkpoint_of_a_hub_answers_as_its_folder_and_records_its_commit(
    hub: FakeHub, tiny_folder: Path
) -> None:
    chat = VisionChat.from_pretrained(NAME)
    assert answer(chat) == answer(VisionChat.from_pretrained(tiny_folder))
    report = chat.report()
    assert report["revision"] == hub.branches["main"]
    assert (report["model"], report["source"]) == (NAME, "huggingface")


def test_what_was_loaded_once_loads_offline(hub: FakeHub) -> None:
    first = answer(VisionChat.from_pretrained(NAME))
    hub.heal()
    assert answer(VisionChat.from_pretrained(NAME, offline=True)) == first
    assert hub.requests == []


def test_an_older_revision_stays_what_it_was(hub: FakeHub, files: dict[str, bytes]) -> None:
    old = hub.branches["main"]
    settings = json.loads(files["generation_config.json"]) | {"max_new_tokens": 7}
    hub.publish({**files, "generation_config.json": json.dumps(settings).encode()})
    assert VisionChat.from_pretrained(NAME).default_sampling.max_new_tokens == 7
    assert VisionChat.from_pretrained(NAME, revision=old).default_sampling.max_new_tokens != 7


def test_weights_of_another_family_are_never_fetched(hub: FakeHub, files: dict[str, bytes]) -> None:
    hub.publish({**files, "config.json": b'{"model_type": "llava"}'})
    with pytest.raises(UnknownFamilyError):
        VisionChat.from_pretrained(NAME)
    assert WEIGHTS not in hub.asked_files


def test_weights_that_fit_nowhere_are_judged_by_their_headers_and_never_fetched(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Machine(num_cores=1, available_bytes=1000, total_bytes=2000)
    monkeypatch.setattr("qwenvl_kit.backends.local.devices.read_machine", lambda: small)
    with pytest.raises(PlacementError, match=r"take 1\.1 MB; there are 0\.0 MB free"):
        VisionChat.from_pretrained(NAME)
    assert all(span.startswith("bytes=0-") for span in hub.ranges)
    assert not any(
        path.endswith(WEIGHTS) for path in (str(p) for p in Path(constants.HF_HUB_CACHE).rglob("*"))
    )


def test_a_checkpoint_of_a_hub_is_inspected_without_its_weights(hub: FakeHub) -> None:
    found = inspect(NAME)
    chat = VisionChat.from_pretrained(NAME)
    assert found.revision == hub.branches["main"]
    assert found.weight_bytes["float32"] == pytest.approx(chat.plan("?").weight_bytes, rel=0.05)


def test_a_transfer_that_breaks_is_an_error_and_the_next_one_succeeds(hub: FakeHub) -> None:
    hub.fail(WEIGHTS, cut_after_bytes=100_000)
    with pytest.raises(DownloadError):
        VisionChat.from_pretrained(NAME)
    hub.heal()
    assert answer(VisionChat.from_pretrained(NAME))
