"""The merger: it turns answers about parts of a video into one answer about the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from qwenvl_kit.errors import ContextLengthError
from qwenvl_kit.results import Failure, Reply
from qwenvl_kit.tasks.summarize_video.prompts import Wording, join
from qwenvl_kit.tasks.summarize_video.segments import VideoSegment


@dataclass
class Merger:
    """Merges neighbouring answers until one is left, in several levels if the context is short.

    Attributes:
        wording: the prompts.
        fits: returns True if a prompt leaves room for an answer.
        ask: sends a prompt to the model and returns its answer.
        replies: the replies of the model so far.
        warnings: messages about what went wrong so far.
    """

    wording: Wording
    fits: Callable[[str], bool]
    ask: Callable[[str], Reply | Failure]
    replies: list[Reply] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def merge(self, segments: Sequence[VideoSegment]) -> tuple[str, Reply | None]:
        """Return text and reply of the merged answer; no reply if the parts cannot be merged.

        Args:
            segments: at least one, all answered, in order.
        """
        level = list(segments)
        while len(level) > 1:
            groups = list(self._groups(level))
            if len(groups) == len(level):
                return self._give_up(level, "no two answers fit the model's context together")
            merged = self._merge_level(groups)
            if isinstance(merged, Failure):
                return self._give_up(level, str(merged.error))
            level = merged
        return level[0].text, level[0].reply

    def _groups(self, level: Sequence[VideoSegment]) -> Iterator[Sequence[VideoSegment]]:
        """Groups of neighbours, each as large as one prompt can hold."""
        start = 0
        while start < len(level):
            end = start + 1
            while end < len(level) and self._fits(level[start : end + 1]):
                end += 1
            yield level[start:end]
            start = end

    def _fits(self, segments: Sequence[VideoSegment]) -> bool:
        try:
            return self.fits(self.wording.about_answers(segments))
        except ContextLengthError:
            return False

    def _merge_level(
        self, groups: Sequence[Sequence[VideoSegment]]
    ) -> list[VideoSegment] | Failure:
        merged = []
        for group in groups:
            result = self._merge_group(group)
            if isinstance(result, Failure):
                return result
            merged.append(result)
        return merged

    def _merge_group(self, group: Sequence[VideoSegment]) -> VideoSegment | Failure:
        if len(group) == 1:
            return group[0]
        reply = self.ask(self.wording.about_answers(group))
        if isinstance(reply, Failure):
            return reply
        self.replies.append(reply)
        first, last = group[0], group[-1]
        return VideoSegment(first.start_seconds, last.end_seconds, reply.text.strip(), reply)

    def _give_up(self, level: Sequence[VideoSegment], reason: str) -> tuple[str, None]:
        self.warnings.append(f"the answers about the parts were not merged: {reason}")
        return join(level), None
