"""The settings of a checkpoint: its config.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from qwenvl_kit.checkpoints.foreign_formats import names_in, no_config_error
from qwenvl_kit.errors import CheckpointError, UnknownFamilyError
from qwenvl_kit.families import FAMILIES, Ability, Family, family_of, trained_for
from qwenvl_kit.safe_text import shown

TRAINED_FOR = "qwenvl_kit_trained_for"
"""The entry of config.json with the abilities that a checkpoint has beyond its family: a name of
our own, which transformers keeps."""


@dataclass(frozen=True)
class Settings:
    """The settings in a checkpoint's config.json.

    They are read directly, because `AutoConfig` of transformers imports torch, and does not know
    families that are newer than itself.

    Attributes:
        family: the family that config.json names, with the abilities that it says the checkpoint
            was trained for.
        config: the whole content of config.json.
        has_own_head: True if the weights hold a different output layer although config.json ties
            it to the embeddings; see `output_heads`.
    """

    family: Family
    config: Mapping[str, Any]
    has_own_head: bool = False

    @property
    def text(self) -> Mapping[str, Any]:
        """The settings of the language model, from the place in which transformers looks for them.

        Older checkpoints keep them at the top of config.json. For newer families transformers
        never looks there, and would build a model from its own defaults.
        """
        text = self.config.get("text_config")
        if text is None and self.family.reads_old_layout:
            return self.config
        return _mapping(text)

    @property
    def has_stray_text(self) -> bool:
        """True if the language model's settings are at the top, where transformers ignores them."""
        is_read = self.family.reads_old_layout or bool(self.text)
        return not is_read and "num_hidden_layers" in self.config

    @property
    def vision(self) -> Mapping[str, Any]:
        """The settings of the vision encoder."""
        return _mapping(self.config.get("vision_config"))

    @property
    def context_tokens(self) -> int | None:
        """Most tokens of prompt and answer together; None if config.json does not tell."""
        value = self.text.get("max_position_embeddings")
        return value if isinstance(value, int) else None

    @property
    def ties_embeddings(self) -> bool:
        """True if the output layer shares its weights with the input embeddings."""
        is_tied = bool(self.config.get("tie_word_embeddings"))
        is_tied = is_tied or (self.family.reads_old_layout and self.says_tied_within)
        return is_tied and not self.has_own_head

    @property
    def says_tied_within(self) -> bool:
        """True if text_config ties the embeddings, which only some families read."""
        return bool(self.text.get("tie_word_embeddings"))

    @property
    def quantization(self) -> Mapping[str, Any]:
        """The settings of a checkpoint that is published quantised; empty if it is not."""
        whole = _mapping(self.config.get("quantization_config"))
        return whole or _mapping(self.text.get("quantization_config"))


def read_settings(folder: Path) -> Settings:
    """Read the settings of the checkpoint in a folder.

    Raises:
        CheckpointError: there is no config.json, it cannot be read, or it names an ability that is
            none.
        UnknownFamilyError: it is not a Qwen vision-language model that the kit knows.
    """
    path = folder / "config.json"
    if not path.exists():
        raise no_config_error(str(folder), names_in(folder), folder)
    config = read_json(path)
    if "configuration_files" in config:  # transformers would build what another file describes
        raise CheckpointError(
            f"{path} has configuration_files, which names other files to read in its place",
            expected="all settings in config.json itself",
            hint="copy the settings of the named file into config.json",
        )
    if not isinstance(config.get("model_type"), str):
        raise UnknownFamilyError(
            f"{path} has model_type={config.get('model_type')!r}, which is not a Qwen "
            "vision-language model",
            expected=f"one of {', '.join(FAMILIES)}",
            hint="take the config.json of the model that it was made from",
        )
    return Settings(trained_for(family_of(config["model_type"]), _abilities(path, config)), config)


def _abilities(path: Path, config: Mapping[str, Any]) -> Sequence[Ability]:
    """The abilities that a checkpoint says it was trained for beyond its family."""
    said = config.get(TRAINED_FOR, [])
    known: tuple[Ability, ...] = get_args(Ability)
    unknown = [each for each in said if each not in known] if isinstance(said, list) else [said]
    if unknown:
        raise CheckpointError(
            f"{path} says that the model was trained for {_short(unknown[0])}, which is no ability",
            expected=f"{TRAINED_FOR}: a list of some of {', '.join(known)}",
        )
    return [each for each in known if each in said]


def _short(value: object) -> str:
    """A value of a file in a message: it may hold anything, at any length."""
    return shown(value if isinstance(value, str) else repr(value))


def read_json(path: Path) -> Mapping[str, Any]:
    """Read a JSON object from a file of a checkpoint.

    Raises:
        CheckpointError: the file does not exist, or holds something else.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise CheckpointError(f"{path} cannot be read (it is not a file)", expected="a JSON file")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path.parent} has no {path.name}", expected="a checkpoint's folder"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error})", expected="JSON in UTF-8", hint=_remedy(path)
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds a {type(value).__name__}", expected="a JSON object")
    return value


def _remedy(path: Path) -> str:
    """The cure for a file that is not JSON; transformers cannot read it either."""
    start = b""
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(64)
    if start.startswith(b"\xef\xbb\xbf"):
        return "save it again as UTF-8 without a byte order mark, which editors on Windows write"
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "save it again as UTF-8; it is UTF-16, as PowerShell writes it"
    if start.startswith(b"version https://git-lfs"):
        return "git lfs pull: it is a placeholder of Git LFS"
    return "download it again; if it was edited, JSON has no comments and no comma before a bracket"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
