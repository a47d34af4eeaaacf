"""A model with an adapter merged in, as a checkpoint on the disk; the model itself stays as it is.

Each layer that has an adapter is copied, and peft merges the copy: in fp32, so that it is rounded
once. All other weights are written as they are.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from qwenvl_kit.backends.local.packed.base import PackedLinear
from qwenvl_kit.checkpoints.settings import read_json
from qwenvl_kit.checkpoints.small_files import SMALL_FILE_NAMES, TEMPLATES_FOLDER
from qwenvl_kit.errors import AdapterError

_MAX_SHARD_SIZE = "5GB"

_OTHER_FILES = {
    *("config.json", "model.safetensors.index.json"),  # written anew
    *("adapter_config.json", "qwenvl_kit.json"),  # of an adapter, or of another training
}
_LICENCES = ("LICENSE*", "LICENCE*", "NOTICE*")

Weights = Mapping[str, torch.Tensor]


def check_exportable(model: Any) -> None:
    """Check that a model has its weights as they were trained, not packed or quantised.

    Raises:
        AdapterError: it has not.
    """
    fault = ""
    if getattr(model, "hf_quantizer", None) is not None:
        fault = "its weights are quantised, and merging would round them twice"
    if any(isinstance(module, PackedLinear) for module in model.modules()):
        fault = "its layers are packed for this processor, without weights that could be written"
    if fault:
        raise AdapterError(
            f"the model cannot be exported: {fault}",
            hint="VisionChat.from_pretrained(..., dtype='bfloat16', adapter=...), without "
            "quantization and from a checkpoint that is not quantised",
        )


def merged_weights(model: Any, key: str | None) -> dict[str, torch.Tensor]:
    """The weights of a model with an adapter merged in, by the names that they have without peft.

    Args:
        model: the model of transformers; peft may have wrapped some of its layers.
        key: the name of the adapter within peft; None if nothing is merged.

    Returns:
        All parameters and lasting buffers. Those of adapted layers are new and on the CPU, and all
        others are the model's own.
    """
    if key is None:
        return dict(model.state_dict())
    layers = _wrapped_layers(model)
    within = tuple(f"{name}." for name in layers)
    weights = {
        name: tensor for name, tensor in model.state_dict().items() if not name.startswith(within)
    }
    for name, layer in layers.items():
        weights |= {f"{name}.{own}": tensor for own, tensor in _merged(layer, key).items()}
    return weights


def write_checkpoint(model: Any, weights: Weights, published: Path, folder: Path) -> None:
    """Write weights, and the small files of the checkpoint that a model was loaded from.

    Tensors have the names under which they were loaded, also where transformers has renamed or
    joined them since; so everything that reads the base model reads this.

    Args:
        model: the model of transformers, for its class and settings.
        weights: the result of `merged_weights`.
        published: the folder of its checkpoint.
        folder: an empty folder.

    Raises:
        OSError, safetensors.SafetensorError: the disk refuses a file.
    """
    is_tied = _is_tied(weights)
    settings = copy.deepcopy(model.config)
    settings._attn_implementation = "eager"  # nothing is computed, and others check the device
    for part in (settings, settings.get_text_config()):
        part.tie_word_embeddings = is_tied
    with torch.device("meta"):
        empty = type(model)(settings)
    empty._weight_conversions = getattr(model, "_weight_conversions", None)
    empty.save_pretrained(folder, state_dict=dict(weights), max_shard_size=_MAX_SHARD_SIZE)
    (folder / "generation_config.json").unlink(missing_ok=True)  # that of `empty`
    copy_small_files(published, folder)
    config = _config(read_json(published / "config.json"), model.dtype, is_tied=is_tied)
    text = json.dumps(config, indent=2, ensure_ascii=False)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")


def _wrapped_layers(model: Any) -> dict[str, Any]:
    """The outermost layers that peft has wrapped, by their names."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    found: dict[str, Any] = {}
    for name, module in model.named_modules():
        is_wrapped = isinstance(module, (BaseTunerLayer, AuxiliaryTrainingWrapper))
        if is_wrapped and not name.startswith(tuple(f"{outer}." for outer in found)):
            found[name] = module
    return found


def _merged(layer: Any, key: str) -> dict[str, torch.Tensor]:
    """The weights of a layer with an adapter merged in, on the CPU, in the layer's own dtypes."""
    dtype = next(_base_of(layer).parameters()).dtype
    own = copy.deepcopy(layer).float()
    if hasattr(own, "unload_and_optionally_merge_module"):
        plain = own.unload_and_optionally_merge_module(
            merge=True, safe_merge=True, adapter_names=[key]
        )
    else:
        own.merge(safe_merge=True, adapter_names=[key])
        plain = own.get_base_layer()
    return {name: _as_stored(tensor, dtype) for name, tensor in plain.state_dict().items()}


def _as_stored(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return tensor.to("cpu", dtype if tensor.is_floating_point() else tensor.dtype)


def _base_of(layer: Any) -> Any:
    """The layer as it was before peft wrapped it."""
    whole = getattr(layer, "original_module", None)
    return layer.get_base_layer() if whole is None else whole


def _is_tied(weights: Weights) -> bool:
    """True if embedding and head are one weight."""
    ends = [
        {tensor.data_ptr() for name, tensor in weights.items() if name.endswith(end)}
        for end in ("lm_head.weight", "embed_tokens.weight")
    ]
    return bool(ends[0] & ends[1])


def _config(published: Mapping[str, Any], dtype: torch.dtype, *, is_tied: bool) -> dict[str, Any]:
    """The config.json of a checkpoint with what is true of the written weights."""
    config = {name: value for name, value in published.items() if name != "quantization_config"}
    for name, part in config.items():
        if name in ("text_config", "vision_config") and isinstance(part, dict):
            config[name] = _with_dtype(part, dtype)
    if "tie_word_embeddings" in config.get("text_config", {}):
        config["text_config"]["tie_word_embeddings"] = is_tied
    dtype_name = "torch_dtype" if "torch_dtype" in config else "dtype"
    return {**_with_dtype({dtype_name: "", **config}, dtype), "tie_word_embeddings": is_tied}


def _with_dtype(settings: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    said = str(dtype).removeprefix("torch.")
    return {
        name: said if name in ("dtype", "torch_dtype") else value
        for name, value in settings.items()
        if name != "quantization_config"
    }


def copy_small_files(published: Path, folder: Path) -> None:
    """Copy tokenizer, processor, chat templates, generation settings and licence.

    The calibration is left out, as it was measured for the base model.
    """
    for name in SMALL_FILE_NAMES:
        if name not in _OTHER_FILES and (published / name).is_file():
            shutil.copyfile(published / name, folder / name)
    for pattern in _LICENCES:
        for path in published.glob(pattern):
            if path.is_file():
                shutil.copyfile(path, folder / path.name)
    if (published / TEMPLATES_FOLDER).is_dir():
        shutil.copytree(published / TEMPLATES_FOLDER, folder / TEMPLATES_FOLDER)
