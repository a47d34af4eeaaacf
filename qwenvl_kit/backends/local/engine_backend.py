"""The base of backends that run the engine in this process, whatever runs the model itself."""

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
    Backend,
    BackendRequest,
    CacheInfo,
    Completion,
    KnownMedia,
    Load,
    Observer,
    Work,
    closed_error,
)
from qwenvl_kit.backends.local.devices import on_cpu
from qwenvl_kit.backends.local.engine.engine import Engine
from qwenvl_kit.backends.local.error_mapping import translated_errors
from qwenvl_kit.backends.local.memory import free_bytes
from qwenvl_kit.budget.measures import PlanningRules
from qwenvl_kit.checkpoints.trained_with import ModelIdentity
from qwenvl_kit.geometry import Size
from qwenvl_kit.messages.message import Message
from qwenvl_kit.options import Sampling
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


_BACKENDS: weakref.WeakSet[EngineBackend] = weakref.WeakSet()


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


class EngineBackend(Backend):
    """A backend that runs requests on an engine in this process.

    One thread runs the model for all requests. They are decoded as one batch and share the common
    prefixes of their prompts, and each gets the answer that it would get alone.

    Args:
        loaded: the checkpoint.
        engine: runs its model.
    """

    def __init__(self, loaded: LoadedModel, engine: Engine) -> None:
        self._state: LoadedModel | None = loaded
        self._parts: Engine | None = engine
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

    def _reset_after_fork(self) -> None:
        """Reset the backend in a forked process."""
        if self._parts is not None:
            self._parts.reset_after_fork()
