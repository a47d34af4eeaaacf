"""A batch of requests through a model of transformers."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import PIL.Image
import torch
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from qwenvl_kit.backends.base import BackendRequest, Completion, Observer
from qwenvl_kit.backends.local.adapters import Adapters
from qwenvl_kit.backends.local.decoding import ChooseTokens, Decoding, StopWhenEnded
from qwenvl_kit.backends.local.devices import empty_device_cache
from qwenvl_kit.backends.local.faults import translated_errors
from qwenvl_kit.backends.local.probing import Probe
from qwenvl_kit.backends.local.prompts import PromptEncoder, resize_image
from qwenvl_kit.backends.local.rows import Row
from qwenvl_kit.backends.local.shapes import free_bytes
from qwenvl_kit.backends.local.vocabulary import Vocabulary
from qwenvl_kit.budget.measures import PlanningRules
from qwenvl_kit.errors import GenerationError, ModelLoadError
from qwenvl_kit.geometry import Size
from qwenvl_kit.messages import Message
from qwenvl_kit.options import Sampling
from qwenvl_kit.plans import ImagePlan, VideoPlan


@dataclass(frozen=True)
class LoadedModel:
    """A checkpoint in memory.

    Attributes:
        model: the model of transformers, in evaluation mode.
        processor: its processor.
        rules: what it lays down for planning.
        sampling: the settings that it was published with.
        end_ids: the tokens that end an answer.
        facts: what is loaded and how, in words.
    """

    model: Any
    processor: Any
    rules: PlanningRules
    sampling: Sampling
    end_ids: frozenset[int]
    facts: Mapping[str, str]


_BACKENDS: weakref.WeakSet[LocalBackend] = weakref.WeakSet()


def _start_over_in_child() -> None:
    """In a forked process nobody releases the parent's lock, and OpenMP's threads are gone."""
    if _BACKENDS:
        torch.set_num_threads(1)
    for backend in tuple(_BACKENDS):
        backend._lock = backend._adapters.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_over_in_child)


class LocalBackend:
    """Runs requests on a model of transformers in this process; fulfils `Backend`.

    The model is used by one thread at a time: transformers keeps state of the last call in it.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self._state: LoadedModel | None = loaded
        self._encoder = PromptEncoder(loaded.processor, loaded.rules.family)
        self._vocabulary = Vocabulary(loaded.processor.tokenizer, loaded.end_ids)
        self._pad_id = int(loaded.processor.tokenizer.pad_token_id)
        self._lock = threading.Lock()
        probe = Probe(loaded.model, loaded.processor, loaded.rules.family)
        self._adapters = Adapters(loaded.model, probe, self._lock, on_failure=self.close)
        _BACKENDS.add(self)

    @property
    def _loaded(self) -> LoadedModel:
        if self._state is None:
            raise ModelLoadError(
                "the model was closed", hint="load it again, or close it after its last request"
            )
        return self._state

    @property
    def rules(self) -> PlanningRules:
        """What the model lays down for planning."""
        return self._loaded.rules

    @property
    def default_sampling(self) -> Sampling:
        """The settings that the checkpoint was published with."""
        return self._loaded.sampling

    @property
    def model(self) -> Any:
        """The model of transformers itself, for what the kit does not cover."""
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
        """What is loaded and how, in words."""
        return {**self._loaded.facts, "adapter": self._adapters.active or "none"}

    def free_bytes(self) -> int | None:
        """Memory that the model's device could still give; None where not known."""
        return free_bytes(self._loaded.model)

    def count_prompt_tokens(
        self, messages: Sequence[Message], media: Sequence[ImagePlan | VideoPlan]
    ) -> int:
        """Length of the rendered prompt in tokens, its visual tokens as planned."""
        return len(self._encoder.encode_prompt(messages, media))

    def resize_image(self, image: PIL.Image.Image, size: Size) -> PIL.Image.Image:
        """A decoded picture at the planned size, pixel for pixel as transformers' processor."""
        with torch.device("cpu"):
            return resize_image(image, size)

    def generate(
        self, requests: Sequence[BackendRequest], observer: Observer | None = None
    ) -> list[Completion]:
        """Answer all requests together, each as if it ran alone, in order.

        Raises:
            OutOfMemoryError: the device has too little memory for this batch.
            GenerationError: the model failed.
        """
        with translated_errors(), torch.inference_mode():
            with torch.device("cpu"):  # whatever torch's default device is
                batch, lengths = self._encoder.encode_batch(requests)
            _check_lengths(requests, lengths)
            rows = [
                Row(request.sampling, request.plan.max_new_tokens, length, self._vocabulary)
                for request, length in zip(requests, lengths)
            ]
            with self._lock:
                return self._generate(batch, rows, observer)

    def close(self) -> None:
        """Release the model; the backend cannot be used afterwards.

        A call that is running ends first, as it holds the model itself: so this waits for nothing
        and may be called from a signal handler.
        """
        self._state = None
        self._adapters.close()
        empty_device_cache()

    def _generate(
        self, batch: Mapping[str, torch.Tensor], rows: Sequence[Row], observer: Observer | None
    ) -> list[Completion]:
        model = self._loaded.model
        watch = Stopwatch(model)
        decoding = Decoding(rows, self._pad_id, observer, on_first_token=watch.note_first_token)
        if bool(decoding.all_ended(model.device).all()):  # cancelled while it waited its turn
            return [_completion(row, watch) for row in rows]
        device_type = model.device.type
        with watch, _defaults_set_aside(model), torch.autocast(device_type, enabled=False):
            model.generate(
                **{name: tensor.to(model.device) for name, tensor in batch.items()},
                generation_config=GenerationConfig(
                    max_new_tokens=max(row.max_new_tokens for row in rows),
                    do_sample=False,
                    pad_token_id=self._pad_id,
                ),
                logits_processor=LogitsProcessorList([ChooseTokens(decoding)]),
                stopping_criteria=StoppingCriteriaList([StopWhenEnded(decoding)]),
            )
        return [_completion(row, watch) for row in rows]


