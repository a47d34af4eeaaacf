"""config.json is read as transformers reads it, whatever layout it has."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from qwenvl_kit import inspect
from qwenvl_kit.backends.local.loading.validation import check_described_size, count_described
from qwenvl_kit.checkpoints.completeness import check_layout
from qwenvl_kit.checkpoints.settings import read_settings
from qwenvl_kit.checkpoints.sources import find_checkpoint
from qwenvl_kit.checkpoints.weights import read_tensors
from qwenvl_kit.errors import CheckpointError, UnknownFamilyError, WeightsError
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.testing import build_tiny_model

Config = dict[str, Any]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """One checkpoint of each family, made when it is first asked for."""
    made: dict[str, Path] = {}

    def folder(family: str) -> Path:
        if family not in made:
            made[family] = build_tiny_model(tmp_path_factory.mktemp("layouts") / family, family)
        return made[family]

    return folder


def flat(config: Config) -> None:
    """As transformers before 4.52 saved it: no text_config."""
    text = config.pop("text_config")
    text.pop("model_type")
    config.update(text)


def both(config: Config) -> None:
    """Both ways, the top of another model."""
    config.update(hidden_size=8192, num_hidden_layers=80, max_position_embeddings=7)


def tied_within(config: Config) -> None:
    config.pop("tie_word_embeddings")
    config["text_config"]["tie_word_embeddings"] = True


def tied_at_the_top(config: Config) -> None:
    config["tie_word_embeddings"] = True
    config["text_config"]["tie_word_embeddings"] = False


def untied_at_the_top(config: Config) -> None:
    config["tie_word_embeddings"] = False
    config["text_config"]["tie_word_embeddings"] = True


def tied_nowhere(config: Config) -> None:
    config.pop("tie_word_embeddings")
    config["text_config"].pop("tie_word_embeddings", None)


LAYOUTS: Mapping[str, Callable[[Config], object]] = {
    "nested": lambda config: None,
    "flat": flat,
    "both": both,
    "empty within": lambda config: config.update(text_config={}),
    "null within": lambda config: config.update(text_config=None),
    "none": lambda config: config.pop("text_config"),
    "no vision": lambda config: config.pop("vision_config"),
    "tied within": tied_within,
    "tied at the top": tied_at_the_top,
    "untied at the top": untied_at_the_top,
    "tied nowhere": tied_nowhere,
}

FACTS = ("hidden_size", "num_hidden_layers", "vocab_size", "max_position_embeddings", "head_dim")


def lay_out(folders: Callable[[str], Path], family: str, layout: str, to: Path) -> Path:
    """A checkpoint of a family whose config.json has another layout."""
    copy = Path(shutil.copytree(folders(family), to / "copy"))
    config = json.loads((copy / "config.json").read_text())
    LAYOUTS[layout](config)
    (copy / "config.json").write_text(json.dumps(config))
    return copy


def model_of(folder: Path, family: str) -> Any:
    """The model that transformers would build, without memory."""
    model_class = getattr(transformers, FAMILIES[family].model_class)
    config = model_class.config_class.from_pretrained(folder)
    with torch.device("meta"):
        model = model_class(config)
    model.tie_weights()
    return model


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_read_from_config_is_what_transformers_builds(
    folders: Callable[[str], Path], tmp_path: Path, family: str, layout: str
) -> None:
    """What config.json does not say is not known here; transformers has a default for it."""
    folder = lay_out(folders, family, layout, tmp_path)
    checkpoint, settings = find_checkpoint(folder), read_settings(folder)
    if family == "qwen4_exp" and not settings.text:  # its defaults make no model
        with pytest.raises(CheckpointError, match=r"config\.json"):
            count_described(checkpoint, settings)
        return
    model = model_of(folder, family)
    text, vision = model.config.get_text_config(), model.config.vision_config
    for fact in FACTS:
        if fact in settings.text:
            assert settings.text[fact] == getattr(text, fact), fact
    for fact in settings.vision.keys() & {"depth", "hidden_size", "patch_size"}:
        assert settings.vision[fact] == getattr(vision, fact), fact
    is_tied = model.lm_head.weight is model.get_input_embeddings().weight
    assert settings.ties_embeddings == is_tied
    assert settings.context_tokens in (None, text.max_position_embeddings)
    is_mixture = any("experts" in name for name, _ in model.named_parameters())
    assert settings.family.is_mixture_of_experts == is_mixture
    own = sum(parameter.numel() for parameter in model.parameters())
    assert count_described(checkpoint, settings) == own


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layout", ["flat", "empty within", "null within", "none"])
def test_a_model_of_defaults_is_refused_before_it_takes_memory(
    folders: Callable[[str], Path], tmp_path: Path, family: str, layout: str
) -> None:
    """A megabyte of checkpoint would have become eleven billion parameters."""
    folder = lay_out(folders, family, layout, tmp_path)
    checkpoint, settings = find_checkpoint(folder), read_settings(folder)
    tensors = read_tensors(folder)

    def check() -> None:
        check_layout(checkpoint, settings)
        check_described_size(checkpoint, settings, tensors)

    if layout == "flat" and FAMILIES[family].reads_old_layout:
        check()
    else:  # without a language model's settings some families are taken for a part of themselves
        with pytest.raises((CheckpointError, WeightsError), match=r"config\.json"):
            check()


@pytest.mark.parametrize("family", [name for name in FAMILIES if "2" not in name])
def test_settings_at_the_top_that_nobody_reads_are_told_by_both(
    folders: Callable[[str], Path], tmp_path: Path, family: str
) -> None:
    folder = lay_out(folders, family, "flat", tmp_path)
    with pytest.raises(CheckpointError, match=r"in text_config alone.*move them into text_config"):
        check_layout(find_checkpoint(folder), read_settings(folder))
    found = inspect(folder)
    assert any("move them into text_config" in sentence for sentence in found.missing)
    assert found.context_tokens is None


@pytest.mark.parametrize("absent", ["hidden_size", "num_hidden_layers", "vocab_size"])
def test_a_size_that_config_leaves_to_transformers_is_not_known_to_inspect(
    folders: Callable[[str], Path], tmp_path: Path, absent: str
) -> None:
    folder = lay_out(folders, "qwen3_vl", "nested", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    del config["text_config"][absent]
    (folder / "config.json").write_text(json.dumps(config))
    assert f"does not say {absent}" in inspect(folder).notes[0]
    with pytest.raises((CheckpointError, WeightsError)):
        check_described_size(find_checkpoint(folder), read_settings(folder), read_tensors(folder))


@pytest.mark.parametrize(
    ("where", "name"),
    [
        ("text_config", "num_hidden_layers"),
        ("vision_config", "depth"),
        ("vision_config", "num_hidden_layers"),
        ("text_config", "ngram_size"),
        ("text_config", "heads_per_ngram"),
    ],
)
def test_a_hundred_million_layers_are_refused_before_one_is_built(
    folders: Callable[[str], Path], tmp_path: Path, where: str, name: str
) -> None:
    folder = lay_out(folders, "qwen3_vl", "nested", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config[where][name] = 10**8
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=f"says {name}=100000000"):
        check_layout(find_checkpoint(folder), read_settings(folder))


def test_an_overflow_is_told_without_frames_of_torch(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = lay_out(folders, "qwen2_vl", "nested", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["hidden_size"] = 10**30
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"config\.json of .* cannot be used") as caught:
        count_described(find_checkpoint(folder), read_settings(folder))
    assert "frame #" not in str(caught.value)


def test_a_config_that_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    for read in (read_settings, inspect):
        with pytest.raises(CheckpointError, match="it is not a file"):
            read(tmp_path)


def test_a_prime_is_not_looked_for_by_trial_where_none_would_be_found(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = lay_out(folders, "qwen4_exp", "nested", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"].update(ngram_vocab_size_base=10**20, ple_layer_ids=[1])
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="says ngram_vocab_size_base"):
        check_layout(find_checkpoint(folder), read_settings(folder))


def test_a_quantised_checkpoint_of_unknown_packing_is_bounded_too(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = lay_out(folders, "qwen2_vl", "empty within", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "new"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=r"describes \d+\.\d million parameters"):
        check_described_size(find_checkpoint(folder), read_settings(folder), read_tensors(folder))


def test_another_file_that_config_names_is_not_read_in_its_place(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = lay_out(folders, "qwen2_vl", "nested", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.5.0.0.json").write_text("{}")
    config["configuration_files"] = ["config.5.0.0.json"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="configuration_files"):
        read_settings(folder)


def test_quantisation_is_found_within_the_language_model_too(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = lay_out(folders, "qwen2_vl", "nested", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (folder / "config.json").write_text(json.dumps(config))
    assert inspect(folder).quantized_as == "gptq"


# The file itself.


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"\xef\xbb\xbf{}", "without a byte order mark"),
        ("{}".encode("utf-16"), "UTF-16"),
        (b'// mine\n{"model_type": "qwen2_vl"}', "no comments"),
        (b'{"model_type": "qwen2_vl",}', "no comma before a bracket"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<html>Sign in</html>", "download it again"),
    ],
)
def test_a_config_that_is_no_json_says_how_it_was_saved(
    tmp_path: Path, content: bytes, hint: str
) -> None:
    (tmp_path / "config.json").write_bytes(content)
    for read in (read_settings, inspect):
        with pytest.raises(CheckpointError, match=rf"config\.json cannot be read.*{hint}"):
            read(tmp_path)


def test_nan_in_config_is_read_as_transformers_reads_it(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = lay_out(folders, "qwen2_vl", "nested", tmp_path)
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace("{", '{"loss": NaN, ', 1))
    assert inspect(folder).missing == ()


@pytest.mark.parametrize(
    ("model_type", "message"),
    [
        ("qwen3_vl_text", "without its vision encoder.*the whole checkpoint"),
        ("qwen2_5_vl_text", "without its vision encoder"),
        ("qwen3_5_moe_text", "without its vision encoder"),
        ("qwen3_vl_vision", "a vision encoder without its language model"),
        ("qwen2_5_omni_thinker", "a part of a model of speech"),
        ("qwen3_omni_moe_thinker", "a part of a model of speech"),
        ("qwen3_omni_moe_talker_text", "a part of a model of speech|language model"),
        ("qwen2_5_omni", "speech"),
        ("qwen3_tts", "speech"),
        ("colqwen2_5", "embeds pages"),
        ("colqwen3", "embeds pages"),
        ("colpali", "embeds pages"),
        ("llava_qwen", "others have built.*the program that its publisher names"),
        ("ovis_qwen3", "others have built"),
        ("qwen3_vl_embedding", "embeds or ranks"),
        ("qwen3_moe", "text alone"),
        ("qwen3_next", "text alone"),
    ],
)
def test_a_relative_of_the_known_families_is_told_what_it_is_and_not_to_upgrade(
    tmp_path: Path, model_type: str, message: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    for read in (read_settings, inspect):
        with pytest.raises(UnknownFamilyError, match=message) as caught:
            read(tmp_path)
        assert "upgrade" not in str(caught.value)


def test_a_config_without_a_model_type_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UnknownFamilyError, match="model_type=None"):
        read_settings(tmp_path)


# Published checkpoints.

PUBLISHED = Path(__file__).parents[3] / "shared" / "checkpoints"


@pytest.mark.skipif(
    not PUBLISHED.is_dir(), reason=f"the side files of published checkpoints are not in {PUBLISHED}"
)
@pytest.mark.parametrize(
    ("name", "family", "billions"),
    [
        ("Qwen2-VL-2B-Instruct", "qwen2_vl", 2.2),
        ("Qwen2.5-VL-3B-Instruct", "qwen2_5_vl", 3.8),
        ("Qwen3-VL-8B-Instruct", "qwen3_vl", 8.8),
        ("Qwen3.5-2B", "qwen3_5", 2.2),
    ],
)
def test_published_configs_are_read_as_transformers_reads_them(
    name: str, family: str, billions: float
) -> None:
    """And the model that they describe is counted in a second, without its memory."""
    folder = PUBLISHED / name
    settings, model = read_settings(folder), model_of(folder, family)
    text = model.config.get_text_config()
    for fact in FACTS:
        if fact in settings.text:
            assert settings.text[fact] == getattr(text, fact), fact
    is_tied = model.lm_head.weight is model.get_input_embeddings().weight
    assert settings.ties_embeddings == is_tied
    checkpoint = find_checkpoint(folder)
    check_layout(checkpoint, settings)
    assert count_described(checkpoint, settings) == pytest.approx(billions * 1e9, rel=0.03)
