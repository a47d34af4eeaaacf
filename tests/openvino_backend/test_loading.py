"""What is wrong with a folder or a setting is said before a model answers, with what to try."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit import Sampling, VisionChat
from qwenvl_kit.backends.openvino.graph import quantization_of
from qwenvl_kit.errors import (
    CheckpointError,
    GenerationError,
    InputError,
    MissingPackageError,
    ModelLoadError,
    ModelNotFoundError,
    QwenVLKitError,
    UnsupportedFeatureError,
    WeightsError,
)
from qwenvl_kit.testing import build_tiny_model
from tests.by_hand import picture
from tests.openvino_export import export_model

LANGUAGE = "openvino_language_model"


@pytest.fixture
def copied(export: Path, tmp_path: Path) -> Path:
    """A copy of an export, to be damaged."""
    return Path(shutil.copytree(export, tmp_path / "copied"))


def refused(folder: Any, kind: type[QwenVLKitError], *said: str, **options: Any) -> None:
    with pytest.raises(kind) as told:
        VisionChat.from_openvino(folder, **options)
    for words in said:
        assert words in str(told.value)


def set_config(folder: Path, **entries: Any) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["text_config"].update(entries)
    path.write_text(json.dumps(config))


def test_a_missing_package_is_named_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr("qwenvl_kit.backends.openvino.find_spec", lambda name: None)
    refused(tmp_path, MissingPackageError, "pip install 'qwenvl-kit[openvino]'")


def test_a_folder_that_is_not_there_comes_with_the_command(export: Path, tmp_path: Path) -> None:
    refused(tmp_path / "none", ModelNotFoundError, "optimum-cli export openvino")
    refused("Qwen/Qwen2-VL-2B-Instruct", ModelNotFoundError, "hf download", "optimum-cli")
    refused(export / "config.json", ModelNotFoundError, "is not a folder")


@pytest.mark.parametrize("folder", [3, None, ["a"], b"\xff"])
def test_what_is_no_folder_at_all_is_refused(export: Path, folder: Any) -> None:
    refused(folder, ModelLoadError)


def test_a_checkpoint_comes_with_the_command_that_exports_it(
    export: Path, checkpoint_of: Callable[[str], Path]
) -> None:
    folder = checkpoint_of("qwen2_vl")
    refused(folder, CheckpointError, "not exported yet", f"-m {folder}", "from_pretrained")


def test_an_empty_folder_and_a_model_of_text_alone_are_told_apart(
    export: Path, tmp_path: Path
) -> None:
    refused(tmp_path, CheckpointError, "no exported model")
    (tmp_path / "openvino_model.xml").write_text("<net/>")
    refused(tmp_path, CheckpointError, "sees no pictures", "--task image-text-to-text")


@pytest.mark.parametrize(
    "name",
    [
        "openvino_vision_embeddings_merger_model.xml",
        "openvino_text_embeddings_model.bin",
        f"{LANGUAGE}.bin",
    ],
)
def test_a_missing_part_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    refused(copied, WeightsError, name)


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json"])
def test_a_missing_small_file_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    refused(copied, CheckpointError, name.removesuffix(".json"))


def damaged(path: Path, how: str) -> None:
    content = path.read_bytes()
    path.write_bytes(
        {
            "cut": content[: len(content) // 2],
            "empty": b"",
            "no graph": b"<html><body>404</body></html>",
            "git lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            "other": b"\x00" * len(content),
        }[how]
    )


@pytest.mark.parametrize("how", ["cut", "empty", "no graph", "git lfs", "other"])
@pytest.mark.parametrize("part", [LANGUAGE, "openvino_text_embeddings_model"])
def test_a_damaged_graph_is_named(copied: Path, part: str, how: str) -> None:
    damaged(copied / f"{part}.xml", how)
    refused(copied, WeightsError, f"{part}.xml")


@pytest.mark.parametrize("how", ["cut", "empty", "git lfs"])
def test_weights_that_are_cut_short_are_named(copied: Path, how: str) -> None:
    damaged(copied / f"{LANGUAGE}.bin", how)
    refused(copied, WeightsError, LANGUAGE)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_pipe_in_place_of_a_file_is_not_waited_for(copied: Path) -> None:
    (copied / f"{LANGUAGE}.xml").unlink()
    os.mkfifo(copied / f"{LANGUAGE}.xml")
    refused(copied, WeightsError, "not a file")


def test_parts_of_two_exports_are_told(export: Path, tmp_path: Path) -> None:
    other = build_tiny_model(tmp_path / "other", hidden_size=32, num_layers=2)
    mixed = Path(shutil.copytree(export, tmp_path / "mixed"))
    shutil.copy(other / "config.json", mixed)
    refused(mixed, CheckpointError, "hidden_size=32", "num_hidden_layers=2", "has hidden_size=64")


def test_a_model_that_keeps_no_state_is_told(copied: Path) -> None:
    shutil.copy(copied / "openvino_vision_embeddings_model.xml", copied / f"{LANGUAGE}.xml")
    shutil.copy(copied / "openvino_vision_embeddings_model.bin", copied / f"{LANGUAGE}.bin")
    refused(copied, WeightsError, "lacks the inputs", "beam_idx")


@pytest.mark.parametrize("family", ["qwen3_5", "qwen3_vl_moe"])
def test_other_families_are_refused_with_what_runs_them(
    copied: Path, tmp_path: Path, family: str
) -> None:
    other = build_tiny_model(tmp_path / family, family)
    shutil.copy(other / "config.json", copied)
    refused(copied, UnsupportedFeatureError, family, "from_pretrained")


def test_an_export_given_to_from_pretrained_is_pointed_here(export: Path) -> None:
    with pytest.raises(ModelLoadError, match="from_openvino"):
        VisionChat.from_pretrained(export)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dtype": "int8"}, "'float32' or 'bfloat16'"),
        ({"dtype": "float16"}, "'float32' or 'bfloat16'"),
        ({"properties": {"NUM_STREAM": 2}}, "NUM_STREAMS"),
        ({"properties": {"INFERENCE_PRECISION_HINT": "bf16"}}, "dtype="),
        ({"properties": {"FULL_DEVICE_NAME": "x"}}, "no property"),
        ({"properties": "CACHE_DIR"}, "a mapping"),
        ({"max_cache_bytes": -1}, "max_cache_bytes"),
        ({"max_queued_requests": 0}, "max_queued_requests"),
        ({"budget": "huge"}, "budget"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(
    export: Path, options: dict[str, Any], said: str
) -> None:
    refused(export, InputError, said, **options)
    refused(export, ModelLoadError, "warm_up", warm_up=3)


def test_a_value_that_a_property_does_not_take_is_told(export: Path) -> None:
    refused(export, ModelLoadError, properties={"INFERENCE_NUM_THREADS": "many"})


def test_arguments_of_optimum_intel_are_translated(export: Path) -> None:
    with pytest.raises(TypeError, match="properties"):
        VisionChat.from_openvino(export, ov_config={})  # type: ignore[call-arg]


def test_a_compiled_model_is_kept_in_a_folder_and_answers_alike(
    export: Path, chat: VisionChat, tmp_path: Path
) -> None:
    kept = {"CACHE_DIR": str(tmp_path / "compiled")}
    asked, sampling = "What is it?", Sampling(max_new_tokens=6)
    expected = chat.ask(asked, sampling=sampling).text
    for _ in range(2):
        with VisionChat.from_openvino(export, dtype="float32", properties=kept) as again:
            assert again.ask(asked, sampling=sampling).text == expected
    assert list((tmp_path / "compiled").iterdir())


@pytest.mark.parametrize("name", ["with spaces", "导出的模型", "a%20b#c", "-m"])
def test_folders_of_any_name_are_read(
    export: Path, chat: VisionChat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    shutil.copytree(export, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    asked, sampling = "What is it?", Sampling(max_new_tokens=6)
    with VisionChat.from_openvino(name, dtype="float32", warm_up=True, budget="quick") as other:
        assert other.ask(asked, sampling=sampling).text == chat.ask(asked, sampling=sampling).text
        assert "warm_up" in " ".join(other.report())


def test_a_folder_of_links_and_other_files_is_read(export: Path, tmp_path: Path) -> None:
    for file in export.iterdir():
        (tmp_path / file.name).symlink_to(file)
    for name in ("openvino_tokenizer.xml", "openvino_config.json", "README.md"):
        (tmp_path / name).write_text("not read")
    with VisionChat.from_openvino(tmp_path, dtype="float32") as other:
        assert other.ask("What is it?", sampling=Sampling(max_new_tokens=2)).usage.prompt_tokens


@pytest.mark.long
def test_weights_in_fp16_answer_nearly_alike(
    checkpoint_of: Callable[[str], Path], chat: VisionChat, tmp_path: Path
) -> None:
    folder = export_model(checkpoint_of("qwen2_vl"), tmp_path / "half", "qwen2_vl", "fp16")
    asked, sampling = ("What is it?", picture(90, 60)), Sampling(max_new_tokens=4)
    with VisionChat.from_openvino(folder, dtype="float32") as half:
        assert half.report()["quantization"] == "none"
        mine, its = (each.ask(*asked, sampling=sampling) for each in (half, chat))
    assert mine.scores[0].logprob == pytest.approx(its.scores[0].logprob, abs=0.02)


def test_weights_that_are_overwritten_answer_nothing(copied: Path) -> None:
    """Numbers become NaN, and axes of the graph become others."""
    path = copied / "openvino_text_embeddings_model.bin"
    path.write_bytes(b"\xff" * path.stat().st_size)
    with pytest.raises((ModelLoadError, GenerationError)):
        VisionChat.from_openvino(copied, dtype="float32").ask("What is it?")


def test_features_that_are_no_numbers_are_told(chat: VisionChat) -> None:
    embed = chat._backend._loaded.model.embed  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        network = chat._backend._loaded.model  # type: ignore[attr-defined]
        patch.setattr(network, "embed", lambda ids: embed(ids) * float("nan"))
        with pytest.raises(GenerationError):
            chat.ask("Is that a number?", sampling=Sampling(max_new_tokens=2))
    assert chat.ask("Is that a number?", sampling=Sampling(max_new_tokens=2)).scores


def test_two_models_answer_side_by_side(export: Path, chat: VisionChat) -> None:
    sampling = Sampling(max_new_tokens=8)
    with VisionChat.from_openvino(export, dtype="float32", max_cache_bytes=0) as other:
        with ThreadPoolExecutor(4) as pool:
            asked = [(each, f"Number {n}?") for n in range(6) for each in (chat, other)]
            replies = list(pool.map(lambda a: a[0].ask(a[1], sampling=sampling).text, asked))
    assert replies[::2] == replies[1::2]


def test_the_report_tells_what_was_loaded_and_how(chat: VisionChat, export: Path) -> None:
    told = chat.report()
    assert told["model"] == str(export)
    assert told["engine"].startswith("openvino ")
    assert (told["dtype"], told["dtype_reason"], told["kv_cache"]) == (
        "float32",
        "it was given",
        "f32",
    )
    assert (told["quantization"], told["device"], told["threads"]) == ("none", "cpu", "1")


@pytest.mark.parametrize(
    ("kind", "expected"), [("f32", "none"), ("f16", "none"), ("i8", "8-bit"), ("u4", "4-bit")]
)
def test_bits_are_told_by_the_type_of_most_weights(export: Path, kind: str, expected: str) -> None:
    import openvino

    ops = openvino.opset13
    given = ops.parameter([-1, 64], openvino.Type.f32)
    weights = ops.constant(openvino.Tensor(getattr(openvino.Type, kind), openvino.Shape([512, 64])))
    scale = ops.constant(1.0, openvino.Type.f32)
    wide = ops.multiply(ops.convert(weights, "f32"), scale)
    product = ops.matmul(given, wide, transpose_a=False, transpose_b=True)
    assert quantization_of(openvino.Model([product], [given], "layer")) == expected


def test_threads_are_those_of_torch_unless_they_are_given(export: Path) -> None:
    given = {"INFERENCE_NUM_THREADS": 2}
    with VisionChat.from_openvino(export, dtype="float32", properties=given) as chat:
        assert chat.report()["threads"] == "2"
        assert chat.report()["properties"] == "INFERENCE_NUM_THREADS=2"


def test_the_self_test_finds_the_model_healthy(chat: VisionChat) -> None:
    result = chat.self_test()
    assert result.is_healthy, str(result)
    assert "cached step equals uncached" in [finding.name for finding in result.findings]


def test_memory_is_told_and_planned(chat: VisionChat, export: Path) -> None:
    use = chat._backend.memory()
    sizes = sum(path.stat().st_size for path in export.glob("openvino_*.bin"))
    assert use.weight_bytes == sizes
    assert use.taken_bytes > 0
    plan = chat.plan("What is it?")
    assert plan.weight_bytes == sizes
    assert plan.fits
    assert (plan.kv_cache_bytes or 0) > 0


def test_what_it_cannot_do_is_a_typed_refusal(chat: VisionChat, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFeatureError, match="adapters"):
        chat.adapters.load(tmp_path)
    from qwenvl_kit.explain import explain

    asked = ("What is it?", picture(60, 60))
    reply = chat.ask(*asked, sampling=Sampling(max_new_tokens=2))
    with pytest.raises(UnsupportedFeatureError, match="occlusion"):
        explain(chat, reply, *asked, method="attention")