def _check_lengths(requests: Sequence[BackendRequest], lengths: Sequence[int]) -> None:
    """What runs has the length that was planned, or nothing runs."""
    for request, length in zip(requests, lengths):
        if length != request.plan.prompt_tokens:
            raise GenerationError(
                f"the prompt has {length} tokens where {request.plan.prompt_tokens} were planned",
                hint="do not change the processor or its template while requests are running",
            )


class Stopwatch:
    """Times the vision encoder, the prompt and the answer of one call of `generate`."""

    def __init__(self, model: Any) -> None:
        self._vision_tower = model.model.visual
        self._device = model.device
        self._start = self._first_token = self._end = self._vision_start = 0.0
        self.vision_seconds = 0.0

    @property
    def prefill_seconds(self) -> float:
        """From the call to the first token, without the vision encoder."""
        return max(0.0, self._first_token - self._start - self.vision_seconds)

    @property
    def decode_seconds(self) -> float:
        """From the first token to the last."""
        return max(0.0, self._end - self._first_token)

    def note_first_token(self) -> None:
        """The prompt has been read."""
        self._first_token = self._now()

    def __enter__(self) -> Stopwatch:
        self._hooks = [
            self._vision_tower.register_forward_pre_hook(lambda *_: self._begin_vision()),
            self._vision_tower.register_forward_hook(lambda *_: self._end_vision()),
        ]
        self._start = self._first_token = self._now()
        return self

    def __exit__(self, *_: object) -> None:
        self._end = self._now()
        for hook in self._hooks:
            hook.remove()

    def _begin_vision(self) -> None:
        self._vision_start = self._now()

    def _end_vision(self) -> None:
        self.vision_seconds += self._now() - self._vision_start

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)  # a GPU returns before it has finished
        return time.perf_counter()


def _completion(row: Row, watch: Stopwatch) -> Completion:
    return Completion(
        text=row.text,
        finish_reason=row.finish_reason or "length",
        tokens=tuple(row.tokens),
        end_token=row.end_token,
        completion_tokens=row.num_tokens,
        vision_seconds=watch.vision_seconds,
        prefill_seconds=watch.prefill_seconds,
        decode_seconds=watch.decode_seconds,
    )


@contextmanager
def _defaults_set_aside(model: Any) -> Iterator[None]:
    """Hide the checkpoint's own settings from `generate`.

    It fills in from them whatever is not given, so that temperature or penalties would be applied
    a second time.
    """
    published = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = published
