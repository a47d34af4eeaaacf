"""The planner: it finds the smallest number of windows for a video, from plans alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import BudgetError, ContextLengthError, OutOfMemoryError
from qwenvl_kit.messages.message import VideoPart
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.plans import Plan
from qwenvl_kit.requests import Request
from qwenvl_kit.tasks.summarize_video.windows import (
    Footage,
    smallest_fitting,
    split_at_times,
    split_evenly,
)

Windows = tuple[range, ...]
"""Ranges of positions among the frames of a `Footage`."""


def load_footage(chat: VisionChat, part: VideoPart, sampling: Sampling | None) -> Footage:
    """Choose the frames that show the whole video, with no limit of tokens.

    Raises:
        InputError: the video cannot be used.
    """
    # The choice of frames does not depend on the budget, and a total budget is for one window.
    plan = chat.plan("", replace(part, budget=None), sampling=sampling, budget="native")
    return Footage.from_plan(part, plan.videos[0])


class WindowWording(Protocol):
    """The texts that ask about the windows of a film."""

    def about_window(self, span: tuple[float, float], part: int, parts: int) -> str:
        """Return the prompt for one window.

        Args:
            span: start and end of the window in seconds.
            part: the number of the window, from 1 on.
            parts: the number of windows.
        """


@dataclass(frozen=True)
class Planner:
    """Plans the requests about the windows of a video.

    Attributes:
        chat: the model that will be asked.
        footage: the frames of the video.
        wording: the prompts.
        sampling: the sampling of the answers.
        budget: the `PixelBudget` of the frames, or a preset such as "quick".
    """

    chat: VisionChat
    footage: Footage
    wording: WindowWording
    sampling: Sampling | None
    budget: BudgetChoice | None

    def request(self, windows: Windows, index: int) -> Request:
        """The request about one of the windows."""
        window = windows[index]
        prompt = self.wording.about_window(self.footage.span(window), index + 1, len(windows))
        part = self.footage.cut(window)
        return Request.about(prompt, part, sampling=self.sampling, budget=self.budget)

    def has_room(self, plan: Plan) -> bool:
        """True if a plan fits and leaves room for an answer.

        The room is that of the longest answer allowed, or half of the context if that is less.
        """
        return plan.fits and plan.room_tokens >= self._answer_tokens(plan)

    def split(self, window_seconds: float | None) -> Windows:
        """The fewest windows that fit, or windows of the length asked for.

        Raises:
            ContextLengthError: a window, or a single frame, leaves no room for an answer.
            OutOfMemoryError: the device has no memory for a single frame.
            VideoTimingError: the windows are shorter than the time between two frames.
        """
        if window_seconds is None:
            return self._fewest()
        windows = split_at_times(self.footage.times_seconds, window_seconds)
        if not self._all_fit(windows):
            raise self._too_long(window_seconds)
        return windows

    def _fewest(self) -> Windows:
        most = self.footage.num_frames
        count = smallest_fitting(most, self._longest_fits, self._guess())
        while count is not None and count <= most:
            windows = split_evenly(most, count)
            if self._all_fit(windows):
                return windows
            count += 1
        raise self._nothing_fits()

    def _guess(self) -> int:
        """A first guess: the number of windows if all frames take equally many tokens."""
        whole = split_evenly(self.footage.num_frames, 1)
        try:
            plan = self._plan(whole, 0)
        except BudgetError:
            return 2
        text_tokens = plan.prompt_tokens - plan.visual_tokens
        room_tokens = plan.context_tokens - self._answer_tokens(plan) - text_tokens
        return math.ceil(plan.visual_tokens / max(1, room_tokens))

    def _longest_fits(self, count: int) -> bool:
        """True if the last of the longest windows fits, as late times may take more tokens."""
        windows = split_evenly(self.footage.num_frames, count)
        return self._fits(windows, max(range(count), key=lambda k: (len(windows[k]), k)))

    def _all_fit(self, windows: Windows) -> bool:
        # The last windows are tested first, as they are the most likely to be too long.
        return all(self._fits(windows, index) for index in reversed(range(len(windows))))

    def _fits(self, windows: Windows, index: int) -> bool:
        try:
            return self.has_room(self._plan(windows, index))
        except BudgetError:  # the total budget is too small for so many frames
            return False

    def _plan(self, windows: Windows, index: int) -> Plan:
        request = self.request(windows, index)
        return self.chat.plan(
            request.conversation(), sampling=request.sampling, budget=request.budget
        )

    def _answer_tokens(self, plan: Plan) -> int:
        sampling = self.chat.default_sampling if self.sampling is None else self.sampling
        return min(sampling.max_new_tokens, max(1, plan.context_tokens // 2))

    def _too_long(self, window_seconds: float) -> ContextLengthError:
        fewest = self._fewest()
        spans = [self.footage.span(window) for window in fewest]
        longest_seconds = max(end - start for start, end in spans)
        return ContextLengthError(
            f"a window of {window_seconds:g} s leaves no room for an answer",
            expected=f"window_seconds of at most {math.floor(longest_seconds * 1000) / 1000:g}",
            hint="a lower fps, a smaller budget, or a shorter answer",
            where="window_seconds",
        )

    def _nothing_fits(self) -> ContextLengthError | OutOfMemoryError:
        plan = self._plan(split_evenly(self.footage.num_frames, self.footage.num_frames), 0)
        if plan.fits_memory is False:
            return OutOfMemoryError(
                f"a single frame of the video would take {plan.needed_bytes} bytes in addition to "
                f"the model, and the device has {plan.available_bytes} left",
                hint="; or ".join(plan.advice),
            )
        return ContextLengthError(
            f"a single frame of the video and the question take {plan.prompt_tokens} tokens, "
            f"and the answer {self._answer_tokens(plan)}",
            expected=f"at most the model's context of {plan.context_tokens}",
            hint="a smaller budget, a shorter question, or a shorter answer",
        )
