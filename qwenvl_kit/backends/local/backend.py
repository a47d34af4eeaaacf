"""The local backend: a checkpoint that transformers runs in this process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qwenvl_kit.backends.base import Attribution, AttributionRequest, MemoryUse
from qwenvl_kit.backends.local.attribution.attributor import Attributor
from qwenvl_kit.backends.local.checks import are_weights_exact, check_model
from qwenvl_kit.backends.local.devices import empty_device_cache
from qwenvl_kit.backends.local.engine.engine import Engine
from qwenvl_kit.backends.local.engine_backend import EngineBackend, LoadedModel
from qwenvl_kit.backends.local.error_mapping import translated_errors
from qwenvl_kit.backends.local.lora.adapters import Adapters
from qwenvl_kit.backends.local.lora.probe import Probe
from qwenvl_kit.backends.local.memory_use import measure_memory, reset_peak
from qwenvl_kit.options import MAX_QUEUED_REQUESTS


class LocalBackend(EngineBackend):
    """A backend that runs requests on a model of transformers in this process.

    Args:
        loaded: the checkpoint.
        max_cache_bytes: most bytes of computed prompts and features that are kept for later use.
        max_queued_requests: most requests that wait while others run.
        has_static_decode: True to decode with fixed shapes what can be, as CUDA graphs on a GPU.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        max_cache_bytes: int = 2**30,
        max_queued_requests: int = MAX_QUEUED_REQUESTS,
        *,
        has_static_decode: bool = False,
    ) -> None:
        model, processor, family = loaded.model, loaded.processor, loaded.rules.family
        engine = Engine(
            model,
            processor,
            family,
            loaded.end_ids,
            rules=loaded.generation,
            max_cache_bytes=max_cache_bytes,
            max_queued_requests=max_queued_requests,
            has_static_decode=has_static_decode,
        )
        super().__init__(loaded, engine)
        self._adapters = Adapters(
            model,
            Probe(model, processor, family),
            engine.scheduler.paused,
            on_change=engine.clear_cache,
            on_failure=self.close,
            identity=loaded.identity,
            folder=loaded.folder,
        )

    @property
    def model(self) -> Any:
        """The model of transformers itself, for uses that the kit does not cover."""
        return self._loaded.model

    @property
    def processor(self) -> Any:
        """The checkpoint's processor itself."""
        return self._loaded.processor

    @property
    def adapters(self) -> Adapters:
        """The LoRA adapters of the model."""
        return self._adapters

    def report(self) -> Mapping[str, str]:
        """Facts about the loaded model, in words."""
        facts = {**self._loaded.facts, "adapter": self._adapters.active or "none"}
        static = self._engine.static
        if static is not None and static.reason:
            facts["cuda_graphs"] = f"off ({static.reason})"
        return facts

    def memory(self) -> MemoryUse:
        """The memory that the model and its caches take."""
        with translated_errors():
            return measure_memory(self._loaded.model, self._engine)

    def reset_peak_memory(self) -> None:
        """Set the peak of each GPU back to what is taken now."""
        reset_peak(self._loaded.model)

    def check_model(self) -> Mapping[str, str]:
        """Return the trouble that each check of the loaded model found."""
        model = self._loaded.model
        with self._engine.scheduler.paused(), translated_errors():
            return check_model(model, is_exact=are_weights_exact(model))

    def attribute(self, asked: AttributionRequest) -> Attribution:
        """Run a pass over a prompt and its answer; see `Backend.attribute`."""
        engine, model = self._engine, self._loaded.model
        with translated_errors():
            return Attributor(model, engine).run(asked)

    def close(self) -> None:
        """Release the model; see `EngineBackend.close`."""
        super().close()
        self._adapters.close()
        empty_device_cache()
