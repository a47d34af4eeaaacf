"""The search for events in a film of any length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import UnsupportedFeatureError, fresh, located
from qwenvl_kit.messages.message import VideoPart, VideoSource
from qwenvl_kit.options import BudgetChoice, Sampling, as_budget
from qwenvl_kit.tasks.find_events.events import Events
from qwenvl_kit.tasks.find_events.timeline import timeline_of
from qwenvl_kit.tasks.prompts import Language, checked_words, chosen_prompt
from qwenvl_kit.tasks.summarize_video.asking import (
    JournalPath,
    answer_windows,
    check_window,
    open_film,
    open_journal,
    window_warnings,
    windows_of,
    with_progress,
)
from qwenvl_kit.tasks.summarize_video.chapters import knows_times, untrained
from qwenvl_kit.tasks.summarize_video.planner import Planner

ALL_EVENTS: Mapping[str, str] = MappingProxyType(
    {"en": "a series of activity events", "zh": "一系列活动事件"}
)
"""The events that are asked for if none are named: the words of Qwen's cookbook."""

EVENT_PROMPTS: Mapping[str, str] = MappingProxyType(
    {
        "en": "Localize {what} in the video, output the start and end timestamp for each event, "
        "and describe each event with sentences. Provide the result in json format with "
        "'mm:ss.ff' format for time depiction.",
        "zh": "定位视频中的{what}，输出每个事件的开始和结束时间戳，并用句子描述每个事件。"
        "以json格式输出结果，时间采用'mm:ss.ff'格式。",
    }
)
"""The prompts by language. The English one is that of the cookbooks video_understanding.ipynb of
Qwen2.5-VL and Qwen3-VL, with `{what}` in place of "a series of activity events"."""

_MAX_TOKENS = 2048
"""Room for about forty events of a window."""


@dataclass(frozen=True)
class SameQuestion:
    """The same text about each window.

    A model reads the times of frames in its prompt, or counts them from the first frame of a
    window, so the text need not say them.

    Attributes:
        text: the question.
    """

    text: str

    def about_window(self, span: tuple[float, float], part: int, parts: int) -> str:
        """Return the question; the window does not matter."""
        return self.text


def find_events(
    chat: VisionChat,
    video: VideoSource | VideoPart,
    what: str | None = None,
    *,
    fps: float = 2.0,
    window_seconds: float | None = None,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
    journal: JournalPath | None = None,
    progress: bool = False,
) -> Events:
    """Find the events of a film, with their times in seconds.

    A film that fits into the context is one request; a longer one is asked in windows, as
    `summarize_video` does. Times count from the first frame of the film, for every family. Those
    beyond the window that was shown are clipped to it, the wrong way round are turned, and two
    events with the same words that meet where windows meet are joined; the warnings tell of all
    that was corrected.

    Example:
        for event in find_events(chat, "match.mp4", "all goals"):
            print(event.start_seconds, event.end_seconds, event.description, event.confidence)

    Args:
        chat: the model to ask.
        video: a file, or a `VideoPart`, which may have subtitles; a sequence of frames must be a
            `VideoPart`.
        what: the events to find, such as "all goals"; None asks for all that happens.
        fps: the number of frames that are shown for each second, if the video has no settings of
            its own. Qwen advises two or more (QwenLM/Qwen3-VL issue 752).
        window_seconds: the length of a window; None takes the longest that fits.
        language: the language of the prompt, "en" or "zh".
        prompt: your own prompt; `{what}` in it is replaced by the events to find.
        sampling: the generation settings; None is greedy.
        budget: the `PixelBudget` of each group of frames, or a preset such as "quick".
        journal: a file that keeps each answer as soon as it is there; see `summarize_video`.
        progress: True to show a progress bar.

    Returns:
        The events in the order of time; empty if none were found.

    Raises:
        UnsupportedFeatureError: the family knows no times (Qwen2-VL: neither its prompts nor its
            positions hold them), so that it could but guess. With a `prompt` of your own, such as
            for a model that you have trained, it is asked, and a warning says so.
        MessageError: `what` is empty, or the language is not known.
        ContextLengthError: a window, or a single frame, leaves no room for an answer.
        JournalError: the journal belongs to other arguments, or cannot be used.
        InputError: the video or a setting cannot be used.
        GenerationError: the model failed for all windows; the error is that of the first.
    """
    given = None if what is None else checked_words(what, "the events to find, in words", "what")
    wanted = ALL_EVENTS.get(language, "") if given is None else given
    text = chosen_prompt(EVENT_PROMPTS, language, prompt, what=wanted)
    if not knows_times(chat) and prompt is None:
        raise UnsupportedFeatureError(
            untrained(chat),
            expected="Qwen2.5-VL, or a newer family",
            hint="a prompt of your own, if the model was trained for times",
        )
    check_window(window_seconds)
    if budget is not None:
        with located("budget"):
            as_budget(budget)
    chosen = Sampling(max_new_tokens=_MAX_TOKENS) if sampling is None else sampling
    footage, notes = open_film(chat, video, fps, chosen)
    planner = Planner(chat, footage, SameQuestion(text), chosen, budget)
    kept = {"prompt": text, "window_seconds": window_seconds}
    with open_journal(journal, "find_events", planner, kept) as opened:
        windows = windows_of(planner, window_seconds, opened)
        answers = answer_windows(planner, windows, opened)
        segments = tuple(with_progress(answers, len(windows)) if progress else answers)
    if all(segment.failure is not None for segment in segments):
        raise fresh(next(segment.failure.error for segment in segments if segment.failure))
    layout = chat.family.video_layout
    found = timeline_of(segments, footage, counts_from_film=layout == "timestamped groups")
    guesses = () if knows_times(chat) else (untrained(chat),)
    return Events(
        found.events,
        segments=segments,
        duration_seconds=segments[-1].end_seconds,
        warnings=(*notes, *guesses, *window_warnings(segments), *found.warnings),
    )
