"""The OpenVINO backend: the engine of the local backend, on a network that OpenVINO runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future

from qwenvl_kit.backends.base import AdapterSet, BackendRequest, Completion, MemoryUse, Observer
from qwenvl_kit.backends.local.cache.prefix_cache import BEGINNINGS, PREFIXES
from qwenvl_kit.backends.local.engine.engine import Engine
from qwenvl_kit.backends.local.engine.vision_encoder import FEATURES
from qwenvl_kit.backends.local.engine_backend import EngineBackend, LoadedModel
from qwenvl_kit.backends.local.error_mapping import translated_errors
from qwenvl_kit.backends.local.loading.trial import check_cached_step
from qwenvl_kit.backends.openvino.runner import OpenVinoRunner
from qwenvl_kit.backends.process_memory import process_memory
from qwenvl_kit.errors import GenerationError, QwenVLKitError, UnsupportedFeatureError


class OpenVinoBackend(EngineBackend):
    """A backend that runs requests on an exported model in this process.

    Args:
        loaded: the model; its `model` is an `OpenVinoNetwork`.
        is_exact: True if it computes in fp32, on weights that are not quantised.
        max_cache_bytes: most bytes of computed prompts and features that are kept for later use.
        max_queued_requests: most requests that wait while others run.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        is_exact: bool,
        max_cache_bytes: int,
        max_queued_requests: int,
    ) -> None:
        engine = Engine(
            loaded.model,
            loaded.processor,
            loaded.rules.family,
            loaded.end_ids,
            rules=loaded.generation,
            max_cache_bytes=max_cache_bytes,
            max_queued_requests=max_queued_requests,
            runner=_runner_of(loaded),
        )
        super().__init__(loaded, engine)
        self._is_exact = is_exact
        self._process = os.getpid()

    @property
    def adapters(self) -> AdapterSet:
        """The LoRA adapters of the model: none can be added to a compiled graph."""
        raise UnsupportedFeatureError(
            "an exported model takes no adapters",
            hint="qwenvl_kit.training.export_merged, then export that; or "
            "VisionChat.from_pretrained",
        )

    def report(self) -> Mapping[str, str]:
        """Facts about the loaded model, in words."""
        return self._loaded.facts

    def memory(self) -> MemoryUse:
        """The memory of the process, and of what is kept; OpenVINO does not tell its own."""
        taken, peak = process_memory()
        store = self._engine.store
        return MemoryUse(
            device="cpu",
            weight_bytes=self._loaded.rules.weight_bytes,
            prompt_bytes=store.count(PREFIXES)[1] + store.count(BEGINNINGS)[1],
            feature_bytes=store.count(FEATURES)[1],
            running_bytes=self._engine.scheduler.running_bytes,
            taken_bytes=taken,
            peak_bytes=peak,
        )

    def check_model(self) -> Mapping[str, str]:
        """Return the trouble that was found with keys and values that OpenVINO keeps."""
        trouble = ""
        with self._engine.scheduler.paused():
            try:
                with translated_errors():
                    self.check_cache()
            except QwenVLKitError as error:
                trouble = str(error)
        return {"cached step equals uncached": trouble}

    def check_cache(self) -> None:
        """Check that a step after a state gives the logits of one whole pass.

        Raises:
            OutdatedPackageError: it does not.
        """
        loaded = self._loaded
        check_cached_step(loaded.model, is_exact=self._is_exact, runner=_runner_of(loaded))

    def submit(
        self, request: BackendRequest, observer: Observer | None = None
    ) -> Future[Completion]:
        """Queue a request; see `EngineBackend.submit`."""
        self._check_process()
        return super().submit(request, observer)

    def score(
        self, request: BackendRequest, answers: Sequence[str], observer: Observer | None = None
    ) -> Future[tuple[Completion, ...]]:
        """Queue a request whose answers are given; see `EngineBackend.score`."""
        self._check_process()
        return super().score(request, answers, observer)

    def _check_process(self) -> None:
        """Raise an error in a forked process, which lacks OpenVINO's threads and would wait."""
        if os.getpid() != self._process:
            raise GenerationError(
                "the model was loaded into OpenVINO before this process was forked, and its "
                "threads are not here",
                hint="load it in this process, or start processes by 'spawn'",
            )


def _runner_of(loaded: LoadedModel) -> OpenVinoRunner:
    """A runner of the model. The backend keeps none, which would hold the model once closed."""
    return OpenVinoRunner(loaded.model, int(loaded.processor.tokenizer.pad_token_id))
