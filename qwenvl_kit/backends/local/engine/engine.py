"""All that runs requests on one model, put together."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from qwenvl_kit.backends.admission import deadline_after
from qwenvl_kit.backends.base import BackendRequest, CacheInfo, Completion, KnownMedia, Observer
from qwenvl_kit.backends.local.cache.cascade_attention import offer_shared_attention
from qwenvl_kit.backends.local.cache.kv_cache import check_layers, is_croppable
from qwenvl_kit.backends.local.cache.prefix_cache import BEGINNINGS, PREFIXES, PrefixStore
from qwenvl_kit.backends.local.cache.store import Storage
from qwenvl_kit.backends.local.devices import empty_device_cache, on_cpu
from qwenvl_kit.backends.local.engine.decode import Running
from qwenvl_kit.backends.local.engine.grammar import Binder
from qwenvl_kit.backends.local.engine.model_runner import Forward
from qwenvl_kit.backends.local.engine.prefill import PromptReader
from qwenvl_kit.backends.local.engine.prompt_lookup import LookupRules
from qwenvl_kit.backends.local.engine.request import Job
from qwenvl_kit.backends.local.engine.request_queue import Ticket
from qwenvl_kit.backends.local.engine.sampler import Choice
from qwenvl_kit.backends.local.engine.scheduler import Scheduler
from qwenvl_kit.backends.local.engine.sequence import Row
from qwenvl_kit.backends.local.engine.vision_encoder import (
    FEATURES,
    Features,
    VisionEncoder,
    digest_of,
)
from qwenvl_kit.backends.local.keywords import check_keywords
from qwenvl_kit.backends.local.memory import free_bytes
from qwenvl_kit.errors import GenerationError
from qwenvl_kit.families import Family
from qwenvl_kit.media.loader import DecodedMedia
from qwenvl_kit.media.remote_images import Link
from qwenvl_kit.plans import ImagePlan, VideoPlan
from qwenvl_kit.processing.detokenizer import Vocabulary
from qwenvl_kit.processing.generation_rules import GenerationRules
from qwenvl_kit.processing.patches import PatchEncoder
from qwenvl_kit.processing.positions import PositionEncoder
from qwenvl_kit.processing.prompt_encoder import PromptEncoder


class Engine:
    """Makes a job of a request, and runs it along with all others.

    Args:
        model: the model of transformers.
        processor: its processor.
        family: its family.
        end_ids: the tokens that end an answer.
        rules: what the checkpoint says of answers, whatever is asked.
        max_cache_bytes: what prompts and features that were computed may take, to be used again.
        max_queued_requests: most requests that wait while others run.
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
    ) -> None:
        check_layers(model)
        check_keywords(model, processor, family)
        offer_shared_attention(model)
        self._model = model
        self.encoder = PromptEncoder(processor, family)
        self.positions = PositionEncoder(model, family)
        self.storage = Storage(max_cache_bytes)
        self.vision = VisionEncoder(model, PatchEncoder(processor, family), self.storage)
        self._rules = rules
        self._vocabulary = Vocabulary(processor.tokenizer, end_ids)
        self._binder = Binder(processor.tokenizer, end_ids)
        forward = Forward(model, int(processor.tokenizer.pad_token_id))
        croppable = is_croppable(model)
        self._lookup = LookupRules(processor.tokenizer, family, end_ids, is_croppable=croppable)
        reader = PromptReader(
            forward, self.vision, PrefixStore(self.storage), is_croppable=croppable
        )
        self.scheduler = Scheduler(
            reader, Running(model, forward), self, model.device.type, max_queued_requests
        )

    def submit(
        self, request: BackendRequest, observer: Observer | None = None
    ) -> Future[Completion]:
        """Queue a request; it is answered along with whatever else is asked at the time."""
        future: Future[Completion] = Future()
        self.scheduler.submit(Ticket(self._job(request), future, observer))
        return future

    def recall(self, key: str) -> KnownMedia | None:
        """A picture or video by what its source is known by; None if it is not kept."""
        return self.vision.recall_source(key)

    def cache_info(self) -> CacheInfo:
        """What is kept between requests."""
        num_media, media_bytes = self.storage.count(FEATURES)
        num_prompts, prompt_bytes = self.storage.count(PREFIXES)
        return CacheInfo(
            max_bytes=self.storage.max_bytes,
            used_bytes=self.storage.used_bytes,
            num_media=num_media,
            media_bytes=media_bytes,
            num_prompts=num_prompts,
            prompt_bytes=prompt_bytes + self.storage.count(BEGINNINGS)[1],
            hits=self.storage.hits,
            misses=self.storage.misses,
        )

    def free_bytes(self) -> int | None:
        """What the model's device could give; None where not known."""
        return free_bytes(self._model)

    def let_go(self) -> int:
        """Let go of all that is kept between requests; the bytes that it took."""
        freed = self.storage.clear()
        empty_device_cache()
        return freed

    def start_over(self) -> None:
        """Go on in a forked process, which has neither the threads nor who held the locks."""
        self.storage.start_over()
        self.scheduler.start_over()

    def _job(self, request: BackendRequest) -> Job:
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
        return Job(
            prompt=prompt,
            positions=positions,
            media=given,
            digests=digests,
            media_keys=[self._media_key(*pair) for pair in zip(digests, media)],
            media_kinds=["image" if isinstance(plan, ImagePlan) else "video" for plan in media],
            max_tokens=len(prompt.ids) + request.plan.max_new_tokens,
            cache_bytes=request.plan.kv_cache_bytes or 0,
            deadline=deadline_after(request.sampling.max_seconds),
            row=Row(
                self._choice(request, prompt.ids),
                self._vocabulary,
                None if request.constraint is None else self._binder.bind(request.constraint),
                begins_in_thought=prompt.opens_thought,
            ),
            guesser=self._lookup.guesser(request.sampling, prompt.ids, request.plan.max_new_tokens),
        )

    def _choice(self, request: BackendRequest, prompt_ids: Sequence[int]) -> Choice:
        """How its tokens are chosen: as it asks, and as the checkpoint says."""
        sampling, rules = request.sampling, self._rules
        return Choice(
            replace(sampling, stop=tuple(dict.fromkeys((*sampling.stop, *rules.stop)))),
            rules,
            prompt_ids,
            request.plan.max_new_tokens,
            self._vocabulary.end_ids,
        )

    def _media_key(self, digest: bytes, plan: ImagePlan | VideoPlan) -> bytes:
        """What tells a picture or video from another in a prompt, its positions included."""
        if isinstance(plan, VideoPlan):
            return digest + repr(self.positions.seconds_per_group(plan)).encode()
        return digest


def _own(media: DecodedMedia | KnownMedia | Link) -> DecodedMedia | Features:
    if isinstance(media, (Link, KnownMedia)) and not isinstance(media, Features):
        raise GenerationError("what another backend takes was given to this one")
    return media


def _check_length(request: BackendRequest, length: int) -> None:
    """What runs has the length that was planned, or nothing runs."""
    if length != request.plan.prompt_tokens:
        raise GenerationError(
            f"the prompt has {length} tokens where {request.plan.prompt_tokens} were planned",
            hint="do not change the processor or its template while requests are running",
        )
