"""The summary of a video of any length, in windows if it is longer than the model's context."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import fresh, located
from qwenvl_kit.journal import Journal, fingerprint
from qwenvl_kit.messages.message import VideoPart, VideoSource
from qwenvl_kit.options import BudgetChoice, Sampling, as_budget
from qwenvl_kit.requests import Request
from qwenvl_kit.results import Failure, Reply
from qwenvl_kit.tasks.prompts import Language
from qwenvl_kit.tasks.summarize_video.asking import (
    JournalPath,
    answer,
    answer_windows,
    check_window,
    open_film,
    open_journal,
    window_warnings,
    windows_of,
    with_progress,
)
from qwenvl_kit.tasks.summarize_video.chapters import Chapters, find_chapters
from qwenvl_kit.tasks.summarize_video.merger import Merger
from qwenvl_kit.tasks.summarize_video.planner import Planner
from qwenvl_kit.tasks.summarize_video.prompts import MERGE_PROMPT, QUESTION, WINDOW_PROMPT, Wording
from qwenvl_kit.tasks.summarize_video.segments import VideoSegment, VideoSummary


def summarize_video(
    chat: VisionChat,
    video: VideoSource | VideoPart,
    question: str | None = None,
    *,
    fps: float = 1.0,
    window_seconds: float | None = None,
    budget: BudgetChoice | None = None,
    sampling: Sampling | None = None,
    journal: JournalPath | None = None,
    progress: bool = False,
    window_prompt: str = WINDOW_PROMPT,
    merge_prompt: str = MERGE_PROMPT,
    chapters: bool = False,
    language: Language = "en",
) -> VideoSummary:
    """Summarize a video of any length, or answer a question about all of it.

    A video that fits into the context is one request. A longer video is cut into windows of equal
    length, as few as possible. The model is asked about each window on its own, with the times of
    the window in the prompt, and then merges the answers, in several levels if they are too long
    for one prompt. If the request about a window fails, the others are still used. Each window has
    the lines of its own time, if the film has `subtitles` (see `VideoPart`).

    Example:
        summary = summarize_video(chat, "lecture.mp4", "Which topics are covered?")
        print(summary)
        for segment in summary.segments:
            print(segment.span, segment.text)

    Args:
        chat: the model to ask.
        video: a file, or a `VideoPart`; a sequence of frames must be a `VideoPart`.
        question: the question; None asks for a summary.
        fps: the number of frames that are shown for each second, if the video has no settings of
            its own.
        window_seconds: the length of a window; None takes the longest that fits. A video that is
            not longer is one window.
        budget: the `PixelBudget` of each group of frames, or a preset such as "quick"; a total is
            for one window.
        sampling: the generation settings; None takes the default of the chat.
        journal: a file that keeps each answer as soon as it is there. A later call with the same
            arguments asks only for answers that are missing or failed.
        progress: True to show a progress bar.
        window_prompt: the prompt for one window; `{question}`, `{part}`, `{parts}`, `{start}`,
            `{end}`, `{start_seconds}` and `{end_seconds}` in it are replaced.
        merge_prompt: the prompt that merges answers; `{answers}`, `{question}`, `{start}` and
            `{end}` in it are replaced.
        chapters: True to add the film's own chapters to the summary; if it has none, the model is
            asked for them, window by window. A family that knows no times (Qwen2-VL) is not asked,
            and a warning says so.
        language: the language of the titles that the model gives to chapters, "en" or "zh". The
            summary itself is in the language of the question.

    Returns:
        The summary, with the answer about each window in its `segments`.

    Raises:
        ContextLengthError: a window, or a single frame, leaves no room for an answer.
        JournalError: the journal belongs to other arguments, or cannot be used.
        InputError: the video or a setting cannot be used.
        GenerationError: the model failed for all windows; the error is that of the first.
    """
    wording = Wording(QUESTION if question is None else question, window_prompt, merge_prompt)
    check_window(window_seconds)
    if budget is not None:
        with located("budget"):
            as_budget(budget)
    footage, notes = open_film(chat, video, fps, sampling)
    planner = Planner(chat, footage, wording, sampling, budget)
    kept = {"window_seconds": window_seconds, **({"chapters": language} if chapters else {})}
    with open_journal(journal, "summarize_video", planner, asdict(wording), **kept) as opened:
        windows = windows_of(planner, window_seconds, opened)
        answers = answer_windows(planner, windows, opened)
        segments = tuple(with_progress(answers, len(windows)) if progress else answers)
        found = find_chapters(planner, windows, opened, language) if chapters else Chapters(())
        summary = _summary(planner, wording, segments, opened)
    warnings = (*notes, *summary.warnings, *found.warnings)
    return replace(summary, warnings=warnings, chapters=found.chapters)


def _summary(
    planner: Planner,
    wording: Wording,
    segments: tuple[VideoSegment, ...],
    journal: Journal,
) -> VideoSummary:
    answered = [segment for segment in segments if segment.failure is None]
    if not answered:
        raise fresh(next(segment.failure.error for segment in segments if segment.failure))
    merger = Merger(
        wording,
        fits=lambda prompt: planner.has_room(planner.chat.plan(prompt, sampling=planner.sampling)),
        ask=lambda prompt: _merge(planner, prompt, journal),
    )
    text, reply = merger.merge(answered)
    return VideoSummary(
        text=text,
        segments=segments,
        duration_seconds=segments[-1].end_seconds - segments[0].start_seconds,
        reply=reply,
        merges=tuple(merger.replies),
        warnings=(
            *window_warnings(segments),
            *_cut_merges(merger.replies),
            *merger.warnings,
        ),
    )


def _merge(planner: Planner, prompt: str, journal: Journal) -> Reply | Failure:
    """The merged answer. Its journal key holds the prompt, which changes if an answer changes."""
    request = Request.about(prompt, sampling=planner.sampling)
    return answer(planner.chat, request, f"merge {fingerprint(prompt)}", journal)


def _cut_merges(merges: Iterable[Reply]) -> Iterator[str]:
    num_cut = sum(reply.finish_reason == "length" for reply in merges)
    if num_cut:
        yield f"{num_cut} of the merged answers were cut at max_new_tokens"
