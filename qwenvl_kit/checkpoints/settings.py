"""What a checkpoint's config.json says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwenvl_kit.errors import CheckpointError
from qwenvl_kit.families import Family, family_of


@dataclass(frozen=True)
class Settings:
    """A checkpoint's config.json.

    Read as it is: transformers' `AutoConfig` imports torch, and knows no family that is newer
    than itself.

    Attributes:
        family: the family that it names.
        config: all of it.
    """

    family: Family
    config: Mapping[str, Any]

    @property
    def text(self) -> Mapping[str, Any]:
        """Settings of the language model; older checkpoints keep them at the top."""
        return _mapping(self.config.get("text_config")) or self.config

    @property
    def vision(self) -> Mapping[str, Any]:
        """Settings of the vision encoder."""
        return _mapping(self.config.get("vision_config"))

    @property
    def context_tokens(self) -> int | None:
        """Longest prompt and answer together."""
        value = self.text.get("max_position_embeddings")
        return value if isinstance(value, int) else None

    @property
    def ties_embeddings(self) -> bool:
        """Whether the output layer shares its weights with the input embeddings."""
        return bool(self.config.get("tie_word_embeddings", self.text.get("tie_word_embeddings")))

    @property
    def quantization(self) -> Mapping[str, Any]:
        """How the checkpoint is quantised as it is published; empty if it is not."""
        return _mapping(self.config.get("quantization_config"))


def read_settings(folder: Path) -> Settings:
    """The settings of the checkpoint in a folder.

    Raises:
        CheckpointError: there is no config.json, or it cannot be read.
        UnknownFamilyError: not a Qwen vision-language model that the kit knows.
    """
    config = read_json(folder / "config.json")
    return Settings(family_of(str(config.get("model_type"))), config)


def read_json(path: Path) -> Mapping[str, Any]:
    """A JSON object from one of a checkpoint's files.

    Raises:
        CheckpointError: it is not there, or holds anything else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path.parent} has no {path.name}", expected="a checkpoint's folder"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read ({error})") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds a {type(value).__name__}", expected="a JSON object")
    return value


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
