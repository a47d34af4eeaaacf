"""Weights that other programs saved are told by the names of their tensors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from qwenvl_kit import VisionChat, inspect
from qwenvl_kit.backends.local.loading import network
from qwenvl_kit.checkpoints.packages import lacking, requirements_of
from qwenvl_kit.checkpoints.settings import read_settings
from qwenvl_kit.checkpoints.tensor_names import naming_fault
from qwenvl_kit.checkpoints.weights import read_tensors
from qwenvl_kit.errors import WeightsError
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.testing import build_tiny_model

WEIGHTS = "model.safetensors"
Tensors = dict[str, torch.Tensor]


RUNNING = tuple(name for name in FAMILIES if not lacking(requirements_of(FAMILIES[name])))
"""The families that the installed packages run."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """One checkpoint of each family with the names that its model has in memory."""
    made: dict[str, Path] = {}

    def folder(family: str) -> Path:
        if family not in made:
            made[family] = build_tiny_model(tmp_path_factory.mktemp("names") / family, family)
            rename(made[family], _todays)
        return made[family]

    return folder


def _todays(name: str) -> str:
    """Qwen2-VL is saved by the names that it had before transformers 4.52."""
    if name.startswith("visual."):
        return f"model.{name}"
    if name.startswith("model.") and not name.startswith(("model.language_model", "model.visual")):
        return name.replace("model.", "model.language_model.", 1)
    return name


def rename(folder: Path, new: Callable[[str], str | None]) -> Path:
    """Give tensors other names; those without one are left out."""
    weights = load_file(folder / WEIGHTS)
    kept = {name: tensor for old, tensor in weights.items() if (name := new(old)) is not None}
    save_file(kept, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


def changed(folders: Callable[[str], Path], family: str, to: Path) -> Path:
    return Path(shutil.copytree(folders(family), to / "copy"))


def told_by_both(folder: Path, message: str) -> None:
    """`from_pretrained` refuses it before it reads a weight, and `inspect` says the same."""
    with pytest.raises(WeightsError, match=message) as caught:
        VisionChat.from_pretrained(folder, device="cpu")
    assert caught.value.hint
    assert str(caught.value) in inspect(folder).missing


def _text(name: str, prefix: str) -> str:
    return name.replace("model.language_model.", prefix, 1)


FORMS: Mapping[str, Callable[[str], str | None]] = {
    "in memory": lambda n: n,
    "before 4.52": lambda n: _text(n, "model.").replace("model.visual.", "visual.", 1),
    "text before 4.52": lambda n: _text(n, "model."),
    "by AutoModel": lambda n: n.removeprefix("model."),
    "a model within": lambda n: _text(n, "language_model.model.").replace(
        "model.visual.", "visual.", 1
    ),
    "bare text": lambda n: _text(n, ""),
    "DDP": lambda n: f"module.{n}",
    "peft": lambda n: f"base_model.model.{n}",
    "twice": lambda n: f"model.{n}",
    "a value head's": lambda n: f"pretrained_model.{n}",
    "compiled": lambda n: f"_orig_mod.{n}",
    "FSDP": lambda n: n.replace("layers.0.", "layers.0._fsdp_wrapped_module.", 1),
    "MLX": lambda n: _text(n, "language_model.model.").replace("model.visual.", "vision_tower.", 1),
    "text alone": lambda n: None if "visual" in n else n,
    "vision alone": lambda n: n if "visual" in n else None,
}


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5_moe"])
@pytest.mark.parametrize("form", FORMS)
def test_names_are_a_fault_where_transformers_finds_no_weights_under_them(
    folders: Callable[[str], Path], tmp_path: Path, form: str, family: str
) -> None:
    folder = rename(changed(folders, family, tmp_path), FORMS[form])
    model_class = getattr(transformers, FAMILIES[family].model_class)
    _, found = model_class.from_pretrained(folder, output_loading_info=True)
    fault = naming_fault(read_tensors(folder), read_settings(folder))
    assert (fault is not None) == bool(found["missing_keys"]), fault


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("DDP", r"begin with 'module\.'.*remove 'module\.' from the names"),
        ("peft", r"begin with 'base_model\.model\.'"),
        ("a value head's", r"begin with 'pretrained_model\.'"),
        ("compiled", r"_orig_mod"),
        ("FSDP", r"_fsdp_wrapped_module"),
        ("MLX", "as MLX saves them.*that it was made from"),
        ("text before 4.52", r"'model\.language_model\.' for qwen3_vl"),
        ("bare text", r"'model\.language_model\.' for qwen3_vl"),
        ("text alone", "a language model alone.*the whole checkpoint"),
        ("vision alone", "a vision encoder alone"),
    ],
)
def test_a_foreign_form_is_named_with_the_way_back(
    folders: Callable[[str], Path], tmp_path: Path, form: str, message: str
) -> None:
    told_by_both(rename(changed(folders, "qwen3_vl", tmp_path), FORMS[form]), message)


@pytest.mark.parametrize("said", RUNNING)
@pytest.mark.parametrize("family", RUNNING)
def test_the_tensors_of_another_family_than_config_says_are_told(
    folders: Callable[[str], Path], family: str, said: str
) -> None:
    settings = replace(read_settings(folders(family)), family=FAMILIES[said])
    fault = naming_fault(read_tensors(folders(family)), settings)
    if said == family:
        assert fault is None
    else:
        assert fault is not None
        assert fault.what == f"the tensors of a {family}, and config.json says {said}"


def test_a_part_twice_in_the_names_is_told(folders: Callable[[str], Path], tmp_path: Path) -> None:
    """DeepSpeed's ZeRO-3 with a model within a model."""
    folder = changed(folders, "qwen3_vl", tmp_path)
    rename(folder, lambda n: n.replace("language_model.", "language_model.language_model.", 1))
    told_by_both(folder, r"a part twice \('model\.language_model\.language_model")


