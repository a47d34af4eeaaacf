"""The local backend: a checkpoint that transformers runs in this process."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import PIL.Image
import torch

from qwenvl_kit.backends.base import (
    Attribution,
    AttributionRequest,
    Backend,
    BackendRequest,
    CacheInfo,
    Completion,
    KnownMedia,
    Load,
    MemoryUse,
    Observer,
    Work,
    closed_error,
)
from qwenvl_kit.backends.local.attribution.attributor import Attributor
from qwenvl_kit.backends.local.checks import are_weights_exact, check_model
from qwenvl_kit.backends.local.devices import empty_device_cache, on_cpu
from qwenvl_kit.backends.local.engine.engine import Engine
from qwenvl_kit.backends.local.error_mapping import translated_errors
from qwenvl_kit.backends.local.lora.adapters import Adapters
from qwenvl_kit.backends.local.lora.probe import Probe
from qwenvl_kit.backends.local.memory import free_bytes
from qwenvl_kit.backends.local.memory_use import measure_memory, reset_peak
from qwenvl_kit.budget.measures import PlanningRules
from qwenvl_kit.checkpoints.trained_with import ModelIdentity
from qwenvl_kit.geometry import Size
from qwenvl_kit.messages.message import Message
from qwenvl_kit.options import MAX_QUEUED_REQUESTS, Sampling
from qwenvl_kit.plans import ImagePlan, VideoPlan
from qwenvl_kit.processing.generation_rules import GenerationRules
from qwenvl_kit.processing.resizing import Resizer


@dataclass(frozen=True)
class LoadedModel:
    """A checkpoint in memory.

    Attributes:
        model: the model of transformers, in evaluation mode.
        processor: its processor.
        rules: its rules for planning.
        sampling: the settings that it was published with.
        end_ids: the ids of the tokens that end an answer.
        facts: facts about the loaded model, in words.
        generation: the other rules of its generation_config.json, which hold for every request.
        resizer: resizes pictures and frames to their planned sizes.
        identity: the checkpoint's identity, to which adapters are compared; None if not known.
        folder: the folder of the checkpoint's files; None if there is none.
    """

    model: Any
    processor: Any
    rules: PlanningRules
    sampling: Sampling
    end_ids: frozenset[int]
    facts: Mapping[str, str]
    generation: GenerationRules = field(default_factory=GenerationRules)
    resizer: Resizer = field(default_factory=Resizer)
    identity: ModelIdentity | None = None
    folder: Path | None = None


_BACKENDS: weakref.WeakSet[LocalBackend] = weakref.WeakSet()


def _reset_all_after_fork() -> None:
    """Reset all backends in a forked process, which has neither the threads nor free locks."""
    if _BACKENDS:
        torch.set_num_threads(1)
    for backend in tuple(_BACKENDS):
        backend._reset_after_fork()


def clear_all_caches() -> int:
    """Empty the caches of all models of this process, and return the bytes that they took."""
    return sum(backend.clear_cache() for backend in tuple(_BACKENDS) if backend._parts is not None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all_after_fork)


class LocalBackend(Backend):
    """A backend that runs requests on a model of transformers in this process.

    One thread runs the model for all requests. They are decoded as one batch and share the common
    prefixes of their prompts, and each gets the answer that it would get alone.

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
        self._state: LoadedModel | None = loaded
        self._parts: Engine | None = Engine(
            model,
            processor,
            family,
            loaded.end_ids,
            rules=loaded.generation,
            max_cache_bytes=max_cache_bytes,
            max_queued_requests=max_queued_requests,
            has_static_decode=has_static_decode,
        )
        self._adapters = Adapters(
            model,
            Probe(model, processor, family),
            self._engine.scheduler.paused,
            on_change=self._engine.clear_cache,
            on_failure=self.close,
            identity=loaded.identity,
            folder=loaded.folder,
        )
        _BACKENDS.add(self)

    @property
    def _loaded(self) -> LoadedModel:
        if self._state is None:
            raise closed_error()
        return self._state

    @property
    def _engine(self) -> Engine:
        if self._parts is None:
            raise closed_error()
        return self._parts

    @property
    def rules(self) -> PlanningRules:
        """The rules by which pictures, videos and prompts are planned for the model."""
        return self._loaded.rules

    @property
    def default_sampling(self) -> Sampling:
        """The settings that the checkpoint was published with.

        Raises:
            UnsupportedFeatureError: they ask for beam search, or another search.
        """
        self._loaded.generation.check_search()
        return self._loaded.sampling

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

    def free_bytes(self) -> int | None:
        """The memory that the device could give if nothing ran and the cache were empty."""
        with translated_errors():
            free = free_bytes(self._loaded.model)
            if free is None:
                return None
            engine = self._engine
            used = max(engine.scheduler.running_bytes, engine.buffer_bytes)
            return free + engine.store.used_bytes + used

    def count_prompt_tokens(
        self, messages: Sequence[Message], media: Sequence[ImagePlan | VideoPlan]
    ) -> int:
        """The length of the rendered prompt in tokens, its visual tokens as planned."""
        with translated_errors():
            return len(self._engine.encoder.encode_prompt(messages, media).ids)

    def resize_image(self, image: PIL.Image.Image, size: Size) -> PIL.Image.Image:
        """Return a decoded picture at the planned size, with the pixels of transformers."""
        with translated_errors(), on_cpu():
            return self._loaded.resizer.image(image, size)

    def resize_frame(self, image: PIL.Image.Image, size: Size) -> PIL.Image.Image:
        """Return a decoded frame of a video at the planned size, likewise."""
        with translated_errors(), on_cpu():
            return self._loaded.resizer.frame(image, size)

    @property
    def has_cache(self) -> bool:
        """True: features and computed prompts are kept between requests."""
        return True

    def recall(self, key: str) -> KnownMedia | None:
        """Return a picture or video by the key of its source; None if it is not in the cache."""
        return self._engine.recall(key)

    def cache_info(self) -> CacheInfo:
        """The contents of the cache, and how often it was of use."""
        return self._engine.cache_info()

    def clear_cache(self) -> int:
        """Empty the cache, and return the number of bytes that it took."""
        return self._engine.clear_cache()

    def load(self) -> Load:
        """The requests that wait and run at the moment."""
        return self._engine.scheduler.load

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

    def work(self) -> Work:
        """The work that was done so far."""
        return self._engine.scheduler.work

    def submit(
        self, request: BackendRequest, observer: Observer | None = None
    ) -> Future[Completion]:
        """Queue a request. It is answered along with others, as if it ran alone.

        Raises:
            OverloadError: too many requests wait.
            GenerationError: it cannot be run.
        """
        engine = self._engine
        with translated_errors():
            return engine.submit(request, observer)

    def can_score(self, request: BackendRequest) -> bool:
        """True unless the model thinks first: thoughts are generated, and answers follow them."""
        media = list(request.plan.media.values())
        with translated_errors():
            return not self._engine.encoder.encode_prompt(request.messages, media).opens_thought

    def score(
        self, request: BackendRequest, answers: Sequence[str], observer: Observer | None = None
    ) -> Future[tuple[Completion, ...]]:
        """Queue a request whose answers are given; see `Backend.score`.

        Raises:
            OverloadError: too many requests wait.
            SchemaError: an answer holds a special token that is no mark of a place.
        """
        engine = self._engine
        with translated_errors():
            return engine.score(request, answers, observer)

    def attribute(self, asked: AttributionRequest) -> Attribution:
        """Run a pass over a prompt and its answer; see `Backend.attribute`."""
        engine, model = self._engine, self._loaded.model
        with translated_errors():
            return Attributor(model, engine).run(asked)

    def gather(self) -> AbstractContextManager[object]:
        """Return a context in which an idle model begins nothing, so that a batch can form."""
        return self._engine.scheduler.gather()

    def close(self) -> None:
        """Release the model; the backend cannot be used afterwards.

        This waits for nothing, so that a signal handler may call it. A request that runs holds the
        model itself, and ends first.
        """
        engine, self._parts, self._state = self._parts, None, None
        if engine is not None:
            engine.scheduler.release()
        self._adapters.close()
        empty_device_cache()

    def _reset_after_fork(self) -> None:
        """Reset the backend in a forked process."""
        if self._parts is not None:
            self._parts.reset_after_fork()
