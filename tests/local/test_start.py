"""The first load of a process: what is wrong is told before torch, weights are read meanwhile."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwenvl_kit.backends.local import LocalBackend, start, start_backend
from qwenvl_kit.checkpoints import read_ahead
from qwenvl_kit.errors import ModelLoadError, WeightsError
from tests.docs import imports

LEFT_OUT = (
    *("av", "llguidance", "openai", "peft", "bitsandbytes", "pypdfium2", "matplotlib", "pandas"),
    *("pyarrow", "ray", "fsspec", "prometheus_client", "vllm", "modelscope", "pillow_heif"),
    *("qwen_vl_utils", "torchcodec", "IPython", "tensorboard", "datasets", "kernels", "pytest"),
    *("torch._inductor.compile_fx", "torch._inductor.scheduler", "torch.utils.tensorboard"),
    *("torch._functorch.partitioners", "torch.utils.cpp_extension"),
    *("qwenvl_kit.backends.server", "qwenvl_kit.backends.vllm", "qwenvl_kit.diagnostics"),
    *("qwenvl_kit.tasks", "qwenvl_kit.telemetry", "qwenvl_kit.live", "qwenvl_kit.media.worker"),
    *("qwenvl_kit.media.web", "qwenvl_kit.testing", "qwenvl_kit.distributed"),
)
"""Modules that no answer about a plain picture needs."""

OWN = (
    "qwenvl_kit",
    "packaging",  # compares the installed versions with those that a family needs
    "PIL",  # ImageFile decodes; transformers imports Image alone
    "encodings.unicode_escape",  # packaging's
    "transformers.models.qwen2_vl",  # the checkpoint's processor
)
"""Modules that a first answer imports beyond those of the model's class, with the reason."""


@pytest.fixture
def first_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """A load that believes itself to be the first of its process."""
    monkeypatch.setattr(start, "_LOADER", "a module that is not loaded")


@pytest.fixture(autouse=True)
def collection_stays_as_it_was() -> Iterator[None]:
    assert gc.isenabled()
    yield
    gc.enable()


class Patient(read_ahead.ReadAhead):
    """Has read all before anything is loaded."""

    def check(self) -> None:
        self._thread.join()
        super().check()


def readers() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "qwenvl_kit read ahead"]


@pytest.mark.parametrize(
    ("model", "config", "error"),
    [
        ("no-such-folder", "", "ModelNotFoundError"),
        (".", '{"model_type": "llama"}', "UnknownFamilyError"),
        (".", "{", "CheckpointError"),
    ],
)
def test_a_checkpoint_that_cannot_be_is_refused_before_torch_is_imported(
    model: str, config: str, error: str, tmp_path: Path
) -> None:
    if config:
        (tmp_path / "config.json").write_text(config, encoding="utf-8")
    program = (
        "import sys\n"
        "from qwenvl_kit import VisionChat, errors\n"
        f"try: VisionChat.from_pretrained({os.fspath(tmp_path / model)!r})\n"
        "except errors.ModelLoadError as error: print(type(error).__name__)\n"
        "print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [error, "False"]


@pytest.mark.usefixtures("first_load")
def test_the_first_load_reads_ahead_what_it_loads(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    monkeypatch.setattr(read_ahead, "_is_in_page_cache", lambda file, position: False)
    monkeypatch.setattr(
        read_ahead, "_read_into", lambda buffer, file, start: read.append(len(buffer))
    )
    monkeypatch.setattr(start, "ReadAhead", Patient)
    backend = start_backend(tiny_folder)
    assert isinstance(backend, LocalBackend)
    assert sum(read) == (tiny_folder / "model.safetensors").stat().st_size
    assert not readers()
    backend.close()


@pytest.mark.usefixtures("first_load")
def test_a_disk_that_fails_while_modules_are_imported_fails_the_load(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bool:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(read_ahead, "_is_in_page_cache", fail)
    monkeypatch.setattr(start, "ReadAhead", Patient)
    with pytest.raises(WeightsError, match=r"model.safetensors cannot be read .*Input/output"):
        start_backend(tiny_folder)
    assert not readers()


@pytest.mark.usefixtures("first_load")
def test_a_load_that_fails_leaves_no_thread(tiny_folder: Path) -> None:
    with pytest.raises(ModelLoadError, match="nonsense"):
        start_backend(tiny_folder, dtype="nonsense")
    assert not readers()


def test_a_later_load_reads_nothing_ahead(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(start, "ReadAhead")
    start_backend(tiny_folder).close()


def test_collection_is_paused_and_comes_back_also_after_an_error() -> None:
    with start.paused_collection():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), start.paused_collection():
        raise ImportError
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_what_was_made_meanwhile_is_still_collected() -> None:
    class Node:
        pass

    with start.paused_collection():
        node = Node()
        node.itself = node  # type: ignore[attr-defined]
        del node
    gc.collect()
    assert not [each for each in gc.get_objects() if type(each) is Node]


def test_a_caller_who_has_turned_collection_off_keeps_it_off() -> None:
    gc.disable()
    with start.paused_collection():
        pass
    assert not gc.isenabled()


def test_objects_that_a_caller_has_frozen_stay_frozen() -> None:
    gc.freeze()
    try:
        before = gc.get_freeze_count()
        with start.paused_collection():
            pass
        assert gc.isenabled()
        assert gc.get_freeze_count() >= before - 100  # some may have been released
    finally:
        gc.unfreeze()


@pytest.mark.long
def test_a_first_answer_imports_nothing_that_serves_other_uses() -> None:
    found = imports.run(imports.FIRST_ANSWER).modules
    kept = {name for name in found for other in LEFT_OUT if f"{name}.".startswith(f"{other}.")}
    assert not kept


@pytest.mark.long
def test_a_first_answer_imports_no_package_that_the_model_class_does_not_import() -> None:
    before = imports.run(imports.REFERENCE).modules
    found = imports.run(imports.FIRST_ANSWER).modules
    more = {
        name
        for name in found - before
        if not f"{name}.".startswith(tuple(f"{own}." for own in OWN))
    }
    assert not more