def test_experts_that_do_not_fit_together_are_told_without_a_table(
    folders: Callable[[str], Path], tmp_path: Path, capfd: Any
) -> None:
    folder = changed(folders, "qwen3_5_moe", tmp_path)
    expert = next(name for name in load_file(folder / WEIGHTS) if ".experts.0.down" in name)
    add(folder, {expert: torch.ones(3, 5)})
    with pytest.raises(WeightsError, match="such as experts, do not fit together"):
        VisionChat.from_pretrained(folder, device="cpu")
    assert "CONVERSION" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (".self_attn.q_proj.lora_A.default.weight", "not merged.*merge the adapter"),
        (".self_attn.q_proj.base_layer.weight", "not merged"),
        (".embed.modules_to_save.default.weight", "not merged"),
    ],
)
def test_an_adapter_within_the_weights_is_to_be_merged(
    folders: Callable[[str], Path], tmp_path: Path, name: str, message: str
) -> None:
    """transformers would leave it out and answer by the base model."""
    folder = changed(folders, "qwen2_vl", tmp_path)
    add(folder, {f"model.language_model.layers.0{name}": torch.ones(4, 4)})
    told_by_both(folder, message)


def add(folder: Path, tensors: Mapping[str, torch.Tensor | None]) -> Path:
    weights = load_file(folder / WEIGHTS) | tensors
    kept = {name: tensor for name, tensor in weights.items() if tensor is not None}
    save_file(kept, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("blk.0.attn_q.weight", r"llama\.cpp"),
        ("token_embd.weight", r"llama\.cpp"),
        ("decoder.layers.0.self_attention.linear_qkv.weight", "Megatron"),
        ("model.mm_projector.0.weight", "LLaVA"),
        ("transformer.h.0.attn.c_attn.weight", "Qwen-VL of 2023"),
        ("model.language_model.layers.0.mlp.up_proj.deq_scale", "a quantiser for Ascend"),
    ],
)
def test_names_of_other_programs_are_told(
    folders: Callable[[str], Path], tmp_path: Path, name: str, program: str
) -> None:
    folder = changed(folders, "qwen3_vl", tmp_path)
    told_by_both(add(folder, {name: torch.ones(2)}), f"as {program} names them")


def test_mlx_turns_a_convolution_round(folders: Callable[[str], Path], tmp_path: Path) -> None:
    """Also under names of transformers, where the colours stand last."""
    folder = changed(folders, "qwen2_vl", tmp_path)
    (patches,) = [name for name in load_file(folder / WEIGHTS) if "patch_embed.proj.w" in name]
    turned = load_file(folder / WEIGHTS)[patches].movedim(1, -1).contiguous()
    told_by_both(add(folder, {patches: turned}), "as MLX saves them")


