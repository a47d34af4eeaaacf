"""Checks of a checkpoint by its small files and its tensor names, before any weights are read.

`from_pretrained` raises these errors, and `inspect` tells them in the same words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from qwenvl_kit.checkpoints.download import Checkpoint
from qwenvl_kit.checkpoints.foreign_formats import fault_of, names_in
from qwenvl_kit.checkpoints.processors import check_processor
from qwenvl_kit.checkpoints.settings import Settings, read_json
from qwenvl_kit.checkpoints.tensor_names import naming_fault
from qwenvl_kit.checkpoints.weights import TensorInfo, absent_weights
from qwenvl_kit.errors import CheckpointError, WeightsError

_SETTINGS_FILES = (
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer_config.json",
    "video_preprocessor_config.json",
)

_TEXT_LAYER = re.compile(r"((?:model\.|language_model\.)+layers\.)(\d+)\.")
_VISION_BLOCK = re.compile(r"((?:model\.)?visual\.blocks\.)(\d+)\.")

_LAYERS = ("num_hidden_layers", "depth", "ngram_size", "heads_per_ngram", "n_layer", "num_layers")
_MOST: Mapping[str, int] = {
    **dict.fromkeys(_LAYERS, 1000),  # more than any of these models has
    "num_labels": 100_000,  # each gets a name
    **dict.fromkeys(("head_dim", "partial_rotary_factor"), 100_000),  # angles are computed of it
    "ngram_vocab_size_base": 10**9,  # transformers looks for the next prime by trial
}
"""The limits of entries of config.json: transformers makes that many objects, however small."""


def check_settings_files(folder: Path) -> None:
    """Raise an error if a settings file cannot be read; transformers ignores some of them.

    Raises:
        CheckpointError: a file cannot be read; the message tells the likely reason.
    """
    for name in _SETTINGS_FILES:
        if (folder / name).is_file():
            read_json(folder / name)
    if (folder / "chat_template.jinja").is_file():
        _check_template(folder / "chat_template.jinja")


def check_layout(checkpoint: Checkpoint, settings: Settings) -> None:
    """Raise an error if transformers would misread the checkpoint.

    Args:
        checkpoint: the checkpoint.
        settings: its config.json.

    Raises:
        CheckpointError: a setting would be misread; the message names it.
    """
    _check_no_adapter(checkpoint)
    check_processor(checkpoint.folder)
    _check_text(checkpoint, settings)
    _check_deepstack(checkpoint, settings)
    check_counts(checkpoint, settings)


def check_counts(checkpoint: Checkpoint, settings: Settings) -> None:
    """Raise an error if config.json asks for so many layers or labels that memory would run out.

    It runs before transformers reads config.json, because reading already makes some of them.

    Args:
        checkpoint: the checkpoint, for messages.
        settings: its config.json.

    Raises:
        CheckpointError: a number is above its limit; the message names it.
    """
    for name, count in _counts(settings.config):
        if count > _MOST[name]:
            raise CheckpointError(
                f"config.json of {checkpoint.name} says {name}={count}",
                expected=f"at most {_MOST[name]}",
                hint="config.json as it was published",
            )


def check_weights(
    checkpoint: Checkpoint, settings: Settings, tensors: Sequence[TensorInfo]
) -> None:
    """Raise an error if transformers would not find the weights by the names of their tensors.

    Raises:
        WeightsError: it names the program that likely saved them, and the cure.
    """
    fault = naming_fault(tensors, settings) if tensors else None
    if fault is not None:
        raise WeightsError(
            f"the weights of {checkpoint.name} hold {fault.what}",
            expected=f"those of a {settings.family.model_class} as transformers saves them",
            hint=fault.cure,
        )
    if not settings.quantization:
        _check_layers(checkpoint, settings.text.get("num_hidden_layers"), _TEXT_LAYER, tensors)
        _check_layers(checkpoint, settings.vision.get("depth"), _VISION_BLOCK, tensors)


def _check_layers(
    checkpoint: Checkpoint, count: object, pattern: re.Pattern[str], tensors: Sequence[TensorInfo]
) -> None:
    """Raise an error if layers are missing or too many; skipped if no name has the pattern."""
    found = {int(match[2]): match[1] for t in tensors if (match := pattern.match(t.name))}
    if not found or not isinstance(count, int):
        return
    num_absent = count - sum(number < count for number in found)
    if num_absent > 0:
        root = next(iter(found.values()))
        first = next(number for number in range(count) if number not in found)
        raise WeightsError(
            f"the weights of {checkpoint.name} lack {num_absent} of the {count} layers that "
            f"config.json describes, all tensors of '{root}{first}.' first",
            expected="the weights of all layers",
            hint="download the checkpoint again, or take the config.json that belongs to these "
            "weights",
        )
    beyond = sorted(number for number in found if number >= count)
    if beyond:
        raise WeightsError(
            f"the weights of {checkpoint.name} hold {len(beyond)} layers that config.json does not "
            f"describe, '{found[beyond[0]]}{beyond[0]}.' first",
            expected="the weights and the config.json of one checkpoint",
            hint="download the checkpoint again",
        )


def _check_no_adapter(checkpoint: Checkpoint) -> None:
    folder = checkpoint.folder
    if not (folder / "adapter_config.json").is_file():
        return
    fault = fault_of(names_in(folder), folder)
    if fault and checkpoint.origin == "folder" and absent_weights(folder):
        raise CheckpointError(
            f"{checkpoint.name} holds {fault.what}", expected="a whole checkpoint", hint=fault.cure
        )
    raise CheckpointError(  # transformers would apply it without a word
        f"{checkpoint.name} has an adapter in the folder of its weights",
        expected="a checkpoint without adapter_config.json",
        hint="move the adapter to a folder of its own, and give that folder as adapter=...",
    )


def _check_template(path: Path) -> None:
    try:
        path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error})",
            expected="a text in UTF-8",
            hint="save it again as UTF-8, or copy it from the base model",
        ) from error


def _check_text(checkpoint: Checkpoint, settings: Settings) -> None:
    """Raise an error if text_config is missing: transformers would use its own defaults then."""
    if settings.text or settings.family.reads_old_layout:
        return
    family = settings.family.model_type
    found, hint = "no text_config", "config.json of the base model"
    if settings.has_stray_text:
        found = "the language model's settings at its top"
        hint = "move them into text_config, as in the config.json of the base model"
    raise CheckpointError(
        f"config.json of {checkpoint.name} has {found}, and for {family} transformers reads them "
        "in text_config alone",
        expected="text_config with hidden_size, num_hidden_layers and the rest",
        hint=hint,
    )


def _check_deepstack(checkpoint: Checkpoint, settings: Settings) -> None:
    """Raise an error if DeepStack names a missing block: transformers would ignore its features."""
    indexes, depth = (settings.vision.get(key) for key in ("deepstack_visual_indexes", "depth"))
    if not (settings.family.has_deepstack and isinstance(indexes, list) and isinstance(depth, int)):
        return
    if any(index not in range(depth) for index in indexes) or len(set(indexes)) < len(indexes):
        raise CheckpointError(
            f"config.json of {checkpoint.name} says deepstack_visual_indexes={indexes}, and the "
            f"vision encoder has {depth} blocks",
            expected=f"numbers of its blocks, from 0 to {depth - 1}, each once",
            hint="config.json as it was published",
        )


def _counts(config: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The entries of config.json that `_MOST` limits, at all levels."""
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _counts(value)
        elif name in _MOST and isinstance(value, (int, float)):
            yield name, value
