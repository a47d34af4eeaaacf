"""The settings of accelerate and DeepSpeed that come with the kit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

from qwenvl_kit.errors import InputError

Strategy: TypeAlias = Literal["zero2", "zero3", "fsdp"]
"""The ways to share a training among processes: ZeRO-2 or ZeRO-3 of DeepSpeed, or torch's FSDP."""

_FOLDER = Path(__file__).parent / "configs"

DEEPSPEED_FILES: Mapping[str, Path] = MappingProxyType(
    {name: _FOLDER / f"{name}.json" for name in ("zero2", "zero3")}
)
"""DeepSpeed's own settings, for `deepspeed` of transformers' `TrainingArguments`."""


def launch_config(strategy: Strategy) -> Path:
    """Return the path of a file of settings for `accelerate launch --config_file`.

    Args:
        strategy: "zero2", "zero3" or "fsdp".

    Raises:
        InputError: there is no such file.
    """
    if strategy not in get_args(Strategy):
        raise InputError(
            f"strategy={strategy!r} was given",
            expected=" or ".join(map(repr, get_args(Strategy))),
        )
    return _FOLDER / f"{strategy}.yaml"
