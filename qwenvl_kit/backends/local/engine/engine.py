"""The engine: it turns the requests of a chat into engine requests, and runs them on one model.

A request goes from `Engine.submit` through these modules, in this order:

- `request`: its prompt, positions, media and answer, as one `EngineRequest`;
- `scheduler`: the thread that runs the model; it takes requests from the `request_queue`;
- `prefill`: the prompt is computed, with the features of `vision_encoder`, by the `model_runner`;
- `sampler`: each next token is chosen, within the `grammar` if there is one;
- `decode`: the batch in which the `sequence` gets one token each step, until it ends; or
  `scoring`, where answers are given.

The future that `submit` returns then completes.
"""

from __future__ import annotations

from collections import abc
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any

from qwenvl_kit.backends.admission import deadline_after
from qwenvl_kit.backends.base import BackendRequest, CacheInfo, Completion, KnownMedia, Observer
from qwenvl_kit.backends.local.cache.cascade_attention import offer_shared_attention
from qwenvl_kit.backends.local.cache.kv_cache import check_layers, is_croppable
from qwenvl_kit.backends.local.cache.prefix_cache import BEGINNINGS, PREFIXES, PrefixCache
from qwenvl_kit.backends.local.cache.store import CacheStore
from qwenvl_kit.backends.local.devices import empty_device_cache, on_cpu
from qwenvl_kit.backends.local.engine.decode import DecodeBatch
from qwenvl_kit.backends.local.engine.grammar import GrammarCompiler
from qwenvl_kit.backends.local.engine.model_runner import ModelRunner
from qwenvl_kit.backends.local.engine.prefill import Prefill
from qwenvl_kit.backends.local.engine.prompt_lookup import LookupRules
from qwenvl_kit.backends.local.engine.request import EngineRequest
from qwenvl_kit.backends.local.engine.sampler import SamplerSettings
from qwenvl_kit.backends.local.engine.scheduler import Scheduler
from qwenvl_kit.backends.local.engine.scoring import GivenAnswer, Scorer, ScoringRequest
from qwenvl_kit.backends.local.engine.sequence import Sequence
from qwenvl_kit.backends.local.engine.static_decode import StaticDecoder
from qwenvl_kit.backends.local.engine.vision_encoder import (
    FEATURES,
    Features,
    VisionEncoder,
    digest_of,
)
from qwenvl_kit.backends.local.keywords import check_forward, check_inputs
from qwenvl_kit.backends.local.memory import free_bytes
from qwenvl_kit.errors import GenerationError
from qwenvl_kit.families import PLACE_MARKS, Family
from qwenvl_kit.media.types import DecodedMedia, Link
from qwenvl_kit.plans import ImagePlan, VideoPlan
from qwenvl_kit.processing.detokenizer import Vocabulary
from qwenvl_kit.processing.generation_rules import GenerationRules
from qwenvl_kit.processing.patches import PatchEncoder
from qwenvl_kit.processing.positions import PositionEncoder
from qwenvl_kit.processing.prompt_encoder import PromptEncoder


