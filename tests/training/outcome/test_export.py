"""`export_merged` writes all of a model or nothing, and says why it cannot."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from qwenvl_kit import PixelBudget, Sampling, VisionChat
from qwenvl_kit.backends.local.lora import export
from qwenvl_kit.backends.local.packed.int8_linear import Int8Linear
from qwenvl_kit.backends.local.packed.packing import runs_here
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.checkpoints.trained_with import TrainedWith
from qwenvl_kit.embedded import MODEL_FOLDER
from qwenvl_kit.errors import (
    AdapterError,
    InputError,
    ModelLoadError,
    TrainingError,
    UnsupportedFeatureError,
)
from qwenvl_kit.training import export_merged
from tests.adapters import LANGUAGE, random_adapter, record_of
from tests.by_hand import CONVERSATIONS
from tests.families.test_published_checkpoints import CHECKPOINTS, FILES

pytest.importorskip("peft", reason="adapters need peft")

MESSAGES = CONVERSATIONS["one image"]
GREEDY = Sampling(max_new_tokens=8)


@pytest.fixture(scope="module")
def adapter(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters") / "receipts"
    return random_adapter(tiny_folder, folder, target_modules=LANGUAGE)


@pytest.fixture(scope="module")
def chat(tiny_folder: Path, adapter: Path) -> VisionChat:
    return VisionChat.from_pretrained(tiny_folder, adapter=adapter)


def left_in(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_the_folder_has_all_that_was_published_and_the_licence(
    tiny_folder: Path, adapter: Path, tmp_path: Path
) -> None:
    base = Path(shutil.copytree(tiny_folder, tmp_path / "base"))
    (base / "LICENSE").write_text("Apache")
    (base / "calibration.json").write_text("{}")
    (base / "notes.bin").write_bytes(b"\x00")
    (base / "additional_chat_templates").mkdir()
    (base / "additional_chat_templates" / "other.jinja").write_text("x")
    chat = VisionChat.from_pretrained(base, adapter=adapter, calibrator=None)
    whole = export_merged(chat, tmp_path / "deep" / "whole")
    assert whole == tmp_path / "deep" / "whole"
    for name in ("tokenizer.json", "chat_template.jinja", "generation_config.json", "LICENSE"):
        if (base / name).exists():
            assert (whole / name).read_bytes() == (base / name).read_bytes()
    assert (whole / "additional_chat_templates" / "other.jinja").read_text() == "x"
    lost = {"calibration.json", "notes.bin"}
    assert {*left_in(base)} - {*left_in(whole)} == lost
    assert left_in(tmp_path / "deep") == ["whole"]


def test_a_record_of_the_training_goes_along(
    tiny_folder: Path, adapter: Path, tmp_path: Path
) -> None:
    trained = Path(shutil.copytree(adapter, tmp_path / "trained"))
    record = record_of(tiny_folder, PixelBudget(4, 16))
    record.write(trained)
    chat = VisionChat.from_pretrained(tiny_folder, adapter=trained)
    whole = export_merged(chat, tmp_path / "whole")
    assert TrainedWith.read(whole) == record
    served = VisionChat.from_pretrained(whole)
    assert "max_tokens=16" in served.report()["budget"]
    assert served.ask(MESSAGES, sampling=GREEDY).text == chat.ask(MESSAGES, sampling=GREEDY).text


def test_a_merged_model_is_written_as_it_is(
    tiny_folder: Path, adapter: Path, tmp_path: Path
) -> None:
    chat = VisionChat.from_pretrained(tiny_folder, adapter=adapter)
    first = export_merged(chat, tmp_path / "first")
    chat.adapters.merge()
    second = export_merged(chat, tmp_path / "second")
    weights, merged = (load_file(folder / "model.safetensors") for folder in (first, second))
    assert weights.keys() == merged.keys()
    for name, tensor in weights.items():
        assert torch.allclose(tensor, merged[name], atol=1e-6), name


def test_weights_keep_the_names_under_which_they_were_published(
    tiny_folder: Path, tmp_path: Path
) -> None:
    base = Path(shutil.copytree(tiny_folder, tmp_path / "base"))
    weights = {
        name.replace("model.language_model.", "model.").replace("model.visual.", "visual."): tensor
        for name, tensor in load_file(base / "model.safetensors").items()
    }
    assert any(name.startswith("visual.") for name in weights)
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    adapter = random_adapter(base, tmp_path / "adapter")
    chat = VisionChat.from_pretrained(base, adapter=adapter)
    whole = export_merged(chat, tmp_path / "whole")
    assert load_file(whole / "model.safetensors").keys() == weights.keys()


def test_large_weights_are_written_in_parts(
    chat: VisionChat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_MAX_SHARD_SIZE", "200KB")
    whole = export_merged(chat, tmp_path / "whole")
    index = json.loads((whole / "model.safetensors.index.json").read_text())
    parts = {*index["weight_map"].values()}
    assert len(parts) > 1
    assert parts == {path.name for path in whole.glob("*.safetensors")}
    told = VisionChat.from_pretrained(whole).ask(MESSAGES, sampling=GREEDY).text
    assert told == chat.ask(MESSAGES, sampling=GREEDY).text


@pytest.mark.long
def test_another_adapter_that_is_loaded_has_no_part_in_it(
    tiny_folder: Path, adapter: Path, tmp_path: Path
) -> None:
    other = random_adapter(tiny_folder, tmp_path / "other", r=2, lora_alpha=64)
    chat = VisionChat.from_pretrained(tiny_folder, adapter=adapter)
    alone = load_file(export_merged(chat, tmp_path / "alone") / "model.safetensors")
    chat.adapters.load(other)
    chat.adapters.use("receipts")
    both = load_file(export_merged(chat, tmp_path / "both") / "model.safetensors")
    assert alone.keys() == both.keys()
    assert all(torch.equal(tensor, both[name]) for name, tensor in alone.items())


def test_without_an_adapter_nothing_is_copied(tiny_folder: Path, tmp_path: Path) -> None:
    chat = VisionChat.from_pretrained(tiny_folder)
    with pytest.raises(AdapterError, match="no adapter is in use") as caught:
        export_merged(chat, tmp_path / "whole")
    assert "adapter=folder" in caught.value.expected
    assert left_in(tmp_path) == []


def test_an_adapter_that_is_not_in_use_is_named(
    tiny_folder: Path, adapter: Path, tmp_path: Path
) -> None:
    chat = VisionChat.from_pretrained(tiny_folder, adapter=adapter)
    chat.adapters.use(None)
    with pytest.raises(AdapterError, match="no adapter is in use") as caught:
        export_merged(chat, tmp_path / "whole")
    assert "receipts" in caught.value.expected


@pytest.mark.parametrize("fill", ["a file within", "a file", "a link", "a link to nothing"])
def test_nothing_is_written_over(chat: VisionChat, tmp_path: Path, fill: str) -> None:
    target, other = tmp_path / "whole", tmp_path / "other"
    other.mkdir()
    if fill == "a file within":
        target.mkdir()
        (target / "mine.txt").write_text("mine")
    elif fill == "a file":
        target.write_text("mine")
    else:
        target.symlink_to(other if fill == "a link" else tmp_path / "gone")
    with pytest.raises(InputError, match="whole") as caught:
        export_merged(chat, target)
    assert caught.value.expected
    assert left_in(tmp_path) == ["other", "whole"]


def test_an_empty_folder_is_taken(chat: VisionChat, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    assert (export_merged(chat, str(tmp_path / "whole")) / "config.json").is_file()


@pytest.mark.parametrize("given", ["", 3, None])
def test_a_folder_that_is_no_path_is_an_error(chat: VisionChat, given: Any) -> None:
    with pytest.raises(InputError, match="folder="):
        export_merged(chat, given)


def test_what_is_no_chat_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="VisionChat"):
        export_merged("Qwen/Qwen2-VL-2B-Instruct", tmp_path / "whole")  # type: ignore[arg-type]


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def no_space_by_safetensors(*_: object, **__: object) -> None:
    from safetensors import SafetensorError

    raise SafetensorError("I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    ("place", "fail"),
    [
        ("shutil.copyfile", no_space),
        ("transformers.modeling_utils.safe_save_file", no_space_by_safetensors),
        ("transformers.configuration_utils.PreTrainedConfig.save_pretrained", no_space),
        ("pathlib.Path.rename", no_space),
    ],
)
def test_a_disk_that_fills_is_told_and_left_as_it_was(
    chat: VisionChat,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    fail: Callable[..., None],
) -> None:
    before = chat.ask(MESSAGES, sampling=GREEDY).text
    with monkeypatch.context() as patch:
        patch.setattr(place, fail)
        with pytest.raises(TrainingError, match="No space left") as caught:
            export_merged(chat, tmp_path / "whole")
    assert caught.value.hint
    assert left_in(tmp_path) == []
    assert chat.ask(MESSAGES, sampling=GREEDY).text == before


def test_an_interrupt_leaves_nothing(
    chat: VisionChat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfile", interrupt)
        with pytest.raises(KeyboardInterrupt):
            export_merged(chat, tmp_path / "whole")
    assert left_in(tmp_path) == []


def test_a_folder_that_may_not_be_written_to_is_told(chat: VisionChat, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot be written"):
        export_merged(chat, tmp_path / "file" / "whole")


def test_requests_wait_and_are_answered(chat: VisionChat, tmp_path: Path) -> None:
    expected, told = chat.ask(MESSAGES, sampling=GREEDY).text, []
    threads = [
        threading.Thread(target=lambda: told.append(chat.ask(MESSAGES, sampling=GREEDY).text))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    export_merged(chat, tmp_path / "whole")
    for thread in threads:
        thread.join()
    assert told == [expected] * 3


def test_a_backend_without_weights_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFeatureError, match="from_pretrained"):
        export_merged(VisionChat(ScriptedBackend(["yes"])), tmp_path / "whole")


def test_a_closed_chat_says_so(tiny_folder: Path, adapter: Path, tmp_path: Path) -> None:
    chat = VisionChat.from_pretrained(tiny_folder, adapter=adapter)
    chat.close()
    with pytest.raises(ModelLoadError, match="closed"):
        export_merged(chat, tmp_path / "whole")
    assert left_in(tmp_path) == []


def test_a_checkpoint_that_is_gone_is_told(
    tiny_folder: Path, adapter: Path, tmp_path: Path
) -> None:
    base = Path(shutil.copytree(tiny_folder, tmp_path / "base"))
    chat = VisionChat.from_pretrained(base, adapter=adapter)
    shutil.rmtree(base)
    with pytest.raises(ModelLoadError, match="base"):
        export_merged(chat, tmp_path / "whole")
    assert left_in(tmp_path) == []


@pytest.mark.skipif(not runs_here(Int8Linear), reason="this processor has no packed kernels")
def test_packed_layers_are_refused(tiny_folder: Path, adapter: Path, tmp_path: Path) -> None:
    chat = VisionChat.from_pretrained(tiny_folder, adapter=adapter, quantization="8bit")
    with pytest.raises(AdapterError, match="cannot be exported") as caught:
        export_merged(chat, tmp_path / "whole")
    assert "bfloat16" in caught.value.hint
    assert left_in(tmp_path) == []


def test_quantised_weights_are_refused(
    tiny_folder: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = VisionChat.from_pretrained(tiny_folder, adapter=adapter)
    monkeypatch.setattr(chat._backend.model, "hf_quantizer", object(), raising=False)  # type: ignore[attr-defined]
    with pytest.raises(AdapterError, match="quantised") as caught:
        export_merged(chat, tmp_path / "whole")
    assert "bfloat16" in caught.value.hint


def test_an_adapter_of_one_end_of_tied_embeddings_is_refused(tmp_path: Path) -> None:
    base = Path(shutil.copytree(MODEL_FOLDER, tmp_path / "base"))
    config = json.loads((base / "config.json").read_text())
    assert config.get("tie_word_embeddings") or config["text_config"].get("tie_word_embeddings")
    adapter = random_adapter(base, tmp_path / "adapter", target_modules=["lm_head"])
    chat = VisionChat.from_pretrained(base, adapter=adapter)
    with pytest.raises(AdapterError, match="one weight"):
        export_merged(chat, tmp_path / "whole")


@pytest.mark.long
def test_tied_embeddings_stay_one_weight_and_a_head_of_its_own_stays_one(tmp_path: Path) -> None:
    base = Path(MODEL_FOLDER)
    tied = random_adapter(base, tmp_path / "tied", target_modules=r".*q_proj")
    head = random_adapter(
        base, tmp_path / "head", target_modules=r".*q_proj", modules_to_save=["lm_head"]
    )
    for adapter, has_head in ((tied, False), (head, True)):
        chat = VisionChat.from_pretrained(base, adapter=adapter)
        whole = export_merged(chat, tmp_path / f"{adapter.name}-whole")
        assert ("lm_head.weight" in load_file(whole / "model.safetensors")) is has_head
        config = json.loads((whole / "config.json").read_text())
        assert config["tie_word_embeddings"] is not has_head
        served = VisionChat.from_pretrained(whole, calibrator=None)
        question = "What is in this picture?"
        assert (
            served.ask(question, sampling=GREEDY).text == chat.ask(question, sampling=GREEDY).text
        )


@pytest.mark.skipif(not FILES.is_dir(), reason=f"needs files of published checkpoints in {FILES}")
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_settings_of_published_checkpoints_keep_all_that_readers_look_for(
    name: str, tmp_path: Path
) -> None:
    published = json.loads((FILES / name / "config.json").read_text())
    is_tied = bool(published.get("tie_word_embeddings"))
    written = export._config(published, torch.bfloat16, is_tied=is_tied)
    changed = {key for key in published if published[key] != written[key]}
    assert changed <= {"text_config"}
    text, before = written.get("text_config", {}), published.get("text_config", {})
    assert {key for key in before if text[key] != before[key]} <= {"tie_word_embeddings"}
    export.copy_small_files(FILES / name, tmp_path)
    lost = {path.name for path in (FILES / name).iterdir()} - {*left_in(tmp_path)}
    assert lost == {"config.json"}
