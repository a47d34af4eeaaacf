"""Checks of a checkpoint's processor settings, before transformers reads them.

For an unknown class transformers lists a hundred model types, or takes the tokenizer for the
processor. The errors here name the file, the entry and its right value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from qwenvl_kit.checkpoints.settings import read_json
from qwenvl_kit.errors import CheckpointError

IMAGE_PROCESSOR = "Qwen2VLImageProcessor"
"""The image processor of all families; its variants begin with the same name."""

PROCESSORS = ("Qwen2VLProcessor", "Qwen2_5_VLProcessor", "Qwen3VLProcessor")
"""The processors of published checkpoints."""

_SIZES = {"shortest_edge", "longest_edge"}
_AREAS_AT_TOP = {"min_pixels", "max_pixels"}
_AREAS = '{"shortest_edge": least area, "longest_edge": largest area}, in pixels'

# Where transformers looks for the class of the processor, in this order (`AutoProcessor`).
_CLASS_FILES = (
    *("processor_config.json", "preprocessor_config.json"),
    *("video_preprocessor_config.json", "tokenizer_config.json", "config.json"),
)


def check_processor(folder: Path) -> None:
    """Raise an error if the processor settings are not those of a Qwen vision-language model.

    Args:
        folder: folder of the checkpoint. Missing files are not an error here.

    Raises:
        CheckpointError: an entry is wrong; the message names the file, the entry and its right
            value.
    """
    for file, settings in _picture_settings(folder):
        _check_type(file, settings)
        if not settings.keys() >= _AREAS_AT_TOP:  # where older files keep them
            _check_size_entry(file, settings.get("size"))
    _check_class(folder)


def where_class_is_said(folder: Path) -> tuple[Path, str] | None:
    """Return the file that names the processor's class, and the class; None if none does."""
    for name in _CLASS_FILES:
        path = folder / name
        said = read_json(path).get("processor_class") if path.is_file() else None
        if isinstance(said, str):
            return path, said
    return None


def _picture_settings(folder: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The settings for pictures with their file; a processor that is saved whole comes first."""
    whole, alone = folder / "processor_config.json", folder / "preprocessor_config.json"
    within = read_json(whole).get("image_processor") if whole.is_file() else None
    if isinstance(within, dict):
        yield whole, within
    elif alone.is_file():
        yield alone, read_json(alone)


def _check_type(file: Path, settings: Mapping[str, Any]) -> None:
    said = settings.get("image_processor_type")
    if said is None or "auto_map" in settings or str(said).startswith(IMAGE_PROCESSOR):
        return
    raise CheckpointError(
        f"image_processor_type={said!r} in {file} cannot be used",
        expected=f"{IMAGE_PROCESSOR!r}, the one that all these families have",
        hint=f"write {IMAGE_PROCESSOR!r} there; whatever the size and the patches say stays right",
    )


def _check_size_entry(file: Path, size: object) -> None:
    if size is None or (isinstance(size, dict) and size.keys() >= _SIZES):
        return
    hint = "the entry of the base model's file"
    if isinstance(size, dict) and size.keys() >= _AREAS_AT_TOP:
        areas = {"shortest_edge": size["min_pixels"], "longest_edge": size["max_pixels"]}
        hint = f'"size": {areas}'.replace("'", '"')
    raise CheckpointError(
        f"size={size!r} in {file} cannot be used: these models take areas, not sides",
        expected=_AREAS,
        hint=hint,
    )


def _check_class(folder: Path) -> None:
    said = where_class_is_said(folder)
    if said is None or said[1].startswith("Qwen") or _brings_code(said[0]):
        return
    raise unknown_class_error(*said)


def unknown_class_error(file: Path, said: str) -> CheckpointError:
    """Return the error for a processor class that transformers or Qwen-VL does not have."""
    return CheckpointError(
        f"processor_class={said!r} in {file} cannot be used",
        expected=f"one of {', '.join(PROCESSORS)}",
        hint="the processor_class of the base model; or pip install --upgrade transformers, if "
        "the checkpoint is newer",
    )


def _brings_code(file: Path) -> bool:
    return "auto_map" in read_json(file)