class Engine:
    """Runs the requests for one model.

    Args:
        model: the model of transformers.
        processor: the checkpoint's processor.
        family: the checkpoint's family.
        end_ids: the tokens that end an answer.
        rules: the rules of generation_config.json, which hold for every request.
        max_cache_bytes: the most bytes of prompts and features that are kept between requests.
        max_queued_requests: the most requests that wait while others run.
        has_static_decode: True to decode with fixed shapes what can be.
        runner: runs the model's passes; None if transformers does.

    Attributes:
        encoder: encodes conversations as prompts.
        patches: encodes pixels as patches.
        positions: computes M-RoPE positions.
        store: keeps features and KV caches between requests.
        vision: gives the features of pictures and videos.
        scheduler: runs the requests.
        static: decodes with fixed shapes; None if nothing is.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        family: Family,
        end_ids: frozenset[int],
        *,
        rules: GenerationRules,
        max_cache_bytes: int,
        max_queued_requests: int,
        has_static_decode: bool = False,
        runner: ModelRunner | None = None,
    ) -> None:
        check_layers(model)
        check_inputs(model, processor, family)
        if runner is None:
            check_forward(model)
            offer_shared_attention(model)
            runner = ModelRunner(model, int(processor.tokenizer.pad_token_id))
        self._model = model
        self.encoder = PromptEncoder(processor, family)
        self.patches = PatchEncoder(processor, family)
        self.positions = PositionEncoder(model, family)
        self.store = CacheStore(max_cache_bytes)
        self.vision = VisionEncoder(model, self.patches, self.store)
        self._rules = rules
        self._vocabulary = Vocabulary(processor.tokenizer, end_ids)
        self._grammars = GrammarCompiler(processor.tokenizer, end_ids)
        croppable = is_croppable(model)
        self._lookup = LookupRules(processor.tokenizer, family, end_ids, is_croppable=croppable)
        prefixes = PrefixCache(self.store)
        prefill = Prefill(runner, self.vision, prefixes, is_croppable=croppable)
        self.static = StaticDecoder(model, runner) if has_static_decode else None
        batch = DecodeBatch(model, runner, self.static)
        scorer = Scorer(model, runner, end_ids)
        self.scheduler = Scheduler(
            prefill,
            batch,
            scorer,
            self,
            device_type=model.device.type,
            max_waiting=max_queued_requests,
        )

    def submit(
        self, request: BackendRequest, observer: Observer | None = None
    ) -> Future[Completion]:
        """Queue a request, and return the future of its completion.

        It runs together with the other requests of the time, and gets the answer that it would
        get alone.
        """
        engine_request = self._engine_request(request, observer)
        self.scheduler.submit(engine_request)
        return engine_request.future

    def score(
        self, request: BackendRequest, answers: abc.Sequence[str], observer: Observer | None = None
    ) -> Future[tuple[Completion, ...]]:
        """Queue a request whose answers are given, and return the future of their completions.

        Raises:
            SchemaError: an answer holds a special token that is no mark of a place.
        """
        spelled = self._grammars.spelled(answers, "answers", marks=PLACE_MARKS)
        given = [*map(GivenAnswer, answers, spelled)]
        engine_request = self._engine_request(request, observer, given)
        self.scheduler.submit(engine_request)
        return engine_request.future

    def recall(self, key: str) -> KnownMedia | None:
        """The features of a picture or video by the key of its source; None if not kept."""
        return self.vision.recall_source(key)

    def cache_info(self) -> CacheInfo:
        """The contents of the caches between requests, in numbers and bytes."""
        num_media, media_bytes = self.store.count(FEATURES)
        num_prompts, prompt_bytes = self.store.count(PREFIXES)
        return CacheInfo(
            max_bytes=self.store.max_bytes,
            used_bytes=self.store.used_bytes,
            num_media=num_media,
            media_bytes=media_bytes,
            num_prompts=num_prompts,
            prompt_bytes=prompt_bytes + self.store.count(BEGINNINGS)[1],
            hits=self.store.hits,
            misses=self.store.misses,
        )

    def free_bytes(self) -> int | None:
        """The memory in bytes that requests may take on the model's device; None if not known.

        Static decode keeps its buffers between requests, which use them again.
        """
        free = free_bytes(self._model)
        return None if free is None else free + self.buffer_bytes

    @property
    def buffer_bytes(self) -> int:
        """The size of the buffers of static decode in bytes."""
        return 0 if self.static is None else self.static.num_bytes

    def clear_cache(self) -> int:
        """Drop everything that is kept between requests, and return the bytes that it took."""
        freed = self.store.clear()
        if self.static is not None:
            with self.scheduler.idle() as is_idle:
                if is_idle:
                    freed += self.static.release()
                else:
                    self.static.note_change()
        empty_device_cache()
        return freed

    def reset_after_fork(self) -> None:
        """Go on in a forked process, which has neither the threads nor the owners of the locks."""
        self.store.reset_after_fork()
        self.scheduler.reset_after_fork()

    def _engine_request(
        self,
        request: BackendRequest,
        observer: Observer | None,
        answers: abc.Sequence[GivenAnswer] = (),
    ) -> EngineRequest:
        """The engine request of a request: its prompt, positions and media are ready to run."""
        kind: Callable[..., EngineRequest] = EngineRequest
        if answers:
            kind = partial(ScoringRequest, answers=answers, vocabulary=self._vocabulary)
        media = list(request.plan.media.values())
        given = [_own(item) for item in request.media]
        digests = [item.digest if isinstance(item, Features) else digest_of(item) for item in given]
        for key, digest in zip(request.media_keys, digests):
            if key is not None:
                self.vision.note_source(key, digest)
        prompt = self.encoder.encode_prompt(request.messages, media)
        _check_length(request, len(prompt.ids))
        with on_cpu():
            positions = self.positions.encode_positions(prompt, media)
        max_new_tokens = request.plan.max_new_tokens
        return kind(
            prompt=prompt,
            positions=positions,
            media=given,
            digests=digests,
            media_keys=[self._media_key(*pair) for pair in zip(digests, media)],
            media_kinds=["image" if isinstance(plan, ImagePlan) else "video" for plan in media],
            sequence=self._sequence(request, prompt.ids, begins_in_thought=prompt.opens_thought),
            max_tokens=len(prompt.ids) + max_new_tokens,
            cache_bytes=request.plan.kv_cache_bytes or 0,
            observer=observer,
            deadline=deadline_after(request.sampling.max_seconds),
            lookup=self._lookup.lookup_for(request.sampling, prompt.ids, max_new_tokens),
        )

    def _sequence(
        self, request: BackendRequest, prompt_ids: abc.Sequence[int], *, begins_in_thought: bool
    ) -> Sequence:
        """The empty answer of a request, with the settings of the request and the checkpoint."""
        sampling, rules, constraint = request.sampling, self._rules, request.constraint
        settings = SamplerSettings(
            replace(sampling, stop=tuple(dict.fromkeys((*sampling.stop, *rules.stop)))),
            rules,
            prompt_ids,
            request.plan.max_new_tokens,
            self._vocabulary.end_ids,
        )
        return Sequence(
            settings,
            self._vocabulary,
            None if constraint is None else self._grammars.compile(constraint).start(),
            begins_in_thought=begins_in_thought,
        )

    def _media_key(self, digest: bytes, plan: ImagePlan | VideoPlan) -> bytes:
        """The identity of a picture or video in a prompt: its pixels, and its positions in time."""
        if isinstance(plan, VideoPlan):
            return digest + repr(self.positions.seconds_per_group(plan)).encode()
        return digest


def _own(media: DecodedMedia | KnownMedia | Link) -> DecodedMedia | Features:
    if isinstance(media, (Link, KnownMedia)) and not isinstance(media, Features):
        raise GenerationError(
            "a picture was given in a form that only another backend takes "
            f"({type(media).__name__})"
        )
    return media


def _check_length(request: BackendRequest, length: int) -> None:
    """Check that the prompt has as many tokens as its plan says.

    Raises:
        GenerationError: the processor or its template changed after the request was planned.
    """
    if length != request.plan.prompt_tokens:
        raise GenerationError(
            f"the prompt has {length} tokens where {request.plan.prompt_tokens} were planned",
            hint="do not change the processor or its template while requests are running",
        )
