"""The settings for several processes that come with the kit, read by those whom they are for."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import transformers
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.deepspeed import HfDeepSpeedConfig
from accelerate.utils.launch import prepare_multi_gpu_env

import qwenvl_kit
from qwenvl_kit.errors import InputError
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.training.launch import launch_config
from qwenvl_kit.training.launch.shipped import DEEPSPEED_FILES, Strategy

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(qwenvl_kit.__file__).parent.parent
STRATEGIES = get_args(Strategy)


def environment_of(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets what `accelerate launch --config_file` tells the processes that it starts."""
    arguments = launch_command_parser().parse_args(
        ["--config_file", str(launch_config(strategy)), "--num_processes", "2", "train.py"]  # type: ignore[arg-type]
    )
    arguments, _, _ = _validate_launch_command(arguments)
    for name, value in prepare_multi_gpu_env(arguments).items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_accelerate_reads_each_file(strategy: Strategy) -> None:
    read = load_config_from_file(str(launch_config(strategy)))
    assert read.mixed_precision == "bf16"
    if strategy == "fsdp":
        assert read.fsdp_config["fsdp_version"] == 2
    else:
        assert read.deepspeed_config["zero_stage"] == int(strategy[-1])


def test_a_strategy_that_there_is_not_is_told() -> None:
    with pytest.raises(InputError, match="'zero2' or 'zero3' or 'fsdp'"):
        launch_config("zero1")  # type: ignore[arg-type]


@pytest.mark.parametrize("strategy", DEEPSPEED_FILES)
def test_the_files_of_deepspeed_leave_to_the_training_what_it_decides(strategy: str) -> None:
    read = HfDeepSpeedConfig(str(DEEPSPEED_FILES[strategy]))
    assert read.is_zero3() == (strategy == "zero3")
    assert not read.is_offload()
    batch = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps")
    for name in (*batch, "gradient_clipping", "bf16.enabled", "fp16.enabled"):
        assert read.get_value(name) == "auto", name


@pytest.mark.parametrize("strategy", DEEPSPEED_FILES)
def test_deepspeed_reads_its_files(strategy: str) -> None:
    pytest.importorskip("deepspeed", reason="deepspeed is not installed")
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    sizes = {"reduce_bucket_size", "stage3_prefetch_bucket_size"}
    sizes |= {"stage3_param_persistence_threshold"}
    content = json.loads(DEEPSPEED_FILES[strategy].read_text())["zero_optimization"]
    given = {key: 1000 if key in sizes else value for key, value in content.items()}
    read = DeepSpeedZeroConfig(**given)
    assert read.stage == int(strategy[-1])
    assert not {*given} - {*DeepSpeedZeroConfig.model_fields} - aliases_of(DeepSpeedZeroConfig)


def aliases_of(model: Any) -> set[str]:
    return {field.alias for field in model.model_fields.values() if field.alias}


def test_torch_is_told_to_share_weights_layer_by_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    environment_of("fsdp", monkeypatch)
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2
    assert plugin.reshard_after_forward is True
    assert plugin.state_dict_type.name == "FULL_STATE_DICT"
    assert not plugin.cpu_ram_efficient_loading
    assert not plugin.activation_checkpointing  # the training does it, by the model's own means
    assert plugin.transformer_cls_names_to_wrap is None  # the model names its layers


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_names_its_layers_for_fsdp(family: str) -> None:
    model = getattr(transformers, FAMILIES[family].model_class)
    named = {name for kind in kinds_of(model) for name in kind._no_split_modules or ()}
    module = importlib.import_module(model.__module__)
    assert all(hasattr(module, name) for name in named), named
    assert any(name.endswith("DecoderLayer") for name in named), named
    assert any(name.endswith("VisionBlock") for name in named), named


def kinds_of(model: Any) -> list[Any]:
    """A class of transformers, and those of its module that it is made of."""
    module = importlib.import_module(model.__module__)
    kinds = [value for value in vars(module).values() if isinstance(value, type)]
    return [model, *(kind for kind in kinds if issubclass(kind, transformers.PreTrainedModel))]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_vision_encoder_that_is_not_shared_is_found_by_its_name(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment_of("fsdp", monkeypatch)
    ignored = re.compile(str(FullyShardedDataParallelPlugin().ignored_modules))
    source = Path(importlib.import_module(module_of(family)).__file__ or "").read_text()
    assert "self.visual = " in source
    for prefix in ("", "base_model.model."):
        assert ignored.fullmatch(f"{prefix}model.visual")
        assert not ignored.fullmatch(f"{prefix}model.visual.blocks.0")
        assert not ignored.fullmatch(f"{prefix}model.language_model")


def module_of(family: str) -> str:
    return str(getattr(transformers, FAMILIES[family].model_class).__module__)


def test_the_files_are_part_of_the_package() -> None:
    """A wheel takes all of the package that git does not ignore."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel == {"packages": ["qwenvl_kit"]}
    for path in (*map(launch_config, STRATEGIES), *DEEPSPEED_FILES.values()):
        assert path.is_file()
        assert path.is_relative_to(ROOT / "qwenvl_kit")
