"""Formats of other programs, recognised by the names of their files.

A folder or repository in such a format cannot be loaded. The error names the format and the way
from it to a checkpoint. Only the settings of an adapter are opened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from qwenvl_kit.errors import CheckpointError

_NUM_NAMES = 10_000
"""The most entries of a folder that are read."""

_ORIGINAL = "the safetensors checkpoint that it was made from"
_SAVE = "save the model itself: trainer.save_model(FOLDER), or model.save_pretrained(FOLDER)"


_ADAPTER_FILES = {"adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"}


@dataclass(frozen=True)
class Fault:
    """The reason why something cannot be loaded as a checkpoint.

    Attributes:
        what: description of the contents, as words after "it holds".
        cure: something to do about it.
    """

    what: str
    cure: str


_KINDS: tuple[tuple[str, str, str], ...] = (
    (
        r"global_step\d+|zero_to_fp32\.py|.*_optim_states\.pt|mp_rank_.*_model_states\.pt",
        "a training state of DeepSpeed",
        "python zero_to_fp32.py . OUTPUT --safe_serialization, in that folder; then copy the small "
        "files of the base model to OUTPUT. Or trainer.save_model(FOLDER)",
    ),
    (
        r"pytorch_model_fsdp_\d+|.*\.distcp",
        "a sharded state of FSDP (torch.distributed.checkpoint)",
        "accelerate merge-weights FOLDER OUTPUT, and copy the small files of the base model there",
    ),
    (
        r"latest_checkpointed_iteration\.txt|iter_\d{7}",
        "a state of Megatron",
        "convert it to the format of Hugging Face with the program that trained it",
    ),
    (
        r".*\.gguf",
        "weights for llama.cpp",
        f"{_ORIGINAL}; or serve it with llama.cpp and use VisionChat.connect",
    ),
    (r"model_world_size_\d+_rank_\d+\.pt", "a sharded state of verl",
     "python -m verl.model_merger merge, which writes a checkpoint"),
    (r"model-rank-\d+-part-\d+\.safetensors|.*\.tensors", "a state of vLLM, for its own loader",
     _ORIGINAL),
    (r"weights\.\d*\.?npz|.*\.npz", "weights of MLX", _ORIGINAL),
    (r"model_index\.json", "a pipeline of diffusers, which draws pictures", "a Qwen-VL checkpoint"),
    (r"openvino_.*\.xml", "a model for OpenVINO",
     f"VisionChat.from_openvino with the folder; or {_ORIGINAL}"),
    (r"onnx|.*\.onnx(_data)?", "a model for ONNX Runtime", _ORIGINAL),
    (r".*\.(mnn|rkllm|tflite|litertlm|task|pte|engine|plan|mlpackage|mlmodelc|nemo)",
     "a model that was converted for another program", _ORIGINAL),
    (r"tf_model\.h5|flax_model.*\.msgpack", "weights of TensorFlow or Flax", _ORIGINAL),
    (r"modules\.json|config_sentence_transformers\.json|1_Pooling",
     "a model of sentence-transformers, which embeds and answers nothing",
     "an Instruct checkpoint of the same family"),
    (
        r".*\.safetensors\.index\.json",
        "an index of weights whose shards are not there",
        "download them again, all files of one revision",
    ),
    (
        r".*\.(incomplete|part|aria2|crdownload|tmp)",
        "a download that was not finished",
        "download it again",
    ),
    (
        r"(?!adapter_model|model\.safetensors).*\.safetensors",
        "safetensors files under other names, or shards without their index",
        "copy model.safetensors.index.json from where they come from; a single file is called "
        "model.safetensors",
    ),
    (
        r"trainer_state\.json|training_args\.bin|optimizer\.(pt|bin)|scheduler\.pt|rng_state.*\.pth",
        "the state of a training run, without its weights",
        _SAVE,
    ),
    (r"pytorch_model.*\.bin|model.*\.(bin|pt)|.*\.(pth|ckpt|pkl)",
     "pickled weights, which could run code when opened",
     "a checkpoint with safetensors files and all its small files"),
    (r".*\.(zip|tar|tgz|tar\.gz|7z|rar)", "an archive", "unpack it, and give the folder"),
)  # fmt: skip
"""Patterns of file and folder names, the format of each, and the cure; the most specific first."""


def names_in(folder: Path) -> tuple[str, ...]:
    """Return the names in a folder, sorted; empty if it cannot be read."""
    try:
        names = [entry.name for entry, _ in zip(folder.iterdir(), range(_NUM_NAMES))]
    except OSError:
        return ()
    return tuple(sorted(names))


def fault_of(names: Collection[str], folder: Path | None = None) -> Fault | None:
    """Return the format of another program to which the names belong.

    Args:
        names: names of files and folders.
        folder: their folder, if it is on this machine.

    Returns:
        The fault, or None if no name is known.
    """
    if _ADAPTER_FILES.intersection(names):
        return _adapter(folder)
    tops = sorted({name.partition("/")[0] for name in names})  # a repository lists whole paths
    if folder is not None and (inner := _meant([*_saves(folder, tops), *_snapshots(folder)])):
        return inner
    for pattern, what, cure in _KINDS:
        first = next((name for name in tops if re.fullmatch(pattern, name)), None)
        if first is not None:
            return Fault(f"{what} ({first})", cure)
    return _meant(_only_folder(folder, tops)) if folder is not None else None


def no_config_error(where: str, names: Collection[str], folder: Path | None = None) -> Exception:
    """Return the error for a folder or repository without config.json.

    Args:
        where: name of the folder or repository, for the message.
        names: names of its files.
        folder: the folder, if it is on this machine.
    """
    fault = fault_of(names, folder)
    problem = f"{where} has no config.json"
    if fault is None:
        return CheckpointError(problem, expected="a checkpoint's folder, or its repository")
    return CheckpointError(
        f"{problem}; it holds {fault.what}", expected="a whole checkpoint", hint=fault.cure
    )


def _adapter(folder: Path | None) -> Fault:
    base = _base_of(folder)
    given = "the folder of the adapter" if folder is None else repr(str(folder))
    return Fault(
        f"a LoRA adapter (adapter_config.json) of {base or 'a base model'}, and no model",
        f"VisionChat.from_pretrained({base or 'BASE MODEL'!r}, adapter={given})",
    )


def _base_of(folder: Path | None) -> str | None:
    """The model that an adapter names as its base."""
    try:
        text = (folder / "adapter_config.json").read_text(encoding="utf-8") if folder else "{}"
        base = json.loads(text).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return base if isinstance(base, str) and base else None


def _meant(folders: Iterable[Path]) -> Fault | None:
    """The inner folder that was perhaps meant."""
    for folder in folders:
        if (folder / "config.json").is_file() or (folder / "adapter_config.json").is_file():
            return Fault(
                f"checkpoints in inner folders, such as {folder.name!r}",
                f"the folder {str(folder)!r}",
            )
    return None


def _saves(folder: Path, names: Iterable[str]) -> list[Path]:
    """The folders that a training run saved, such as `checkpoint-10`, the last first."""
    steps = [(int(name[11:]), name) for name in names if re.fullmatch(r"checkpoint-\d{1,12}", name)]
    return [folder / name for _, name in sorted(steps, reverse=True)]


def _snapshots(folder: Path) -> list[Path]:
    """The folders of a repository's commits in the cache of the hub's client."""
    inside = folder / "snapshots"
    return [inside / name for name in names_in(inside)]


def _only_folder(folder: Path, names: Iterable[str]) -> list[Path]:
    folders = [folder / name for name in names if (folder / name).is_dir()]
    return folders if len(folders) == 1 else []
