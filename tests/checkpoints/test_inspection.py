"""What a checkpoint is and needs is told without loading it."""

from __future__ import annotations

import copy
import importlib.metadata
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit.checkpoints import inspection
from qwenvl_kit.checkpoints.download import Checkpoint
from qwenvl_kit.checkpoints.inspection import Inspection, inspect
from qwenvl_kit.checkpoints.memory import count_parameters, predict_weight_bytes
from qwenvl_kit.checkpoints.packages import install_command
from qwenvl_kit.checkpoints.quantization import (
    PACKAGES,
    StoredQuantization,
    missing_packages,
    stored_quantization,
)
from qwenvl_kit.checkpoints.required_files import missing_files
from qwenvl_kit.checkpoints.settings import Settings, read_settings
from qwenvl_kit.checkpoints.weights import TensorInfo, read_tensors
from qwenvl_kit.errors import CheckpointError, UnknownFamilyError, WeightsError
from qwenvl_kit.families import family_of
from qwenvl_kit.testing import build_tiny_model

PUBLISHED = Path(__file__).parents[3] / "shared" / "checkpoints"

needs_published = pytest.mark.skipif(
    not PUBLISHED.is_dir(), reason=f"the side files of published checkpoints are not in {PUBLISHED}"
)


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A checkpoint that a test may change."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "tiny"))


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def install(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """Let these packages be all that is installed beside torch; names with `_` for `-`."""
    known = {"torch": "2.15.0", "transformers": "5.23.0"}
    known |= {name.replace("_", "-"): version for name, version in versions.items()}

    def version(name: str) -> str:
        if name in known:
            return known[name]
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)


def test_a_whole_checkpoint_lacks_nothing(folder: Path) -> None:
    tensors, settings = read_tensors(folder), read_settings(folder)
    found = inspect(folder)
    assert found == Inspection(
        name=str(folder),
        origin="folder",
        revision=None,
        family="qwen2_vl",
        is_mixture_of_experts=False,
        num_parameters=count_parameters(tensors, settings),
        disk_bytes=sum(tensor.num_bytes for tensor in tensors),
        weight_bytes={
            "float32": predict_weight_bytes(tensors, settings, "float32"),
            "bfloat16": predict_weight_bytes(tensors, settings, "bfloat16"),
            "float16": predict_weight_bytes(tensors, settings, "float16"),
            "8bit": predict_weight_bytes(tensors, settings, "8bit"),
            "4bit": predict_weight_bytes(tensors, settings, "4bit"),
            "stored": predict_weight_bytes(tensors, settings, "stored"),
        },
        context_tokens=4096,
        quantized_as=None,
        missing=(),
    )


def test_a_mixture_of_experts_is_told(tmp_path: Path) -> None:
    assert inspect(build_tiny_model(tmp_path, "qwen3_5_moe")).is_mixture_of_experts


def test_it_is_a_value(folder: Path) -> None:
    found = inspect(folder)
    assert pickle.loads(pickle.dumps(found)) == found == copy.deepcopy(found)
    assert hash(found) == hash(inspect(folder))


def test_it_prints_as_a_table(folder: Path) -> None:
    found = inspect(folder)
    lines = str(found).splitlines()
    assert lines[0] == str(folder)
    assert [line[2:22].strip() for line in lines[1:]] == [
        "family",
        "quantised",
        "parameters",
        "context",
        "on disk",
        *(f"in memory, {name}" for name in found.weight_bytes),
    ]
    assert len({line.index(".") for line in lines[5:]}) == 1


def test_sizes_are_printed_in_gigabytes() -> None:
    found = Inspection(
        name="Qwen/Some",
        origin="huggingface",
        revision="abc",
        family="qwen3_vl_moe",
        is_mixture_of_experts=True,
        num_parameters=31_100_000_000,
        disk_bytes=62_200_000_000,
        weight_bytes={"bfloat16": 62_200_000_000, "4bit": 9_440_000_000},
        context_tokens=262_144,
        quantized_as=None,
        missing=("the moon is not in reach: wait",),
    )
    assert str(found) == (
        "Qwen/Some\n"
        "  family               qwen3_vl_moe, mixture of experts\n"
        "  quantised            no\n"
        "  parameters           31.1 billion\n"
        "  context              262,144 tokens\n"
        "  on disk              62.2 GB\n"
        "  in memory, bfloat16  62.2 GB\n"
        "  in memory, 4bit       9.4 GB\n"
        "  missing: the moon is not in reach: wait"
    )


