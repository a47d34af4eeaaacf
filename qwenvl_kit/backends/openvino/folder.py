"""The folder of an exported model: its parts, and what is wrong with another folder.

`optimum-cli export openvino` writes a model of OpenVINO for each part of a network, as a pair of
files: the graph as XML, the weights as .bin. The small files of the checkpoint lie beside them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qwenvl_kit.checkpoints.completeness import check_layout, check_settings_files
from qwenvl_kit.checkpoints.download import Checkpoint
from qwenvl_kit.checkpoints.foreign_formats import names_in
from qwenvl_kit.checkpoints.required_files import missing_files
from qwenvl_kit.checkpoints.settings import Settings, read_settings
from qwenvl_kit.checkpoints.small_files import check_small_files
from qwenvl_kit.checkpoints.sources import is_hub_id
from qwenvl_kit.errors import (
    CheckpointError,
    ModelNotFoundError,
    UnsupportedFeatureError,
    WeightsError,
)
from qwenvl_kit.safe_text import shown

LANGUAGE = "language_model"
TEXT_EMBEDDINGS = "text_embeddings_model"
VISION_EMBEDDINGS = "vision_embeddings_model"
VISION_ENCODER = "vision_embeddings_merger_model"
VISION_POSITIONS = "vision_embeddings_pos_model"

_COMMON = (LANGUAGE, TEXT_EMBEDDINGS, VISION_EMBEDDINGS, VISION_ENCODER)
PARTS: Mapping[str, tuple[str, ...]] = {
    "qwen2_vl": _COMMON,
    "qwen2_5_vl": _COMMON,
    "qwen3_vl": (*_COMMON, VISION_POSITIONS),
}
"""The parts of each family that is supported, as optimum-intel 2.2 names them
(`_OVQwen2VLForCausalLM` and its like in optimum/intel/openvino/modeling_visual_language.py)."""

_MOST_XML_BYTES = 2**28
"""The largest graph that is read. Weights lie apart from it: 20 layers take 2 MB."""

_HEAD_BYTES = 2**12
"""The part of a graph in which its first element stands."""


@dataclass(frozen=True)
class Export:
    """An exported model on this machine.

    Attributes:
        checkpoint: its folder.
        settings: its config.json.
        parts: the file of each part's graph; the weights lie beside it.
    """

    checkpoint: Checkpoint
    settings: Settings
    parts: Mapping[str, Path]

    @property
    def weight_bytes(self) -> int:
        """The size of all weights in bytes, as they lie on the disk."""
        return sum(path.with_suffix(".bin").stat().st_size for path in self.parts.values())


def find_export(folder: object) -> Export:
    """Find the parts of an exported model in a folder.

    Raises:
        ModelNotFoundError: there is no such folder.
        UnsupportedFeatureError: the model is of a family that this backend does not run.
        CheckpointError: the folder holds something else, or files are missing.
    """
    path = _as_folder(folder)
    checkpoint = Checkpoint(os.fspath(path), path, "folder", None)
    check_small_files(path)
    names = names_in(path)
    _check_is_export(path, names)
    check_settings_files(path)
    settings = read_settings(path)
    family = settings.family.model_type
    if family not in PARTS:
        raise UnsupportedFeatureError(
            f"{shown(str(path))} is a model of {family}, which this backend does not run",
            expected=f"one of {', '.join(PARTS)}",
            hint="VisionChat.from_pretrained with the checkpoint that it was exported from",
        )
    check_layout(checkpoint, settings)
    parts = {part: path / f"openvino_{part}.xml" for part in PARTS[family]}
    _check_parts(path, parts)
    absent = missing_files(path, settings.family)
    if absent:
        raise CheckpointError(
            f"{shown(str(path))} lacks {'; and '.join(absent)}",
            expected="the small files of the checkpoint beside the exported parts, as optimum-cli "
            "writes them",
            hint="copy them from the checkpoint that was exported",
        )
    return Export(checkpoint, settings, parts)


def export_command(model: str) -> str:
    """The command that exports a checkpoint, in an environment with optimum-intel."""
    options = "--task image-text-to-text --weight-format int8"
    return f"optimum-cli export openvino -m {model} {options} EXPORTED"


def _as_folder(folder: object) -> Path:
    if not isinstance(folder, (str, os.PathLike)):
        raise ModelNotFoundError(
            f"a folder of type {type(folder).__name__} was given",
            expected="the folder of a model that optimum-intel exported",
        )
    name = os.fsdecode(folder)
    path = Path(os.path.expanduser(name))
    if path.is_dir():
        return path
    hint = export_command("CHECKPOINT")
    if is_hub_id(name):
        hint = (
            f"hf download {name} --local-dir EXPORTED if it is exported already, else "
            f"{export_command(name)}; then give that folder"
        )
    raise ModelNotFoundError(
        f"{shown(name)} is not a folder",
        expected="the folder of a model that optimum-intel exported",
        hint=hint,
    )


def _check_is_export(path: Path, names: tuple[str, ...]) -> None:
    """Raise an error for a folder without a single exported part of a vision-language model."""
    where = shown(str(path))
    if f"openvino_{LANGUAGE}.xml" in names:
        return
    if "openvino_model.xml" in names:
        raise CheckpointError(
            f"{where} holds an export of another kind (openvino_model.xml), which sees no pictures",
            expected=f"openvino_{LANGUAGE}.xml and the other parts of a vision-language model",
            hint=export_command("CHECKPOINT"),
        )
    if any(name.endswith(".safetensors") for name in names):
        raise CheckpointError(
            f"{where} holds a checkpoint, which is not exported yet",
            expected=f"openvino_{LANGUAGE}.xml and the other parts that optimum-intel writes",
            hint=f"{export_command(str(path))}; or VisionChat.from_pretrained, which takes it "
            "as it is",
        )
    raise CheckpointError(
        f"{where} holds no exported model",
        expected=f"openvino_{LANGUAGE}.xml and the other parts that optimum-intel writes",
        hint=export_command("CHECKPOINT"),
    )


def _check_parts(path: Path, parts: Mapping[str, Path]) -> None:
    files = [file for xml in parts.values() for file in (xml, xml.with_suffix(".bin"))]
    absent = [file.name for file in files if not file.exists()]
    if absent:
        raise WeightsError(
            f"{shown(str(path))} lacks {', '.join(absent)}",
            expected="the XML and the .bin file of each part",
            hint="copy the whole folder, or export again",
        )
    for file in files:
        if not file.is_file():  # a pipe would be waited for
            raise WeightsError(f"{file} cannot be read: it is not a file", expected="a file")
    for xml in parts.values():
        _check_graph(xml)


def _check_graph(xml: Path) -> None:
    """Raise an error for what is no graph: OpenVINO would try readers of other formats on it."""
    size = xml.stat().st_size
    if size > _MOST_XML_BYTES:
        raise WeightsError(
            f"{xml} has {size} bytes", expected=f"a graph of at most {_MOST_XML_BYTES} bytes"
        )
    for file in (xml, xml.with_suffix(".bin")):
        with file.open("rb") as opened:
            head = opened.read(_HEAD_BYTES)
        if head.startswith(b"version https://git-lfs"):
            raise WeightsError(
                f"{file} is a placeholder of Git LFS",
                expected="the file itself",
                hint="git lfs pull",
            )
        if file is xml and b"<net" not in head:
            raise WeightsError(
                f"{file} is not a graph of OpenVINO",
                expected="XML whose first element is <net>",
                hint="copy the file again, or export again",
            )
