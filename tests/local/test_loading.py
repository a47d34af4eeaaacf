"""What cannot be loaded says why."""

from __future__ import annotations

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from packaging.version import Version

from qwenvl_kit import Sampling, VisionChat
from qwenvl_kit.backends.local.loading import attention, load_plan, network
from qwenvl_kit.errors import (
    BudgetError,
    CheckpointError,
    MissingPackageError,
    ModelLoadError,
    ModelNotFoundError,
    PlacementError,
    UnknownFamilyError,
)
from qwenvl_kit.testing import build_tiny_model
from tests.by_hand import ids_of, picture


@pytest.fixture
def copy(tiny_folder: Path, tmp_path: Path) -> Path:
    """A checkpoint to damage."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        VisionChat.from_pretrained(tmp_path / "nowhere")


def test_a_hub_id_without_a_network_says_what_to_check() -> None:
    with pytest.raises(ModelNotFoundError, match="network"):
        VisionChat.from_pretrained("nobody/nothing")


def test_a_folder_without_config_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json"):
        VisionChat.from_pretrained(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_damaged_config_is_no_checkpoint(copy: Path, text: str) -> None:
    (copy / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        VisionChat.from_pretrained(copy)


def test_an_unknown_family_is_refused_with_those_that_are_known(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "model_type": "llava"}))
    with pytest.raises(UnknownFamilyError, match=r"llava.*qwen2_vl"):
        VisionChat.from_pretrained(copy)


def test_missing_weights_are_named(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelLoadError, match="safetensors"):
        VisionChat.from_pretrained(copy)


def test_a_missing_tokenizer_is_named(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="token"):
        VisionChat.from_pretrained(copy)


@pytest.mark.parametrize("options", [{"dtype": "int8"}, {"dtype": "nonsense"}, {"device": "moon"}])
def test_an_unknown_dtype_or_device_is_refused(copy: Path, options: dict[str, str]) -> None:
    with pytest.raises(ModelLoadError, match=next(iter(options))):
        VisionChat.from_pretrained(copy, **options)  # type: ignore[arg-type]


def test_a_misspelt_budget_fails_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match="native"):
        VisionChat.from_pretrained(tmp_path / "nowhere", budget="cheap")  # type: ignore[arg-type]


def test_the_report_says_what_is_loaded(tiny_folder: Path) -> None:
    report = VisionChat.from_pretrained(tiny_folder, dtype="float32").report()
    assert report["family"] == "qwen2_vl"
    assert report["dtype"] == "float32"
    assert report["model"] == str(tiny_folder)


def test_a_closed_chat_says_so(tiny_folder: Path) -> None:
    with VisionChat.from_pretrained(tiny_folder) as chat:
        pass
    with pytest.raises(ModelLoadError, match="closed"):
        chat.ask("hello")


def test_missing_flash_attention_says_what_to_do(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_plan, "_device_kind", lambda _: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(attention, "find_spec", lambda _: None)
    with pytest.raises(MissingPackageError, match=r"pip install flash-attn.*attention='sdpa'"):
        VisionChat.from_pretrained(tiny_folder, dtype="bfloat16", attention="flash_attention_2")


def test_without_a_name_the_embedded_model_is_loaded() -> None:
    report = VisionChat.from_pretrained(device="cpu").report()
    assert report["family"] == "qwen2_vl"
    assert report["model"].endswith("model")


def test_every_decision_stands_in_the_report_with_its_reason(tiny_folder: Path) -> None:
    report = VisionChat.from_pretrained(tiny_folder, device="cpu").report()
    for decision in ("device", "dtype", "attention"):
        assert report[decision]
        assert report[f"{decision}_reason"]
    assert report["quantization"] == "none"
    assert report["weights"] == "1.1 MB"
    assert report["source"] == "folder"
    assert report["compile"].startswith("off (")


# Compiling.


def _has_compiler() -> bool:
    """Whether torch can compile: it needs a compiler of C++, and before 2.7 setuptools."""
    is_new = Version(torch.__version__) >= Version("2.7")
    return any(map(shutil.which, ("c++", "g++", "clang++"))) and (
        is_new or find_spec("setuptools") is not None
    )


needs_compiler = pytest.mark.skipif(
    not _has_compiler(), reason="torch cannot compile without a C++ compiler (apt-get install g++)"
)


@needs_compiler
@pytest.mark.long
def test_a_compiled_model_gives_the_same_tokens(tiny_folder: Path) -> None:
    plain = VisionChat.from_pretrained(tiny_folder, device="cpu")
    compiled = VisionChat.from_pretrained(tiny_folder, device="cpu", compile=True)
    assert compiled.report()["compile"] == "on (as asked)"
    for question, size in (("What is it?", 60), ("And the colour, if it has one?", 90)):
        request = (question, picture(size, size))
        expected, reply = (
            each.ask(*request, sampling=Sampling(max_new_tokens=8)) for each in (plain, compiled)
        )
        assert ids_of(reply) == ids_of(expected)
        assert reply.confidence == pytest.approx(expected.confidence, abs=1e-4)


@needs_compiler
def test_a_mixture_of_experts_is_compiled_but_for_its_experts(tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path, "qwen3_vl_moe")
    chat = VisionChat.from_pretrained(folder, compile=True, device="cpu")
    for layer in chat._backend.model.model.language_model.layers:  # type: ignore[attr-defined]
        assert layer.input_layernorm._compiled_call_impl is not None
        assert layer.mlp._compiled_call_impl is None
    with torch.compiler.set_stance("force_eager"):  # it still answers around what is compiled
        reply = chat.ask("What is it?", picture(60, 60), sampling=Sampling(max_new_tokens=4))
    assert ids_of(reply)


@pytest.mark.parametrize("value", ["nonsense", "on", 1, 0, None])
def test_an_unknown_way_to_compile_is_refused(tiny_folder: Path, value: Any) -> None:
    with pytest.raises(ModelLoadError, match=r"compile=.*'auto', True or False"):
        VisionChat.from_pretrained(tiny_folder, compile=value)


# Several at once.


def test_loads_at_the_same_time_each_get_their_own_settings(tiny_folder: Path) -> None:
    settings = [
        {"dtype": dtype, "attention": attention}
        for dtype in ("float32", "bfloat16", "float16")
        for attention in ("sdpa", "eager")
    ]

    def load(options: dict[str, Any]) -> dict[str, str]:
        chat = VisionChat.from_pretrained(tiny_folder, device="cpu", **options)
        chat.ask("What is it?", picture(60, 60), sampling=Sampling(max_new_tokens=2))
        return {name: chat.report()[name] for name in options}

    with ThreadPoolExecutor(len(settings)) as pool:
        assert list(pool.map(load, settings)) == settings


def test_a_model_answers_as_ever_while_others_are_loaded(
    tiny_folder: Path, tmp_path: Path, chat: VisionChat
) -> None:
    broken = Path(shutil.copytree(tiny_folder, tmp_path / "broken"))
    (broken / "tokenizer_config.json").write_text('{"pad_token": null}')
    request = ("What is it?", picture(60, 60))
    expected = ids_of(chat.ask(*request, sampling=Sampling(max_new_tokens=4)))
    done = threading.Event()

    def load_many() -> None:
        try:
            for _ in range(3):
                VisionChat.from_pretrained(tiny_folder, dtype="bfloat16", device="cpu").close()
                with pytest.raises(CheckpointError, match="padding"):
                    VisionChat.from_pretrained(broken)
        finally:
            done.set()

    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(load_many)
        answers = []
        while not done.is_set() or not answers:
            answers.append(ids_of(chat.ask(*request, sampling=Sampling(max_new_tokens=4))))
        loading.result()
    assert all(answer == expected for answer in answers)


def test_a_model_that_finds_no_memory_is_loaded_once_more_without_what_others_keep(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = VisionChat.from_pretrained(tiny_folder)
    other.ask("hello " * 20, sampling=Sampling(max_new_tokens=2))
    read = network._read_weights

    def fail_while_something_is_kept(*args: Any) -> Any:
        if other.cache_info().used_bytes:
            raise torch.OutOfMemoryError("injected")
        return read(*args)

    monkeypatch.setattr(network, "_read_weights", fail_while_something_is_kept)
    report = VisionChat.from_pretrained(tiny_folder).report()
    assert "caches of other models" in report["recovery"]
    assert other.ask("hello", sampling=Sampling(max_new_tokens=2)).usage.completion_tokens == 2


def test_a_model_that_finds_no_memory_with_nothing_to_let_go_fails(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise torch.OutOfMemoryError("injected")

    monkeypatch.setattr(network, "_read_weights", fail)
    with pytest.raises(PlacementError, match="memory ran out"):
        VisionChat.from_pretrained(tiny_folder)
