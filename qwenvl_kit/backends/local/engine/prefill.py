"""Reads the prompts of requests: together where that pays, and no part of them twice."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from qwenvl_kit.backends.local.cache.kv_cache import CacheState, select_rows
from qwenvl_kit.backends.local.cache.prefix_cache import Prefix, PrefixStore
from qwenvl_kit.backends.local.cache.token_sequences import common_length
from qwenvl_kit.backends.local.engine.model_runner import Computed, Forward
from qwenvl_kit.backends.local.engine.request import Job
from qwenvl_kit.backends.local.engine.vision_encoder import Features, VisionEncoder

_SHARED_TOKENS = 64
"""What prompts have in common is computed first, and once, if it is at least so long."""

_TOGETHER_TOKENS = 4096
"""Prompts are read together up to so many tokens; beyond, one pass keeps a machine busy."""

_MAX_PADDING = 0.25
"""How much of what is read together may be padding."""


@dataclass(frozen=True)
class Group:
    """Requests whose prompts are read in one pass.

    Attributes:
        jobs: the requests.
        base: what they have in common, and which was computed before.
        stop: up to where the only one of them is read for now, as others begin like it; None
            reads all of each.
    """

    jobs: Sequence[Job]
    base: Prefix | None
    stop: int | None = None

    @property
    def start(self) -> int:
        """How many tokens of each are computed already."""
        return 0 if self.base is None else self.base.length


@dataclass(frozen=True)
class Read:
    """What reading a group gave, and how long its two parts took, in seconds.

    Nothing is given where only a beginning was read.
    """

    computed: Computed | None
    vision_seconds: float
    prefill_seconds: float


class PromptReader:
    """Computes prompts.

    Args:
        forward: runs the model.
        vision: makes features of pictures and videos.
        prefixes: what was computed before.
        is_croppable: whether what was computed for a longer prompt serves a shorter one.
    """

    def __init__(
        self, forward: Forward, vision: VisionEncoder, prefixes: PrefixStore, *, is_croppable: bool
    ) -> None:
        self._forward = forward
        self._vision = vision
        self._prefixes = prefixes
        self._is_croppable = is_croppable

    def next_group(self, waiting: Sequence[Job]) -> Group:
        """Which of some requests are read next, and together.

        Formed anew when a group has been read, for what that left is of use to the next.
        """
        first, *others = waiting
        base = self._found(first)
        shared = self._shared_length(first, others, 0 if base is None else base.length)
        if shared and not first.begun_tokens and self._prefixes.is_open:
            return Group([first], base, shared)
        return self._companions(Group([first], base), others)

    def num_shared(self, jobs: Sequence[Job]) -> int:
        """How many positions requests will hold once when they run together."""
        if len(jobs) < 2 or self._prefixes.max_bytes < max(job.cache_bytes for job in jobs):
            return 0
        first, *others = (job.prompt_sequence for job in jobs)
        length = min(common_length(first, other) for other in others)
        may_share = self._is_croppable and self._forward.may_share(length, len(jobs))
        return length if may_share else 0

    def read(self, group: Group) -> Read:
        """The cache and the logits of the last token of each prompt."""
        started = time.perf_counter()
        features, vision_seconds = self._features(group)
        computed = None
        if group.stop is None:
            computed = self._finish(group, features)
        else:
            self._begin(group, group.stop, features)
        seconds = time.perf_counter() - started - vision_seconds
        for job in group.jobs:
            if computed is not None and not job.row.token_ids:  # not one computed once more
                job.reused_tokens = max(0, group.start - job.begun_tokens)
                self._prefixes.note(found=job.reused_tokens > 0)
            job.times.vision += vision_seconds
            job.times.prefill += seconds
        return Read(computed, vision_seconds, seconds)

    def _begin(self, group: Group, stop: int, features: Sequence[dict[int, Features]]) -> None:
        """Read the beginning of a prompt, and keep it for those that begin alike."""
        (job,) = group.jobs
        base = None if group.base is None else group.base.state()
        branches = [at for at in self._branches(job, group.start) if at < stop]
        self._read_parts(job, base, [*branches, stop], features)
        job.begun_tokens += stop - group.start

    def _finish(self, group: Group, features: Sequence[dict[int, Features]]) -> Computed:
        """Read each prompt to its end."""
        base = None if group.base is None else group.base.state()
        if len(group.jobs) == 1:
            branches = self._branches(group.jobs[0], group.start)
            base = self._read_parts(group.jobs[0], base, branches, features)
        stops = [job.num_tokens for job in group.jobs]
        if base is not None and not self._is_croppable and len(set(stops)) > 1:
            return self._forward.read_in_turn(group.jobs, base, features)
        start = 0 if base is None else base.length
        done = self._forward.read(group.jobs, start, stops, base, features)
        self._keep(group, done)
        return done

    def _read_parts(
        self,
        job: Job,
        base: CacheState | None,
        stops: Sequence[int],
        features: Sequence[dict[int, Features]],
    ) -> CacheState | None:
        """Read one prompt up to each of these places, and keep what there is then."""
        start = 0 if base is None else base.length
        for stop in stops:
            base = self._forward.read([job], start, [stop], base, features).state
            self._prefixes.keep(job.sequence.first(stop), base)
            start = stop
        return base

    def keep_answer(self, job: Job, state: CacheState | None) -> None:
        """Keep a prompt with its answer, which a conversation goes on from."""
        if state is not None and self._prefixes.is_open:
            self._prefixes.keep(job.sequence.first(state.length), state)

    def _found(self, job: Job) -> Prefix | None:
        """What is computed of it already, unless that is so little that a pass without is faster.

        A pass from the very beginning needs no mask, for which attention has a faster way.
        """
        found = self._prefixes.find(job.sequence)
        is_little = found is not None and found.length < min(_SHARED_TOKENS, job.num_tokens // 2)
        return None if is_little else found

    def _shared_length(self, first: Job, others: Sequence[Job], computed: int) -> int:
        """What a prompt has in common with any other, if much of it is not computed yet; else 0."""
        shared = max((common_length(first.sequence, job.sequence) for job in others), default=0)
        shared = min(shared, first.num_tokens - 1)  # the last token's logits are needed
        if not self._is_croppable:  # only what is kept of it can be found again
            shared = max((at for at in self._branches(first, 0) if at <= shared), default=0)
        return shared if shared >= computed + _SHARED_TOKENS else 0

    def _companions(self, group: Group, waiting: Sequence[Job]) -> Group:
        """The group with those that can be read along with it."""
        for job in waiting:
            found = self._found(job)
            if (found is None) != (group.base is None):
                continue
            base = self._common_base(group, job, found)
            larger = Group([*group.jobs, job], base)
            if (base is None) == (found is None) and self._is_economical(larger):
                group = larger
        return Group(sorted(group.jobs, key=lambda job: job.num_tokens), group.base)

    def _common_base(self, group: Group, job: Job, found: Prefix | None) -> Prefix | None:
        """What a request has in common with a group, if that is nearly all that is computed."""
        if group.base is None or found is None:
            return None
        length = min(group.start, found.length, common_length(group.jobs[0].sequence, job.sequence))
        is_near = max(group.start, found.length) - length < _SHARED_TOKENS
        is_usable = self._is_croppable or length == group.start == found.length
        return group.base.cropped(length) if is_near and is_usable and length else None

    def _is_economical(self, group: Group) -> bool:
        widths = [job.num_tokens - group.start for job in group.jobs]
        area = max(widths) * len(widths)
        if group.base is not None and not self._is_croppable:
            shortest = group.start + min(widths)
            if any(span.end > shortest for job in group.jobs for span in job.prompt.spans):
                return False  # a picture is read whole
        return area <= _TOGETHER_TOKENS and area - sum(widths) <= _MAX_PADDING * area

    def _branches(self, job: Job, start: int) -> list[int]:
        """Where other prompts are likely to part from this one, if that must be known before."""
        if self._is_croppable:
            return []
        wanted = [*(span.end for span in job.prompt.spans[-1:]), job.prompt.turn_start]
        branches: list[int] = []
        for at in wanted:
            if at >= max([start, *branches]) + _SHARED_TOKENS and at < job.num_tokens:
                branches.append(at)
        return branches

    def _features(self, group: Group) -> tuple[list[dict[int, Features]], float]:
        """The features of what is shown in the part that is computed, and the seconds it took."""
        wanted = [
            job.media_between(group.start, group.stop or job.num_tokens) for job in group.jobs
        ]
        media = {
            job.digests[at]: job.media[at]
            for job, places in zip(group.jobs, wanted)
            for at in places
        }
        if not media:
            return [{} for _ in group.jobs], 0.0
        started = time.perf_counter()
        made = self._vision.encode(media)
        features = [
            {at: made[job.digests[at]] for at in places} for job, places in zip(group.jobs, wanted)
        ]
        return features, time.perf_counter() - started

    def _keep(self, group: Group, done: Computed) -> None:
        """Keep what another prompt may begin with."""
        if not self._is_croppable or not self._prefixes.is_open:
            return
        if len(group.jobs) == 1:
            self._prefixes.keep(group.jobs[0].sequence, done.state)
        elif group.base is None:
            for row, job in enumerate(group.jobs):
                num_skipped = done.state.length - job.num_tokens
                self._prefixes.keep(job.sequence, select_rows(done.state, [row], num_skipped))
