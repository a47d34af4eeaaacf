"""Reads the prompts of requests: together where that pays, and no part of them twice."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qwenvl_kit.backends.local.caches import CacheState, select_rows
from qwenvl_kit.backends.local.forward import Computed, Forward
from qwenvl_kit.backends.local.jobs import Job
from qwenvl_kit.backends.local.prefixes import PrefixStore, common_length
from qwenvl_kit.backends.local.vision import Features, VisionEncoder

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
        base: the cache after what they have in common, and which was computed before.
    """

    jobs: Sequence[Job]
    base: CacheState | None

    @property
    def start(self) -> int:
        """How many tokens of each are computed already."""
        return 0 if self.base is None else self.base.length


@dataclass(frozen=True)
class Read:
    """What reading a group gave, and how long its two parts took, in seconds."""

    computed: Computed
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

    def groups(self, jobs: Sequence[Job]) -> Iterator[Group]:
        """Requests in the order and company in which they are read.

        Each group is formed when the one before has been read: what that left is of use to it.
        """
        waiting = list(jobs)
        while waiting:
            first = waiting.pop(0)
            base = self._prefixes.find(first.sequence)
            shared = 0 if base is None else base.length
            relatives = [job for job in waiting if self._shares(first, job, shared)]
            if relatives:
                yield Group([first], base)
                continue
            group = self._companions(Group([first], base), waiting)
            waiting = [job for job in waiting if not any(job is taken for taken in group.jobs)]
            yield group

    def read(self, group: Group) -> Read:
        """The cache and the logits of the last token of each prompt."""
        started = time.perf_counter()
        features, vision_seconds = self._features(group)
        stops = [job.num_tokens for job in group.jobs]
        base, start = group.base, group.start
        if len(group.jobs) == 1:
            (job,) = group.jobs
            for branch in self._branches(job, start):
                done = self._forward.read([job], start, [branch], base, features)
                self._prefixes.keep(job.sequence.first(branch), done.state)
                base, start = done.state, branch
        done = self._forward.read(group.jobs, start, stops, base, features)
        self._keep(group, done)
        seconds = time.perf_counter() - started - vision_seconds
        for job in group.jobs:
            if not job.row.token_ids:  # not one that is computed once more
                job.reused_tokens = group.start
                self._prefixes.note(found=group.start > 0)
            job.times.vision += vision_seconds
            job.times.prefill += seconds
        return Read(done, vision_seconds, seconds)

    def keep_answer(self, job: Job, state: CacheState | None) -> None:
        """Keep a prompt with its answer, which a conversation goes on from."""
        if state is not None and self._prefixes.is_open:
            self._prefixes.keep(job.sequence.first(state.length), state)

    def _shares(self, first: Job, other: Job, computed: int) -> bool:
        """Whether two prompts have much in common that is not computed yet."""
        shared = common_length(first.sequence, other.sequence)
        if not self._is_croppable:  # of the other's prompt alone its branches are kept
            shared = max((at for at in self._branches(first, 0) if at <= shared), default=0)
        return shared >= computed + _SHARED_TOKENS

    def _companions(self, group: Group, waiting: Sequence[Job]) -> Group:
        """The group with those that can be read along with it."""
        for job in waiting:
            found = self._prefixes.find(job.sequence)
            if (found is None) != (group.base is None):
                continue
            base = self._common_base(group, job, found)
            larger = Group([*group.jobs, job], base)
            if (base is None) == (found is None) and self._is_economical(larger):
                group = larger
        return group

    def _common_base(self, group: Group, job: Job, found: CacheState | None) -> CacheState | None:
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
        if group.base is not None and not self._is_croppable and len(set(widths)) > 1:
            return False  # a recurrent state runs on over padding
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
        wanted = [job.media_between(group.start, job.num_tokens) for job in group.jobs]
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
