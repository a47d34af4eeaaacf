"""A folder that holds something else than a checkpoint is told what it holds, and the way out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from qwenvl_kit import VisionChat, inspect
from qwenvl_kit.checkpoints.download import Checkpoint, weights_to_fetch
from qwenvl_kit.checkpoints.foreign_formats import fault_of
from qwenvl_kit.errors import (
    CheckpointError,
    ModelLoadError,
    QuantizationError,
    UnsafeWeightsError,
    WeightsError,
)

BASE = "Qwen/Qwen2-VL-2B-Instruct"
ADAPTER = json.dumps({"peft_type": "LORA", "base_model_name_or_path": BASE})

HOLDINGS: dict[str, tuple[list[str], str, str]] = {
    "GGUF": (["a-Q4_K_M.gguf", "mmproj-a.gguf"], r"llama\.cpp \(a-Q4_K_M\.gguf\)", "connect"),
    "ONNX": (["onnx/model.onnx", "onnx/model.onnx_data"], "ONNX Runtime", "made from"),
    "OpenVINO": (["openvino_model.xml", "openvino_model.bin"], "OpenVINO", "made from"),
    "DeepSpeed": (
        ["global_step10/mp_rank_00_model_states.pt", "rng_state_0.pth", "latest"],
        r"DeepSpeed \(global_step10\)",
        "zero_to_fp32",
    ),
    "DeepSpeed's program": (["zero_to_fp32.py", "rng_state_0.pth"], "DeepSpeed", "zero_to_fp32"),
    "FSDP": (["pytorch_model_fsdp_0/__0_0.distcp", "rng_state_0.pth"], "FSDP", "merge-weights"),
    "DCP": (["__0_0.distcp", ".metadata"], r"torch\.distributed\.checkpoint", "merge-weights"),
    "Megatron": (["latest_checkpointed_iteration.txt", "iter_0000100/x"], "Megatron", "convert"),
    "Trainer": (
        ["trainer_state.json", "optimizer.pt", "scheduler.pt", "rng_state.pth"],
        "state of a training run",
        "save_model",
    ),
    "verl": (["model_world_size_8_rank_0.pt", "extra_state_rank_0.pt"], "verl", "model_merger"),
    "vLLM": (["model-rank-0-part-0.safetensors"], "vLLM", "made from"),
    "MLX": (["weights.npz"], "MLX", "made from"),
    "Flax": (["flax_model.msgpack"], "Flax", "made from"),
    "TensorRT": (["rank0.engine"], "converted for another program", "made from"),
    "diffusers": (["model_index.json", "unet/x"], "diffusers", "Qwen-VL"),
    "an unfinished download": (["model.safetensors.incomplete"], "not finished", "again"),
    "shards alone": (
        ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
        "without their index",
        r"model\.safetensors\.index\.json",
    ),
    "another name": (["consolidated.safetensors"], "under other names", r"model\.safetensors"),
    "an archive": (["qwen.tar.gz"], "an archive", "unpack"),
}


def fill(folder: Path, names: list[str]) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


@pytest.fixture
def small(tiny_folder: Path, tmp_path: Path) -> Path:
    """The small files of a checkpoint, without its weights."""
    ignored = shutil.ignore_patterns("*.safetensors")
    return Path(shutil.copytree(tiny_folder, tmp_path / "small", ignore=ignored))


def refused_by_both(folder: Path, kind: type[ModelLoadError], message: str) -> str:
    """Loading and inspecting raise the same."""
    said = set()
    for look in (VisionChat.from_pretrained, inspect):
        with pytest.raises(ModelLoadError, match=message) as caught:
            look(folder)
        assert type(caught.value) is kind
        said.add(str(caught.value))
    (one,) = said
    return one


@pytest.mark.parametrize("case", HOLDINGS.values(), ids=HOLDINGS.keys())
def test_what_a_folder_without_config_holds_is_told_with_the_way_out(
    tmp_path: Path, case: tuple[list[str], str, str]
) -> None:
    names, what, cure = case
    fill(tmp_path, names)
    refused_by_both(
        tmp_path, CheckpointError, rf"no config\.json; it holds .*{what}.*Try: .*{cure}"
    )


@pytest.mark.parametrize("case", HOLDINGS.values(), ids=HOLDINGS.keys())
def test_what_stands_in_place_of_the_weights_is_told_with_the_way_out(
    small: Path, case: tuple[list[str], str, str]
) -> None:
    names, what, cure = case
    fill(small, names)
    with pytest.raises(WeightsError, match=rf"no weights .*{what}.*Try: .*{cure}") as caught:
        VisionChat.from_pretrained(small)
    assert type(caught.value) is WeightsError  # the state of a run is no pickled weight
    (sentence,) = inspect(small).missing
    assert fault_of([name.partition("/")[0] for name in names], small).cure in sentence  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth", "a.ckpt"])
def test_pickled_weights_say_how_they_are_saved_safely(small: Path, name: str) -> None:
    fill(small, [name, "rng_state.pth"])
    with pytest.raises(UnsafeWeightsError, match=rf"\({name}\).*save_pretrained"):
        VisionChat.from_pretrained(small)
    assert name in inspect(small).missing[0]


def test_pickled_weights_without_their_config_are_told_too(tmp_path: Path) -> None:
    fill(tmp_path, ["pytorch_model.bin"])
    refused_by_both(tmp_path, CheckpointError, "pickled weights")


def test_an_empty_folder_is_no_checkpoint(tmp_path: Path) -> None:
    refused_by_both(tmp_path, CheckpointError, r"no config\.json; expected a checkpoint's folder")


# Adapters.


def adapter(folder: Path) -> Path:
    (folder / "adapter_config.json").write_text(ADAPTER)
    (folder / "adapter_model.safetensors").write_bytes(b"x")
    return folder


def test_the_folder_of_an_adapter_names_its_base_and_the_line_that_loads_it(tmp_path: Path) -> None:
    said = refused_by_both(adapter(tmp_path), CheckpointError, rf"a LoRA adapter.*of {BASE}")
    assert f"VisionChat.from_pretrained('{BASE}', adapter='{tmp_path}')" in said


def test_an_adapter_beside_the_small_files_of_its_base_is_no_model(small: Path) -> None:
    adapter(small)
    with pytest.raises(CheckpointError, match=r"and no model.*adapter="):
        VisionChat.from_pretrained(small)
    assert any("adapter=" in sentence for sentence in inspect(small).missing)


@pytest.mark.parametrize("content", ["{", "[]", '{"base_model_name_or_path": 3}', "\ufeff{}"])
def test_an_adapter_that_does_not_say_its_base_is_told_all_the_same(
    tmp_path: Path, content: str
) -> None:
    (tmp_path / "adapter_config.json").write_text(content)
    refused_by_both(tmp_path, CheckpointError, "a LoRA adapter.*of a base model.*'BASE MODEL'")


def test_an_adapter_beside_whole_weights_is_told_by_both(tiny_folder: Path, tmp_path: Path) -> None:
    folder = adapter(Path(shutil.copytree(tiny_folder, tmp_path / "copy")))
    with pytest.raises(CheckpointError, match="an adapter in the folder of its weights"):
        VisionChat.from_pretrained(folder)
    assert "an adapter in the folder of its weights" in inspect(folder).missing[0]


# Folders around a checkpoint.


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        (["checkpoint-9/config.json", "checkpoint-10/config.json", "trainer_state.json"], "10"),
        (["checkpoint-20/adapter_config.json", "args.json", "logging.jsonl"], "20"),
        (["snapshots/abc/config.json", "refs/main", "blobs/x"], "abc"),
        (["Qwen2-VL/config.json", "README.md"], "Qwen2-VL"),
    ],
)
def test_the_folder_that_was_meant_is_named(tmp_path: Path, names: list[str], meant: str) -> None:
    fill(tmp_path, names)
    said = refused_by_both(tmp_path, CheckpointError, "it holds checkpoints in inner folders")
    assert said.endswith(f"{meant}'")


def test_a_folder_that_cannot_be_listed_tells_nothing_more(tmp_path: Path) -> None:
    assert fault_of((), tmp_path / "nowhere") is None


# Repositories.


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        (["config.json", "model-Q4.gguf"], r"only 'model-Q4\.gguf'.*Try: .*connect"),
        (["config.json", "onnx/model.onnx"], "ONNX Runtime.*made from"),
        (["config.json", "global_step9/x.pt", "zero_to_fp32.py"], "DeepSpeed"),
        (["config.json", "adapter_config.json"], "a LoRA adapter"),
    ],
)
def test_what_a_repository_holds_in_place_of_weights_is_told(
    small: Path, listed: list[str], message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        weights_to_fetch(Checkpoint("someone/thing", small, "huggingface", "0" * 40), listed)


# Notes.


@pytest.fixture
def copy(tiny_folder: Path, tmp_path: Path) -> Path:
    """A checkpoint to change."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