def test_shards_of_one_process_are_not_a_model(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    """DeepSpeed's ZeRO-3 leaves placeholders for what lies on other processes."""
    folder = changed(folders, "qwen2_vl", tmp_path)
    told_by_both(
        add(folder, {"model.language_model.norm.weight": torch.empty(0)}),
        r"1 empty tensors.*zero_to_fp32",
    )


def test_a_weight_file_without_a_tensor_is_told(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = rename(changed(folders, "qwen2_vl", tmp_path), lambda _: None)
    for look in (VisionChat.from_pretrained, inspect):
        with pytest.raises(WeightsError, match="without a tensor"):
            look(folder)


def test_quantised_weights_that_config_does_not_tell_of(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    """Programs of 2023 keep their settings in quantize_config.json."""
    folder = changed(folders, "qwen2_vl", tmp_path)
    packed = {"model.language_model.layers.0.mlp.up_proj.qweight": torch.ones(4, 4)}
    told_by_both(add(folder, packed), "no quantization_config.*quantize_config")


# Heads.


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def untie(config: dict[str, Any]) -> None:
    config.update(tie_word_embeddings=False)
    config["text_config"].update(tie_word_embeddings=False)


@pytest.mark.parametrize("family", RUNNING)
def test_without_a_head_that_is_its_own_or_tied_a_model_answers_nothing(
    folders: Callable[[str], Path], tmp_path: Path, family: str
) -> None:
    folder = edit(changed(folders, family, tmp_path), untie)
    told_by_both(folder, r"no lm_head\.weight.*embeds.*Instruct.*tie_word_embeddings")


def test_a_tie_where_the_family_does_not_read_it_is_told(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = edit(changed(folders, "qwen3_vl", tmp_path), lambda c: c.pop("tie_word_embeddings"))
    told_by_both(folder, "'tie_word_embeddings' stands in text_config alone")


def test_a_model_that_scores_is_told_from_one_that_answers(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = edit(changed(folders, "qwen2_vl", tmp_path), untie)
    told_by_both(add(folder, {"score.weight": torch.ones(1, 64)}), r"'score\.weight'.*scores")


@pytest.mark.parametrize("name", ["score.weight", "v_head.summary.weight", "classifier.bias"])
def test_a_head_that_is_left_out_is_noted(
    folders: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    folder = add(changed(folders, "qwen2_vl", tmp_path), {name: torch.ones(1, 64)})
    report = VisionChat.from_pretrained(folder, device="cpu").report()
    assert f"left out, {name!r} first" in report["notes"]
    assert report["notes"] == "; ".join(inspect(folder).notes)


def test_an_architecture_that_scores_is_noted(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = edit(
        changed(folders, "qwen2_vl", tmp_path),
        lambda c: c.update(architectures=["Qwen2VLForSequenceClassification"]),
    )
    assert "trained to score" in VisionChat.from_pretrained(folder, device="cpu").report()["notes"]


def test_nothing_is_noted_of_a_common_checkpoint(folders: Callable[[str], Path]) -> None:
    assert "notes" not in VisionChat.from_pretrained(folders("qwen2_vl"), device="cpu").report()
    assert inspect(folders("qwen2_vl")).notes == ()


# A table of transformers.


def test_transformers_prints_no_table_before_the_kits_own_error(
    folders: Callable[[str], Path], tmp_path: Path, caplog: Any, capfd: Any
) -> None:
    folder = rename(
        changed(folders, "qwen2_vl", tmp_path), lambda n: None if "layers.3.mlp.up" in n else n
    )
    with pytest.raises(WeightsError, match=r"1 weights .* are missing"):
        VisionChat.from_pretrained(folder, device="cpu")
    assert "LOAD REPORT" not in capfd.readouterr().err + caplog.text


def test_what_is_left_of_the_weights_is_named_beside_what_is_missing(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = rename(
        changed(folders, "qwen2_vl", tmp_path), lambda n: n.replace("layers.3.mlp.up_", "up.")
    )
    message = r"1 weights .*missing.*; 1 others have no place in it, 'model\..*up\.proj"
    with pytest.raises(WeightsError, match=message):
        VisionChat.from_pretrained(folder, device="cpu")


def test_names_are_judged_before_a_weight_is_read(
    folders: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "fetch_weights", None)
    folder = rename(changed(folders, "qwen2_vl", tmp_path), FORMS["DDP"])
    with pytest.raises(WeightsError, match="module"):
        VisionChat.from_pretrained(folder, device="cpu")


# The index.


def shard(folder: Path, promised: Mapping[str, str]) -> Path:
    name = "model-00001-of-00001.safetensors"
    weight_map = dict.fromkeys(load_file(folder / WEIGHTS), name) | promised
    (folder / WEIGHTS).rename(folder / name)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def test_an_index_may_promise_a_tied_head_that_no_shard_holds(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    promised = {"lm_head.weight": "model-00001-of-00001.safetensors"}
    folder = shard(changed(folders, "qwen2_vl", tmp_path), promised)
    assert inspect(folder).missing == ()
    assert VisionChat.from_pretrained(folder, device="cpu").report()["family"] == "qwen2_vl"


def test_an_index_that_promises_an_untied_head_is_not_believed(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    promised = {"lm_head.weight": "model-00001-of-00001.safetensors"}
    folder = edit(shard(changed(folders, "qwen2_vl", tmp_path), promised), untie)
    told_by_both(folder, r"no lm_head\.weight")


@pytest.mark.parametrize("place", ["../x.safetensors", "/x.safetensors", "C:\\x.safetensors"])
def test_an_index_that_points_outside_of_its_folder_is_refused_by_both(
    folders: Callable[[str], Path], tmp_path: Path, place: str
) -> None:
    folder = shard(changed(folders, "qwen2_vl", tmp_path), {"lm_head.weight": place})
    for look in (VisionChat.from_pretrained, inspect):
        with pytest.raises(WeightsError, match="files inside its folder"):
            look(folder)
