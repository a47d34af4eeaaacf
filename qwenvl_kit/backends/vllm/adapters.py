"""The LoRA adapters of a model that vLLM runs. A request uses the adapter that is active then."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from qwenvl_kit.errors import AdapterError, UnsafeWeightsError, UnsupportedFeatureError


class VllmAdapters:
    """The adapters of a model by their names; an `AdapterSet`.

    Args:
        core: vLLM's `LLMEngine`.
        are_enabled: True if it was started with `enable_lora=True`.
    """

    def __init__(self, core: Any, *, are_enabled: bool) -> None:
        self._core = core
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
            AdapterError: vLLM cannot load it or was started without adapters, or the name is taken.
            UnsafeWeightsError: its weights are pickled.
        """
        path = Path(folder)
        name = path.name if name is None else name
        self._check(path, name)
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
        if not (path / "adapter_config.json").is_file():
            raise AdapterError(f"{path} holds no adapter", expected="adapter_config.json in it")
        if not (path / "adapter_model.safetensors").is_file():
            raise UnsafeWeightsError(
                f"{path} holds no adapter_model.safetensors",
                expected="weights as safetensors; pickled ones could run code",
            )
