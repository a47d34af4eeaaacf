"""The files of a LoRA adapter: its settings, and its tensors under the names of today's layers."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from qwenvl_kit.checkpoints.folders import fault_of, names_in
from qwenvl_kit.checkpoints.small_files import check_small_files
from qwenvl_kit.errors import AdapterError, CheckpointError, UnsafeWeightsError
from qwenvl_kit.families import FAMILIES

EXPECTED = "the folder of a LoRA adapter: adapter_config.json and adapter_model.safetensors"

_ALLOWED: Mapping[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none", None),
    "init_lora_weights": (True, False, None, "gaussian", "orthogonal", "eva"),
    **dict.fromkeys(("layer_replication", "kasa_config", "arrow_config"), (None,)),
    "alora_invocation_tokens": (None,),
}
"""The values that settings may have. Others change the base model's own weights, or need more than
its layers."""


@dataclass(frozen=True)
class AdapterFiles:
    """The contents of an adapter's folder.

    Attributes:
        folder: the folder.
        settings: its adapter_config.json.
        tensors: its tensors, by the names that layers have in transformers today.
        old_names: the names in the file, by the names of today.
    """

    folder: Path
    settings: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]
    old_names: Mapping[str, str]


def read_adapter(given: str | os.PathLike[str]) -> AdapterFiles:
    """Read the settings and tensors of a folder.

    Raises:
        AdapterError: it is not a LoRA adapter, or one that changes more than layers.
        UnsafeWeightsError: its weights are pickled.
    """
    folder = Path(os.path.abspath(os.path.expanduser(given)))
    settings, tensors = _read_settings(folder), _read_tensors(folder)
    _check_names(folder, tensors)
    old_names = {_todays_name(name): name for name in tensors}
    tensors = {new: tensors[old] for new, old in old_names.items()}
    return AdapterFiles(folder, settings, tensors, old_names)


def _read_settings(folder: Path) -> Mapping[str, Any]:
    path = folder / "adapter_config.json"
    if (folder / "config.json").is_file() and not path.is_file():
        hint = "VisionChat.from_pretrained"
        raise AdapterError(f"{folder} is a whole model", expected=EXPECTED, hint=hint)
    try:
        check_small_files(folder)
    except CheckpointError as error:
        raise AdapterError(error.problem, expected=error.expected, hint=error.hint) from error
    _check_is_adapter(folder, path)
    settings = {**json.loads(path.read_text(encoding="utf-8"))}
    for name, allowed in _ALLOWED.items():
        value = settings.get(name)
        if value not in allowed:
            raise AdapterError(f"{path} has {name}={value!r}", expected=f"one of {allowed}")
    return settings


def _check_is_adapter(folder: Path, path: Path) -> None:
    """Check that a folder is that of an adapter.

    Raises:
        AdapterError: it is not; the message says what the folder holds.
    """
    names = set() if path.is_file() else set(names_in(folder))
    fault = None if names & {"adapter_model.safetensors"} else fault_of(names, folder)
    if fault is not None:
        problem = f"{folder} has no {path.name}; it holds {fault.what}"
        raise AdapterError(problem, expected=EXPECTED, hint=fault.cure)


def _read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    path = folder / "adapter_model.safetensors"
    if not path.is_file() and path.with_suffix(".bin").is_file():
        fault = f"{folder} has pickled weights, which can run code when they are opened"
        hint = "save the adapter again with peft, where it is trusted"
        raise UnsafeWeightsError(fault, expected=path.name, hint=hint)
    tensors = load_file(path)
    broken = [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]
    if broken or not tensors:
        fault = f"infinite values or NaN, in {broken[0]!r} first" if broken else "no weights"
        raise AdapterError(f"{path} holds {fault}", expected="trained weights")
    return tensors


_PREFIX = "base_model.model."
_NAMED = re.compile(r"\.lora_([AB]\.[^.]+\.weight|embedding_[AB]\.[^.]+)$")


def _check_names(folder: Path, names: Collection[str]) -> None:
    """Check that names have peft's form: the prefix of its wrapper, without the adapter's name.

    Raises:
        AdapterError: they have another form, so that none would have a place in the model.
    """
    has_prefix = any(name.startswith(_PREFIX) for name in names)
    for name in names:
        fault = ""
        if not has_prefix:
            fault = f"does not begin with {_PREFIX!r}"
        elif name.startswith(2 * _PREFIX):
            fault = f"begins with {_PREFIX!r} twice"
        elif _NAMED.search(name):
            fault = "has the adapter's own name after lora_A or lora_B, as a state_dict has"
        if fault:
            raise AdapterError(
                f"the weights of {folder} are not named as peft names them: {name!r} {fault}",
                expected=f"names such as '{_PREFIX}model.language_model.layers.0.self_attn.q_proj"
                ".lora_A.weight'",
                hint="save the adapter by save_pretrained of the peft model (not by its "
                "state_dict), or rename the tensors in the file",
            )


def _todays_name(name: str) -> str:
    """The name in today's models of a layer that was trained before transformers 4.52.

    `visual` and `model` are now `model.visual` and `model.language_model`:
    https://github.com/huggingface/transformers/pull/37033. An adapter that was trained on the
    language model alone is renamed in the same way.
    """
    name = re.sub(r"^(base_model\.model\.)(visual\.)", r"\1model.\2", name)
    text = r"^(base_model\.model\.model\.)(?!language_model\.|visual\.)"
    return re.sub(text, r"\1language_model.", name)


def lora_config(files: AdapterFiles, model: Any) -> Any:
    """The settings as peft takes them, with the names of this model's layers.

    Raises:
        AdapterError: it was trained on a model of another family.
    """
    from peft import LoraConfig

    # Families share names of layers, and some of their sizes share all shapes.
    trained_on = (files.settings.get("auto_mapping") or {}).get("base_model_class")
    others = {family.model_class for family in FAMILIES.values()} - {type(model).__name__}
    if trained_on in others:
        fault = f"{files.folder} was trained on a {trained_on}"
        raise AdapterError(fault, expected=f"a {type(model).__name__}")
    config = LoraConfig.from_pretrained(str(files.folder))
    config.inference_mode = True
    if any(old != new for new, old in files.old_names.items()):
        _retarget(config, files, dict(model.named_modules()))
    return config


def _retarget(config: Any, files: AdapterFiles, modules: Mapping[str, Any]) -> None:
    """Name the layers of a renamed adapter one by one.

    Patterns in its settings match old names: `^model` would now match the vision encoder too.
    Experts have no `weight`; `target_parameters` names them.
    """
    layers = {}
    for new, old in files.old_names.items():
        layer, lora, _ = new.removeprefix("base_model.model.").partition(".lora_")
        if lora and hasattr(modules.get(layer), "weight"):
            layers[layer] = old.removeprefix("base_model.model.").partition(".lora_")[0]
    config.target_modules = set(layers)
    config.exclude_modules = config.layers_to_transform = config.layers_pattern = None
    config.rank_pattern = _by_layer(config.rank_pattern, layers)
    config.alpha_pattern = _by_layer(config.alpha_pattern, layers)


def _by_layer(patterns: Mapping[str, int] | None, layers: Mapping[str, str]) -> dict[str, int]:
    """The values that peft's patterns give each layer by its old name; the first match counts."""
    rules = [(rf"(.*\.)?({pattern})$", value) for pattern, value in (patterns or {}).items()]
    return {
        new: value
        for new, old in layers.items()
        for pattern, value in reversed(rules)
        if re.match(pattern, old)
    }