def test_without_weights_their_figures_are_not_known(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    found = inspect(folder)
    assert (found.num_parameters, found.disk_bytes, found.weight_bytes) == (None, None, {})
    assert found.context_tokens == 4096
    (sentence,) = found.missing
    assert "the weights (model.safetensors) are not in" in sentence
    assert "not known" in str(found)


def test_pickled_weights_are_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"")
    assert "only pytorch_model.bin, which the kit never opens" in inspect(folder).missing[0]


def test_damaged_weights_are_an_error(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError, match="is empty"):
        inspect(folder)


def test_another_model_is_refused(folder: Path) -> None:
    edit_config(folder, model_type="llama")
    with pytest.raises(UnknownFamilyError):
        inspect(folder)


def test_a_folder_without_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        inspect(tmp_path)


SERVED = (
    TensorInfo("model.embed_tokens.weight", "BF16", (100, 64)),
    TensorInfo("lm_head.weight", "BF16", (100, 64)),
)


@pytest.mark.parametrize("served", [SERVED, None], ids=["headers served", "no headers"])
def test_weights_on_a_hub_are_known_by_their_headers(
    folder: Path, monkeypatch: pytest.MonkeyPatch, served: Any
) -> None:
    (folder / "model.safetensors").unlink()
    checkpoint = Checkpoint("Qwen/Some", folder, "huggingface", "0" * 40)
    monkeypatch.setattr(inspection, "find_checkpoint", lambda *_, **__: checkpoint)
    known = "qwenvl_kit.checkpoints.tensors.known_tensors"
    monkeypatch.setattr(known, lambda found, *, offline: served if found is checkpoint else ())
    found = inspect("Qwen/Some")
    assert (found.origin, found.revision) == ("huggingface", "0" * 40)
    assert found.num_parameters == (None if served is None else 6400)
    assert found.disk_bytes == (None if served is None else 4 * 6400)
    assert found.missing == (
        "the weights are not on this machine: loading it with a network fetches them",
    )


@needs_published
@pytest.mark.parametrize(
    ("name", "family", "context_tokens"),
    [
        ("Qwen2-VL-2B-Instruct", "qwen2_vl", 32768),
        ("Qwen2.5-VL-3B-Instruct", "qwen2_5_vl", 128000),
        ("Qwen3-VL-8B-Instruct", "qwen3_vl", 262144),
        ("Qwen3.5-2B", "qwen3_5", 262144),
    ],
)
def test_published_checkpoints_are_known(name: str, family: str, context_tokens: int) -> None:
    found = inspect(PUBLISHED / name)
    assert (found.family, found.context_tokens) == (family, context_tokens)
    assert found.missing[-1].startswith("the weights (model.safetensors) are not in")


@needs_published
def test_a_vocabulary_cut_in_half_is_found() -> None:
    """transformers would make one token of it and encode every text to nothing."""
    assert missing_files(PUBLISHED / "Qwen3.5-2B", family_of("qwen3_5")) == (
        "the vocabulary: tokenizer.json (vocab.json is not enough for this family)",
    )
    assert missing_files(PUBLISHED / "Qwen3-VL-8B-Instruct", family_of("qwen3_vl")) == ()


VOCABULARY = "the vocabulary: tokenizer.json, or vocab.json with merges.txt"
TEMPLATE = "the chat template: chat_template.jinja or chat_template.json"
PICTURES = "the settings for pictures: preprocessor_config.json"

SIDE_FILES: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "nothing": ({}, (VOCABULARY, TEMPLATE, PICTURES)),
    "one file each": (
        {"tokenizer.json": "{}", "chat_template.jinja": "x", "preprocessor_config.json": "{}"},
        (),
    ),
    "older files": (
        {
            "vocab.json": "{}",
            "merges.txt": "",
            "tokenizer_config.json": '{"chat_template": "x"}',
            "processor_config.json": '{"image_processor": {"patch_size": 14}}',
        },
        (),
    ),
    "files that lack the point": (
        {
            "vocab.json": "{}",
            "tokenizer_config.json": "{}",
            "processor_config.json": '{"processor_class": "x"}',
        },
        ("the vocabulary: merges.txt, or tokenizer.json", TEMPLATE, PICTURES),
    ),
}


