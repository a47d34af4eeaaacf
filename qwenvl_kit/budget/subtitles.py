"""The lines of subtitles that a request shows: by the times of its frames, and within a budget."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from qwenvl_kit.budget.measures import Measure, PlanningRules, VideoMeasure, times_of
from qwenvl_kit.budget.planning import chosen_frames
from qwenvl_kit.errors import located
from qwenvl_kit.messages.message import Message, Part, TextPart, VideoPart
from qwenvl_kit.messages.subtitles import Subtitle, at_frame, listed

CONTEXT_SHARE = 4
"""Lines without a budget of their own take a quarter of the context at most: as much is left for
the frames at which they are heard, and half for all else."""

_LEAST_BEYOND_SECONDS = 1.0


class PlacedSubtitles(NamedTuple):
    """A conversation whose subtitles are placed, and notes for its plan's warnings."""

    messages: tuple[Message, ...]
    notes: tuple[str, ...]


def place_subtitles(
    messages: Sequence[Message],
    measures: Sequence[Measure],
    rules: PlanningRules,
    count_tokens: Callable[[str], int],
) -> PlacedSubtitles:
    """Choose the lines that are shown of each film, and put them into the conversation.

    If `rules.writes_between_frames` holds, the lines stay in their `VideoPart`, and the prompt has
    each after its frame. Otherwise a text with all of them follows the film.
    Its times are those of the film where the prompt has the times of frames. Without these a model
    (Qwen2-VL, Qwen2.5-VL) counts from the first frame that is shown, and so does the list.

    Lines outside of the part of the film that is shown are left out. If the rest takes more tokens
    than its budget, the lines that are heard at the shown frames are kept, as Qwen's own evaluation
    has it (QwenLM/Qwen3-VL, evaluation/VideoMME/dataset_utils.py); if these take more, too, evenly
    chosen ones of them.

    Args:
        messages: the conversation, opened: the subtitles of its films are lines.
        measures: the sizes and times of its pictures and films, in their order.
        rules: the rules of the model.
        count_tokens: returns the tokens of a text.

    Raises:
        VideoTimingError: the frames of a film have no usable times.
    """
    if not any(_lines(part) for message in messages for part in message.parts):
        return PlacedSubtitles(tuple(messages), ())
    films = iter([measure for measure in measures if isinstance(measure, VideoMeasure)])
    notes: list[str] = []
    placed = []
    for message in messages:
        parts: list[Part] = []
        for part in message.parts:
            if not isinstance(part, VideoPart):
                parts.append(part)
                continue
            fitting = _Fitting(part, next(films), rules, count_tokens)
            parts += fitting.parts(notes)
        placed.append(replace(message, parts=tuple(parts)))
    return PlacedSubtitles(tuple(placed), tuple(notes))


def _lines(part: object) -> tuple[Subtitle, ...]:
    lines = part.subtitles if isinstance(part, VideoPart) else None
    return lines if isinstance(lines, tuple) else ()


@dataclass(frozen=True)
class _Fitting:
    """The choice of the lines of one film."""

    part: VideoPart
    measure: VideoMeasure
    rules: PlanningRules
    count_tokens: Callable[[str], int]

    def parts(self, notes: list[str]) -> Iterator[Part]:
        """The film with its lines, or without them and followed by their list."""
        if not _lines(self.part):
            yield self.part
            return
        with located(self.measure.where):
            kept = self._kept(notes)
        if self.rules.writes_between_frames:
            yield replace(self.part, subtitles=kept or None)
            return
        yield replace(self.part, subtitles=None)
        if kept:
            yield TextPart(self._text(kept))

    def _kept(self, notes: list[str]) -> tuple[Subtitle, ...]:
        times = times_of(self.measure)
        shown = [times[index] for index in chosen_frames(self.measure)]
        lines = self._within(times, shown, notes)
        most = self.part.max_subtitle_tokens or self.rules.context_tokens // CONTEXT_SHARE
        if self._fits(lines, most):
            return lines
        heard = tuple(line for line in lines if _is_heard(line, shown))
        kept, how = heard, "those that are heard at the shown frames are kept"
        if not self._fits(heard, most):
            kept = self._thinned(heard, most)
            how = "evenly chosen ones of those that are heard at the shown frames are kept"
        notes.append(
            f"{self.measure.where}: {len(lines) - len(kept)} of {len(lines)} lines of subtitles "
            f"left out, as all of them take more than {most} tokens: {how}"
        )
        return kept

    def _within(
        self, times: Sequence[float], shown: Sequence[float], notes: list[str]
    ) -> tuple[Subtitle, ...]:
        """The lines of the part that is shown; those beyond the end of the film are told of."""
        part = self.part
        has_times = part.timestamps_seconds is not None
        is_cut = has_times and self.measure.times_seconds is not None
        start = part.start_seconds or (shown[0] if has_times else 0.0)
        end = part.end_seconds
        if end is None:
            end = shown[-1] if is_cut else math.inf
        spacing = max((after - before for before, after in pairwise(shown)), default=0.0)
        film_ends = times[-1] + max(spacing, _LEAST_BEYOND_SECONDS)
        lines = _lines(part)
        num_beyond = sum(line.start_seconds > film_ends for line in lines)
        if num_beyond:
            notes.append(
                f"{self.measure.where}: {num_beyond} of {len(lines)} lines of subtitles begin "
                f"after the film's end at {times[-1]:.1f} s, and are left out; they may be those "
                "of another film"
            )
        last = min(end, film_ends)
        return tuple(
            line for line in lines if line.start_seconds <= last and line.end_seconds >= start
        )

    def _fits(self, lines: Sequence[Subtitle], most: int) -> bool:
        text = self._text(lines)
        # A token has one byte at least, so short texts need not be counted.
        return not lines or len(text.encode()) <= most or self.count_tokens(text) <= most

    def _thinned(self, lines: tuple[Subtitle, ...], most: int) -> tuple[Subtitle, ...]:
        """As many evenly chosen lines as fit."""
        number = len(lines)
        while number:
            taken = max(1, self.count_tokens(self._text(_spread(lines, number))))
            if taken <= most:
                break
            number = min(number - 1, math.floor(number * most / taken))
        return _spread(lines, number)

    def _text(self, lines: Sequence[Subtitle]) -> str:
        if self.rules.writes_between_frames:
            return at_frame(lines)
        in_seconds = self.rules.family.video_layout == "timestamped groups"
        return listed(lines, in_seconds=in_seconds, zero_seconds=0.0 if in_seconds else self._zero)

    @cached_property
    def _zero(self) -> float:
        """The time of the first shown frame, from which a model counts without times of frames."""
        return times_of(self.measure)[chosen_frames(self.measure)[0]]


def _is_heard(line: Subtitle, times: Sequence[float]) -> bool:
    at = bisect_left(times, line.start_seconds)
    return at < len(times) and times[at] <= line.end_seconds


def _spread(lines: tuple[Subtitle, ...], number: int) -> tuple[Subtitle, ...]:
    """Evenly chosen lines, the first and the last among them."""
    if number >= len(lines) or number < 2:
        return lines[:number]
    step = (len(lines) - 1) / (number - 1)
    return tuple(lines[round(position * step)] for position in range(number))
