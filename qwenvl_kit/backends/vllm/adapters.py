"""The LoRA adapters of a model that vLLM runs. A request uses the adapter that is active then."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from qwenvl_kit.checkpoints.settings import read_json
from qwenvl_kit.checkpoints.small_files import check_small_files
from qwenvl_kit.checkpoints.trained_with import ModelIdentity, TrainedWith
from qwenvl_kit.errors import (
    AdapterError,
    CheckpointError,
    UnsafeWeightsError,
    UnsupportedFeatureError,
)

_RANKS = (16, 32, 64, 128, 256, 512)
"""Ranks that vLLM's `max_lora_rank` may have; 16 is its default."""


class VllmAdapters:
    """The adapters of a model by their names; an `AdapterSet`.

    Args:
        core: vLLM's `LLMEngine`.
        are_enabled: True if it was started with `enable_lora=True`.
        identity: the checkpoint's identity, which must be the one that an adapter was trained on.
    """

    def __init__(self, core: Any, *, are_enabled: bool, identity: ModelIdentity) -> None:
        self._core = core
        self._identity = identity
        self._are_enabled = are_enabled
        self._loaded: dict[str, Any] = {}
        self._num_loaded = 0
        self._active: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The loaded adapters, in the order in which they were loaded."""
        return tuple(self._loaded)

    @property
    def active(self) -> str | None:
        """The adapter that answers; None for the base model."""
        return self._active

    @property
    def request(self) -> Any:
        """The active adapter as vLLM's `LoRARequest`; None for the base model."""
        return None if self._active is None else self._loaded[self._active]

    def load(self, folder: str | os.PathLike[str], name: str | None = None) -> str:
        """Load an adapter from a folder, use it, and return its name.

        Raises:
            AdapterError: vLLM cannot load it or was started without adapters, it was trained on
                another model or with another chat template, or the name is taken.
            UnsafeWeightsError: its weights are pickled.
        """
        path = Path(folder)
        name = path.name if name is None else name
        self._check(path, name)
        trained = TrainedWith.read(path)
        if trained is not None:
            trained.check_model(self._identity)
            trained.warn_of_copies(self._identity)
        from vllm.lora.request import LoRARequest

        request = LoRARequest(name, self._num_loaded + 1, str(path))
        try:
            self._core.add_lora(request)
        except Exception as error:  # vLLM raises errors of many types
            raise AdapterError(
                f"vLLM cannot load the adapter {name!r} ({type(error).__name__}: {error})",
                hint="from_vllm(max_lora_rank=...) with at least the adapter's rank",
            ) from error
        self._num_loaded += 1
        self._loaded[name] = request
        self._active = name
        return name

    def use(self, name: str | None) -> None:
        """Switch to a loaded adapter, or with None back to the base model."""
        if name is not None:
            self._known(name)
        self._active = name

    def remove(self, name: str) -> None:
        """Drop an adapter; if it was active, the base model answers."""
        request = self._known(name)
        self._active = None if self._active == name else self._active
        del self._loaded[name]
        self._core.remove_lora(request.lora_int_id)

    def merge(self) -> None:
        """Raise an UnsupportedFeatureError: vLLM cannot merge adapters."""
        raise UnsupportedFeatureError(
            "vLLM merges no adapters into its weights",
            hint="VisionChat.from_pretrained(...).adapters.merge()",
        )

    def export(self, folder: Path) -> None:
        """Raise an UnsupportedFeatureError: vLLM keeps the weights in a form of its own."""
        raise UnsupportedFeatureError(
            "vLLM writes no weights",
            hint="export_merged(VisionChat.from_pretrained(..., adapter=...), folder)",
        )

    def _known(self, name: str) -> Any:
        if name not in self._loaded:
            raise AdapterError(
                f"no adapter {name!r} is loaded", expected=f"one of {', '.join(self._loaded)}"
            )
        return self._loaded[name]

    def _check(self, path: Path, name: str) -> None:
        if not self._are_enabled:
            raise AdapterError(
                "vLLM was started without adapters", hint="from_vllm(enable_lora=True)"
            )
        if name in self._loaded:
            raise AdapterError(f"there is an adapter {name!r} already", hint="name=...")
        _check_files(path)


def arguments_for(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The arguments with which vLLM can load an adapter: it reserves memory for its rank.

    Raises:
        AdapterError, UnsafeWeightsError: the folder holds no adapter that can be loaded.
    """
    path = Path(folder)
    _check_files(path)
    try:
        check_small_files(path)
        settings = read_json(path / "adapter_config.json")
        needed = max(settings.get("r") or 0, *(settings.get("rank_pattern") or {}).values(), 0)
        rank = next(rank for rank in _RANKS if rank >= needed)
    except (CheckpointError, TypeError, AttributeError, StopIteration) as error:
        raise AdapterError(
            f"{path / 'adapter_config.json'} has no rank that vLLM can load",
            expected=f"r of at most {_RANKS[-1]}",
        ) from error
    return {"enable_lora": True, "max_lora_rank": rank}


def _check_files(path: Path) -> None:
    if not (path / "adapter_config.json").is_file():
        raise AdapterError(f"{path} holds no adapter", expected="adapter_config.json in it")
    if not (path / "adapter_model.safetensors").is_file():
        raise UnsafeWeightsError(
            f"{path} holds no adapter_model.safetensors",
            expected="weights as safetensors; pickled ones could run code",
        )
