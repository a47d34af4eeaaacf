"""Prefill: the prompts of requests, computed in groups, and no part of them twice.

A prompt is looked up in the prefix cache first; only the rest of it is computed. A prefix that
several waiting prompts have in common is computed once, before them. Prompts that remain are
computed together, if little of the batch would be padding. A long prompt is computed in `chunks`.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

from qwenvl_kit.backends.local.cache.cache_key import common_length
from qwenvl_kit.backends.local.cache.kv_cache import CacheState, select_rows
from qwenvl_kit.backends.local.cache.prefix_cache import Prefix, PrefixCache
from qwenvl_kit.backends.local.engine.chunks import ALONE_CHUNK_TOKENS, chunk_stops
from qwenvl_kit.backends.local.engine.model_runner import ModelRunner, PrefillOutput
from qwenvl_kit.backends.local.engine.request import EngineRequest
from qwenvl_kit.backends.local.engine.vision_encoder import Features, VisionEncoder

_SHARED_TOKENS = 64
"""The least length of a common prefix that is computed once, before the prompts that have it."""

_SYSTEM_TOKENS = 256
"""The least length of a system message after which a state is kept. Keeping it takes a pass of its
own, which must be short beside the rest if no other prompt comes."""

_TOGETHER_TOKENS = 4096
"""Most tokens, padding included, of prompts that are computed together: with more, a single pass
keeps a machine busy."""

_MAX_PADDING = 0.25
"""The largest share of padding in what is computed together."""


@dataclass(frozen=True)
class PrefillGroup:
    """Requests whose prompts are computed in one forward pass.

    Attributes:
        requests: the requests.
        prefix: the prefix that they have in common and that is in the cache; None if there is none.
        stop: the place up to which the only request is computed for now, because others begin
            with the same tokens; None computes all of each.
    """

    requests: Sequence[EngineRequest]
    prefix: Prefix | None
    stop: int | None = None

    @property
    def start(self) -> int:
        """The number of tokens that are computed already, the same for each request."""
        return 0 if self.prefix is None else self.prefix.length


@dataclass(frozen=True)
class PrefillResult:
    """The result of computing a group.

    Attributes:
        output: the KV cache and the last logits; None if only a common prefix was computed.
        vision_seconds: the time that the vision encoder took.
        prefill_seconds: the time that the language model took.
    """

    output: PrefillOutput | None
    vision_seconds: float
    prefill_seconds: float


class Prefill:
    """Computes the prompts of requests.

    Args:
        runner: runs the language model.
        vision: gives the features of pictures and videos.
        prefixes: the prefix cache.
        is_croppable: True if the KV cache of a longer prompt serves a shorter one.
    """

    def __init__(
        self,
        runner: ModelRunner,
        vision: VisionEncoder,
        prefixes: PrefixCache,
        *,
        is_croppable: bool,
    ) -> None:
        self._runner = runner
        self._vision = vision
        self._prefixes = prefixes
        self._is_croppable = is_croppable

    def next_group(self, waiting: Sequence[EngineRequest]) -> PrefillGroup:
        """Choose the requests that are computed next: the first one, and those that go with it.

        The caller asks again after each group, as the next one may use what that left in the
        prefix cache.
        """
        first, *others = waiting
        prefix = self._find(first)
        shared = self._shared_length(first, others, 0 if prefix is None else prefix.length)
        if shared and not first.begun_tokens and self._prefixes.is_open:
            return PrefillGroup([first], prefix, shared)
        return self._with_companions(PrefillGroup([first], prefix), others)

    def num_shared(self, requests: Sequence[EngineRequest]) -> int:
        """The length of the prefix that requests hold once when they run together."""
        if len(requests) < 2 or self._prefixes.max_bytes < max(r.cache_bytes for r in requests):
            return 0
        first, *others = (request.prompt_cache_key for request in requests)
        length = min(common_length(first, other) for other in others)
        may_share = self._is_croppable and self._runner.may_share(length, len(requests))
        return length if may_share else 0

    def run(
        self, group: PrefillGroup, chunk_tokens: int = ALONE_CHUNK_TOKENS
    ) -> Iterator[PrefillResult | None]:
        """Compute a group, and keep in the prefix cache what other prompts may begin with.

        Args:
            group: the group.
            chunk_tokens: the length of the chunks in which a single prompt is computed.

        Returns:
            None after the vision encoder and after each chunk, when the caller may do other
            things or give up; then the result.
        """
        started = time.perf_counter()
        features, vision_seconds = self._features(group)
        if vision_seconds:
            yield None
        started, output, waited = time.perf_counter(), None, 0.0
        for output in self._passes(group, features, chunk_tokens):
            if output is None:
                paused = time.perf_counter()
                yield None
                waited += time.perf_counter() - paused
        seconds = time.perf_counter() - started - waited
        for request in group.requests:
            is_first = not request.sequence.token_ids  # not one that is computed once more
            if output is not None and is_first:
                request.reused_tokens = max(0, group.start - request.begun_tokens)
                self._prefixes.note(found=request.reused_tokens > 0)
            request.timings.vision += vision_seconds
            request.timings.prefill += seconds
        yield PrefillResult(output, vision_seconds, seconds)

    def _passes(
        self, group: PrefillGroup, features: Sequence[dict[int, Features]], chunk_tokens: int
    ) -> Iterator[PrefillOutput | None]:
        """Compute a group; None after each pass but the last, and then the output if there is one.

        The beginning of a prompt, up to `stop`, is kept for the others that begin with it.
        """
        state = None if group.prefix is None else group.prefix.state()
        if len(group.requests) > 1:
            yield self._run_together(group, state, features)
            return
        (request,) = group.requests
        end = request.num_tokens if group.stop is None else group.stop
        kept = [at for at in self._branches(request, group.start) if at < end]
        for stop in kept if group.stop is None else [*kept, end]:
            output = yield from self._read(request, stop, state, features, chunk_tokens)
            state = output.state
            self._prefixes.keep(request.cache_key.first(stop), state)
            yield None
        if group.stop is not None:
            request.begun_tokens += end - group.start
            return
        output = yield from self._read(request, end, state, features, chunk_tokens)
        self._keep(group, output)
        yield output

    def _read(
        self,
        request: EngineRequest,
        stop: int,
        state: CacheState | None,
        features: Sequence[dict[int, Features]],
        chunk_tokens: int,
    ) -> Generator[None, None, PrefillOutput]:
        """Compute one prompt from a state up to a place, and pause after each chunk."""
        start = 0 if state is None else state.length
        stops = chunk_stops(start, stop, chunk_tokens)
        if len(stops) == 1:
            return self._runner.prefill([request], start, stops, state, features)
        outputs = self._runner.prefill_in_chunks(request, start, stops, state, features[0])
        output = next(outputs)
        for _ in stops[1:]:
            yield
            output = next(outputs)
        return output

    def _run_together(
        self,
        group: PrefillGroup,
        state: CacheState | None,
        features: Sequence[dict[int, Features]],
    ) -> PrefillOutput:
        """Compute several prompts to their ends."""
        stops = [request.num_tokens for request in group.requests]
        if state is not None and not self._is_croppable and len(set(stops)) > 1:
            return self._runner.prefill_without_padding(group.requests, state, features)
        output = self._runner.prefill(group.requests, group.start, stops, state, features)
        self._keep(group, output)
        return output

    def keep_answer(self, request: EngineRequest, state: CacheState | None) -> None:
        """Keep the state after a prompt with its answer, for the next turn of the conversation."""
        if state is not None and self._prefixes.is_open:
            self._prefixes.keep(request.cache_key.first(state.length), state)

    def _find(self, request: EngineRequest) -> Prefix | None:
        """The cached prefix of a request, unless it is so short that a pass without it is faster.

        A pass from the first token needs no mask, and attention is faster without one.
        """
        found = self._prefixes.find(request.cache_key)
        least = min(_SHARED_TOKENS, request.num_tokens // 2)
        return None if found is not None and found.length < least else found

    def _shared_length(
        self, first: EngineRequest, others: Sequence[EngineRequest], computed: int
    ) -> int:
        """The length of a prompt's longest prefix that any other prompt has too.

        0 if little of it is still to be computed.
        """
        lengths = (common_length(first.cache_key, other.cache_key) for other in others)
        shared = min(max(lengths, default=0), first.num_tokens - 1)  # the last logits are needed
        if not self._is_croppable:  # the cache finds only states at the places where it kept one
            shared = max((at for at in self._branches(first, 0) if at <= shared), default=0)
        return shared if shared >= computed + _SHARED_TOKENS else 0

    def _with_companions(
        self, group: PrefillGroup, waiting: Sequence[EngineRequest]
    ) -> PrefillGroup:
        """The group together with the waiting requests that can be computed in the same pass."""
        for request in waiting:
            if request.is_scored != group.requests[0].is_scored:
                continue
            found = self._find(request)
            if (found is None) != (group.prefix is None):
                continue
            prefix = self._common_prefix(group, request, found)
            larger = PrefillGroup([*group.requests, request], prefix)
            if (prefix is None) == (found is None) and self._is_economical(larger):
                group = larger
        return PrefillGroup(sorted(group.requests, key=lambda r: r.num_tokens), group.prefix)

    def _common_prefix(
        self, group: PrefillGroup, request: EngineRequest, found: Prefix | None
    ) -> Prefix | None:
        """The cached prefix of both a group and a request, if it is nearly all that is cached."""
        if group.prefix is None or found is None:
            return None
        common = common_length(group.requests[0].cache_key, request.cache_key)
        length = min(group.start, found.length, common)
        is_near = max(group.start, found.length) - length < _SHARED_TOKENS
        is_usable = self._is_croppable or length == group.start == found.length
        return group.prefix.cropped(length) if is_near and is_usable and length else None

    def _is_economical(self, group: PrefillGroup) -> bool:
        """True if a group is small enough, and little of it is padding."""
        widths = [request.num_tokens - group.start for request in group.requests]
        area = max(widths) * len(widths)
        if group.prefix is not None and not self._is_croppable:
            shortest = group.start + min(widths)
            spans = (span for request in group.requests for span in request.prompt.spans)
            if any(span.end > shortest for span in spans):
                return False  # a picture is computed whole
        return area <= _TOGETHER_TOKENS and area - sum(widths) <= _MAX_PADDING * area

    def _branches(self, request: EngineRequest, start: int) -> list[int]:
        """The places at which other prompts are likely to differ from this one.

        A cache that cannot be cropped must keep its state at these places; others need none.
        """
        if self._is_croppable:
            return []
        prompt, branches = request.prompt, list[int]()
        if start + _SYSTEM_TOKENS <= prompt.system_end < request.num_tokens:
            branches.append(prompt.system_end)
        for at in (*(span.end for span in prompt.spans[-1:]), prompt.turn_start):
            if at >= max([start, *branches]) + _SHARED_TOKENS and at < request.num_tokens:
                branches.append(at)
        return branches

    def _features(self, group: PrefillGroup) -> tuple[list[dict[int, Features]], float]:
        """The features of the media in the part that is computed, and the seconds they took.

        The features of each request are given by the numbers of its pictures and videos.
        """
        wanted = [
            request.media_between(group.start, group.stop or request.num_tokens)
            for request in group.requests
        ]
        media = {
            request.digests[at]: request.media[at]
            for request, places in zip(group.requests, wanted)
            for at in places
        }
        if not media:
            return [{} for _ in group.requests], 0.0
        started = time.perf_counter()
        made = self._vision.encode(media)
        features = [
            {at: made[request.digests[at]] for at in places}
            for request, places in zip(group.requests, wanted)
        ]
        return features, time.perf_counter() - started

    def _keep(self, group: PrefillGroup, output: PrefillOutput) -> None:
        """Keep the prompts of a group in the prefix cache."""
        if not self._is_croppable or not self._prefixes.is_open:
            return
        if len(group.requests) == 1:
            self._prefixes.keep(group.requests[0].cache_key, output.state)
        elif group.prefix is None:
            for row, request in enumerate(group.requests):
                num_skipped = output.state.length - request.num_tokens
                self._prefixes.keep(
                    request.cache_key, select_rows(output.state, [row], num_skipped)
                )