def test_two_templates_that_differ_are_noted_with_the_one_that_counts(copy: Path) -> None:
    template = (copy / "chat_template.jinja").read_text()
    (copy / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    assert inspect(copy).notes == ()
    (copy / "chat_template.json").write_text(json.dumps({"chat_template": f"X{template}"}))
    (note,) = inspect(copy).notes
    assert "the .json file is used, as in transformers" in note
    assert f"note: {note}" in str(inspect(copy))
    assert VisionChat.from_pretrained(copy, device="cpu").report()["notes"] == note


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: fill(folder, ["modules.json"]),
        lambda folder: fill(folder, ["1_Pooling/config.json"]),
    ],
)
def test_a_model_of_sentence_transformers_is_noted(
    copy: Path, change: Callable[[Path], object]
) -> None:
    change(copy)
    assert "trained to embed" in inspect(copy).notes[0]


def test_code_that_is_never_run_is_noted(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "mine.Config"}
    (copy / "config.json").write_text(json.dumps(config))
    assert "never run" in inspect(copy).notes[0]


# Quantised by others.


@pytest.mark.parametrize(
    ("entry", "name", "cure"),
    [
        ({"group_size": 64, "bits": 4}, "mlx", "Apple"),
        ({"group_size": 32, "bits": 8, "mode": "affine"}, "mlx", "Apple"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "modelopt", "vLLM"),
        ({"bits": 4}, "a method that config.json does not name", "another form"),
        ({"quant_method": "marlin"}, "marlin", "another form"),
    ],
)
def test_a_quantisation_that_transformers_does_not_run_is_named_with_its_cure(
    copy: Path, entry: dict[str, object], name: str, cure: str
) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"quantization_config": entry}))
    assert inspect(copy).quantized_as == name
    assert cure in inspect(copy).missing[0]
    with pytest.raises(QuantizationError, match=rf"quantised by {name}, .*{cure}"):
        VisionChat.from_pretrained(copy)


def test_bitsandbytes_without_a_width_is_refused(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes"}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(QuantizationError, match="neither load_in_4bit nor load_in_8bit"):
        VisionChat.from_pretrained(copy)