@pytest.mark.parametrize(("files", "missing"), SIDE_FILES.values(), ids=SIDE_FILES.keys())
def test_missing_files_are_named(
    tmp_path: Path, files: dict[str, str], missing: tuple[str, ...]
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert missing_files(tmp_path, family_of("qwen2_vl")) == missing


def test_a_missing_file_is_told_with_its_cure(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    (sentence,) = inspect(folder).missing
    assert sentence.startswith(TEMPLATE)
    assert "copy it from where the checkpoint was published" in sentence


QUANTIZED = {
    "gptq": ({"quant_method": "gptq", "bits": 4}, "gptq", 4, ("gptqmodel", "optimum")),
    "awq": ({"quant_method": "awq", "bits": 4}, "awq", 4, ("gptqmodel",)),
    "fp8": ({"quant_method": "fp8"}, "fp8", 8, ("accelerate",)),
    "bitsandbytes": (
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        "bitsandbytes 4-bit",
        4,
        ("bitsandbytes",),
    ),
    "old bitsandbytes": ({"load_in_8bit": True}, "bitsandbytes 8-bit", 8, ("bitsandbytes",)),
    "compressed-tensors": (
        {
            "quant_method": "compressed-tensors",
            "config_groups": {"a": {"weights": {"num_bits": 4}}, "b": {"weights": {"num_bits": 4}}},
        },
        "compressed-tensors",
        4,
        ("compressed-tensors",),
    ),
    "of two widths": (
        {
            "quant_method": "compressed-tensors",
            "config_groups": {"a": {"weights": {"num_bits": 4}}, "b": {"weights": {"num_bits": 8}}},
        },
        "compressed-tensors",
        None,
        ("compressed-tensors",),
    ),
    "with groups that are none": (
        {"quant_method": "compressed-tensors", "config_groups": {"a": None, "b": {"weights": 3}}},
        "compressed-tensors",
        None,
        ("compressed-tensors",),
    ),
    "unknown": ({"quant_method": "new"}, "new", None, ()),
    "nameless": ({"bits": 4}, "a method that config.json does not name", 4, ()),
    "mlx": ({"group_size": 64, "bits": 4, "mode": "affine"}, "mlx", 4, ()),
    "bitsandbytes of no width": (
        {"quant_method": "bitsandbytes"},
        "bitsandbytes",
        None,
        ("bitsandbytes",),
    ),
}


@pytest.mark.parametrize("case", QUANTIZED.values(), ids=QUANTIZED.keys())
def test_published_quantisation_is_known(case: Any) -> None:
    config, name, bits, packages = case
    settings = Settings(family_of("qwen3_vl"), {"quantization_config": config})
    stored = stored_quantization(settings)
    assert stored is not None
    assert (str(stored), stored.bits) == (name, bits)
    assert tuple(package.partition(">")[0] for package in stored.packages) == packages
    assert stored.is_known == bool(packages)


def test_what_is_not_quantised_needs_nothing() -> None:
    assert stored_quantization(Settings(family_of("qwen3_vl"), {})) is None


def test_packages_that_are_missing_or_too_old_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    gptq = StoredQuantization("gptq", 4, PACKAGES["gptq"])
    install(monkeypatch, gptqmodel="5.0.0", optimum="2.0.0")
    assert missing_packages(gptq) == ()
    install(monkeypatch, gptqmodel="1.4.2", optimum="1.24.0.dev0")
    assert missing_packages(gptq) == ("gptqmodel>=1.4.3", "optimum>=1.24.0")
    install(monkeypatch)
    assert missing_packages(gptq) == gptq.packages


def test_the_install_command_survives_a_shell() -> None:
    assert install_command(("a>=1.0", "b")) == 'pip install "a>=1.0" "b"'


def test_a_quantised_checkpoint_is_told_with_what_it_needs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_config(folder, quantization_config={"quant_method": "gptq", "bits": 4})
    install(monkeypatch, optimum="2.0.0")
    found = inspect(folder)
    assert found.quantized_as == "gptq"
    assert list(found.weight_bytes) == ["stored"]
    assert found.missing == ('gptq needs a package: pip install "gptqmodel>=1.4.3"',)


def test_a_quantisation_that_nothing_runs_is_told(folder: Path) -> None:
    edit_config(folder, quantization_config={"quant_method": "new"})
    (sentence,) = inspect(folder).missing
    assert sentence.startswith("the kit does not know how to run new")


@pytest.mark.alone
def test_it_loads_neither_torch_nor_transformers_and_takes_no_time(tiny_folder: Path) -> None:
    """It takes a third of a second, most of it for importing; torch alone takes several."""
    program = (
        "import sys, time; start = time.perf_counter(); "
        "from qwenvl_kit.checkpoints.inspection import inspect; inspect(sys.argv[1]); "
        "print(time.perf_counter() - start, *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tiny_folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, *modules = done.stdout.split()
    assert not {"torch", "transformers", "accelerate", "bitsandbytes"}.intersection(modules)
    assert float(seconds) < 2


def test_a_family_that_is_newer_than_torch_or_transformers_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen4_exp"}))
    install(monkeypatch, torch="2.7.1", transformers="5.17.0")
    expected = 'qwen4_exp needs transformers>=5.18 and torch>=2.8: pip install "transformers>=5.18"'
    assert inspect(tmp_path).missing[0].startswith(expected)
