"""The summary of a video of any length, in windows if it is longer than the model's context."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from typing import Any, TypeAlias

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import VideoTimingError, fresh, located
from qwenvl_kit.journal import Journal, Record, fingerprint, from_record, model_facts, to_record
from qwenvl_kit.media.fingerprints import identify_source
from qwenvl_kit.media.frame_sequences import is_sequence
from qwenvl_kit.media.loader import fetch_part
from qwenvl_kit.messages.message import VideoPart, VideoSource
from qwenvl_kit.options import BudgetChoice, Sampling, as_budget
from qwenvl_kit.requests import Request
from qwenvl_kit.results import Failure, Reply
from qwenvl_kit.tasks.summarize_video.merger import Merger
from qwenvl_kit.tasks.summarize_video.planner import Planner, Windows, load_footage
from qwenvl_kit.tasks.summarize_video.prompts import MERGE_PROMPT, QUESTION, WINDOW_PROMPT, Wording
from qwenvl_kit.tasks.summarize_video.segments import VideoSegment, VideoSummary

JournalPath: TypeAlias = "str | os.PathLike[str]"


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
) -> VideoSummary:
    """Summarize a video of any length, or answer a question about all of it.

    A video that fits into the context is one request. A longer video is cut into windows of equal
    length, as few as possible. The model is asked about each window on its own, with the times of
    the window in the prompt, and then merges the answers, in several levels if they are too long
    for one prompt. If the request about a window fails, the others are still used.

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

    Returns:
        The summary, with the answer about each window in its `segments`.

    Raises:
        ContextLengthError: a window, or a single frame, leaves no room for an answer.
        JournalError: the journal belongs to other arguments, or cannot be used.
        InputError: the video or a setting cannot be used.
        GenerationError: the model failed for all windows; the error is that of the first.
    """
    wording = Wording(QUESTION if question is None else question, window_prompt, merge_prompt)
    _check_window(window_seconds)
    if budget is not None:
        with located("budget"):
            as_budget(budget)
    part = fetch_part(_as_part(video, fps), chat.policy)  # once for all windows
    footage = load_footage(chat, part, sampling)
    planner = Planner(chat, footage, wording, sampling, budget)
    with _open_journal(journal, planner, window_seconds) as opened:
        windows = _windows(planner, window_seconds, opened)
        answers = _answer_windows(planner, windows, opened)
        segments = tuple(_with_progress(answers, len(windows)) if progress else answers)
        return _summary(planner, segments, opened)


def _as_part(video: VideoSource | VideoPart, fps: float) -> VideoPart:
    """The video with a frame rate, unless it has its own times or needs them."""
    part = video if isinstance(video, VideoPart) else VideoPart(video)
    has_times = any(v is not None for v in (part.fps, part.num_frames, part.timestamps_seconds))
    is_film = not is_sequence(part.source)
    return replace(part, fps=fps) if is_film and not has_times else part


def _windows(planner: Planner, window_seconds: float | None, journal: Journal) -> Windows:
    """The windows: those of the journal, if any, as the free memory may have changed since then."""
    saved = journal.get("windows")
    if saved is not None:
        return tuple(range(start, stop) for start, stop in saved["windows"])
    windows = planner.split(window_seconds)
    journal.add("windows", {"windows": [[window.start, window.stop] for window in windows]})
    return windows


def _answer_windows(planner: Planner, windows: Windows, journal: Journal) -> Iterator[VideoSegment]:
    for index, window in enumerate(windows):
        start_seconds, end_seconds = planner.footage.span(window)
        request = planner.request(windows, index)
        result = _answer(planner.chat, request, f"window {index}", journal)
        if isinstance(result, Reply):
            text = result.text.strip()
            yield VideoSegment(start_seconds, end_seconds, text, reply=result)
        else:
            failure = _located(result, index)
            yield VideoSegment(start_seconds, end_seconds, "", failure=failure)


def _answer(chat: VisionChat, request: Request, key: str, journal: Journal) -> Reply | Failure:
    """The answer to one request, from the journal if it is there."""
    saved = journal.get(key)
    if saved is not None:
        return from_record(Reply, saved)
    (result,) = chat.ask_many([request])
    if isinstance(result, Reply):
        journal.add(key, to_record(result))
    return result


def _located(failure: Failure, index: int) -> Failure:
    """The failure with its place among the windows."""
    error = failure.error
    error.where = error.where.replace("requests[0]", f"windows[{index}]", 1)
    return replace(failure, index=index)


def _summary(
    planner: Planner, segments: tuple[VideoSegment, ...], journal: Journal
) -> VideoSummary:
    answered = [segment for segment in segments if segment.failure is None]
    if not answered:
        raise fresh(next(segment.failure.error for segment in segments if segment.failure))
    merger = Merger(
        planner.wording,
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
        warnings=(*_window_warnings(segments), *_cut_merges(merger.replies), *merger.warnings),
    )


def _merge(planner: Planner, prompt: str, journal: Journal) -> Reply | Failure:
    """The merged answer. Its journal key holds the prompt, which changes if an answer changes."""
    request = Request.about(prompt, sampling=planner.sampling)
    return _answer(planner.chat, request, f"merge {fingerprint(prompt)}", journal)


def _window_warnings(segments: Iterable[VideoSegment]) -> Iterator[str]:
    for segment in segments:
        if segment.failure is not None:
            yield f"{segment.span} is missing: {segment.failure.error}"
        elif segment.reply is not None and segment.reply.finish_reason == "length":
            yield f"the answer about {segment.span} was cut at max_new_tokens"


def _cut_merges(merges: Iterable[Reply]) -> Iterator[str]:
    num_cut = sum(reply.finish_reason == "length" for reply in merges)
    if num_cut:
        yield f"{num_cut} of the merged answers were cut at max_new_tokens"


def _open_journal(
    path: JournalPath | None, planner: Planner, window_seconds: float | None
) -> Journal:
    if path is None:
        return Journal()
    settings = {**_settings(planner), "window_seconds": window_seconds}
    return Journal.open(path, kind="summarize_video", settings=settings)


def _settings(planner: Planner) -> Record:
    """All settings that the answers depend on."""
    chat, footage, sampling = planner.chat, planner.footage, planner.sampling
    part = footage.part
    with located("video"):
        source = identify_source(part.source, chat.policy)
    bounds = {"min_frames": part.min_frames, "max_frames": part.max_frames}
    first_frame = footage.cut(range(1))
    seen = chat.plan("", first_frame, sampling=sampling, budget=planner.budget)
    return {
        "video": source,
        "fps": part.fps,
        "num_frames": part.num_frames,
        **{name: bound for name, bound in bounds.items() if bound is not None},
        "start_seconds": part.start_seconds,
        "end_seconds": part.end_seconds,
        "times": fingerprint(footage.times_seconds),
        **asdict(planner.wording),
        "budget": _budget(planner.budget),
        "part_budget": _budget(part.budget),
        "frame_size": str(seen.videos[0].resized),
        "sampling": asdict(chat.default_sampling if sampling is None else sampling),
        "model": model_facts(chat.report()),
    }


def _budget(choice: BudgetChoice | None) -> dict[str, Any] | None:
    return None if choice is None else asdict(as_budget(choice))


def _check_window(window_seconds: object) -> None:
    is_number = isinstance(window_seconds, (int, float)) and not isinstance(window_seconds, bool)
    if window_seconds is None or (is_number and 0 < window_seconds < float("inf")):  # type: ignore[operator]
        return
    raise VideoTimingError(
        f"window_seconds={window_seconds!r} was given", expected="a number of seconds above 0"
    )


def _with_progress(segments: Iterator[VideoSegment], total: int) -> Iterable[VideoSegment]:
    from qwenvl_kit.display.progress import progress_bar

    return progress_bar()(segments, total=total, unit="window", disable=sys.stderr is None)  # type: ignore[no-any-return]
