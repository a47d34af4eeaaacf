"""The questions about the windows of a film, one by one, with a journal of their answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from typing import Any, TypeAlias

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import VideoTimingError, located
from qwenvl_kit.journal import Journal, Record, fingerprint, from_record, model_facts, to_record
from qwenvl_kit.media.error_mapping import mapped_errors
from qwenvl_kit.media.fingerprints import identify_source, identify_subtitles
from qwenvl_kit.media.frame_sequences import is_sequence
from qwenvl_kit.media.loader import fetch_part
from qwenvl_kit.media.subtitles.opening import open_subtitles
from qwenvl_kit.messages.message import VideoPart, VideoSource
from qwenvl_kit.options import BudgetChoice, Sampling, as_budget
from qwenvl_kit.requests import Request
from qwenvl_kit.results import Failure, Reply
from qwenvl_kit.tasks.summarize_video.planner import Planner, Windows, load_footage
from qwenvl_kit.tasks.summarize_video.segments import VideoSegment
from qwenvl_kit.tasks.summarize_video.windows import Footage

JournalPath: TypeAlias = "str | os.PathLike[str]"


def open_film(
    chat: VisionChat, video: VideoSource | VideoPart, fps: float, sampling: Sampling | None
) -> tuple[Footage, tuple[str, ...]]:
    """Open a film once for all of its windows; its subtitles become lines.

    Args:
        chat: the model that will be asked.
        video: the film.
        fps: the frames for each second, if the film has no settings of its own.
        sampling: the sampling of the answers.

    Returns:
        The frames, and notes about the subtitles.

    Raises:
        InputError: the video or its subtitles cannot be used.
    """
    part = fetch_part(_as_part(video, fps), chat.policy)
    with mapped_errors("video"):
        opened, notes = open_subtitles(part, chat.policy)
    return load_footage(chat, opened, sampling), notes


def _as_part(video: VideoSource | VideoPart, fps: float) -> VideoPart:
    """The video with a frame rate, unless it has its own times or needs them."""
    part = video if isinstance(video, VideoPart) else VideoPart(video)
    has_times = any(v is not None for v in (part.fps, part.num_frames, part.timestamps_seconds))
    is_film = not is_sequence(part.source)
    return replace(part, fps=fps) if is_film and not has_times else part


def windows_of(planner: Planner, window_seconds: float | None, journal: Journal) -> Windows:
    """The windows: those of the journal, if any, as the free memory may have changed since then."""
    saved = journal.get("windows")
    if saved is not None:
        return tuple(range(start, stop) for start, stop in saved["windows"])
    windows = planner.split(window_seconds)
    journal.add("windows", {"windows": [[window.start, window.stop] for window in windows]})
    return windows


def answer_windows(
    planner: Planner, windows: Windows, journal: Journal, name: str = "window"
) -> Iterator[VideoSegment]:
    """Ask about each window in its turn, and yield its answer or its failure.

    Args:
        planner: the film, the model and the questions.
        windows: the windows.
        journal: the answers of an earlier run.
        name: the name of the answers in it.
    """
    for index, window in enumerate(windows):
        start_seconds, end_seconds = planner.footage.span(window)
        request = planner.request(windows, index)
        result = answer(planner.chat, request, f"{name} {index}", journal)
        if isinstance(result, Reply):
            text = result.text.strip()
            yield VideoSegment(start_seconds, end_seconds, text, reply=result)
        else:
            failure = _located(result, index)
            yield VideoSegment(start_seconds, end_seconds, "", failure=failure)


def answer(chat: VisionChat, request: Request, key: str, journal: Journal) -> Reply | Failure:
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


def window_warnings(segments: Iterable[VideoSegment]) -> Iterator[str]:
    """Yield what is missing of the answers about windows."""
    for segment in segments:
        if segment.failure is not None:
            yield f"{segment.span} is missing: {segment.failure.error}"
        elif segment.reply is not None and segment.reply.finish_reason == "length":
            yield f"the answer about {segment.span} was cut at max_new_tokens"


def open_journal(
    path: JournalPath | None, kind: str, planner: Planner, wording: Record, **settings: Any
) -> Journal:
    """Open the journal of a call; one without a path keeps nothing.

    Args:
        path: the file.
        kind: the task.
        planner: the film, the model and its settings.
        wording: the texts that are sent.
        settings: other settings that the answers depend on.

    Raises:
        JournalError: it belongs to other settings, or cannot be used.
    """
    if path is None:
        return Journal()
    known = {**_settings(planner), **wording, **settings}
    return Journal.open(path, kind=kind, settings=known)


def _settings(planner: Planner) -> Record:
    """All settings that the answers depend on."""
    chat, footage, sampling = planner.chat, planner.footage, planner.sampling
    part = footage.part
    with located("video"):
        source = identify_source(part.source, chat.policy)
    bounds = {"min_frames": part.min_frames, "max_frames": part.max_frames}
    lines = {} if part.subtitles is None else {"subtitles": identify_subtitles(part, chat.policy)}
    if part.max_subtitle_tokens is not None:
        lines["max_subtitle_tokens"] = {"most": part.max_subtitle_tokens}
    first_frame = footage.cut(range(1))
    seen = chat.plan("", first_frame, sampling=sampling, budget=planner.budget)
    return {
        "video": source,
        "fps": part.fps,
        "num_frames": part.num_frames,
        **{name: bound for name, bound in bounds.items() if bound is not None},
        **lines,
        "start_seconds": part.start_seconds,
        "end_seconds": part.end_seconds,
        "times": fingerprint(footage.times_seconds),
        "budget": _budget(planner.budget),
        "part_budget": _budget(part.budget),
        "frame_size": str(seen.videos[0].resized),
        "sampling": asdict(chat.default_sampling if sampling is None else sampling),
        "model": model_facts(chat.report()),
    }


def _budget(choice: BudgetChoice | None) -> dict[str, Any] | None:
    return None if choice is None else asdict(as_budget(choice))


def check_window(window_seconds: object) -> None:
    """Raise an error if the length of a window is no number of seconds above 0."""
    is_number = isinstance(window_seconds, (int, float)) and not isinstance(window_seconds, bool)
    if window_seconds is None or (is_number and 0 < window_seconds < float("inf")):  # type: ignore[operator]
        return
    raise VideoTimingError(
        f"window_seconds={window_seconds!r} was given", expected="a number of seconds above 0"
    )


def with_progress(segments: Iterator[VideoSegment], total: int) -> Iterable[VideoSegment]:
    """Return the answers with a progress bar."""
    from qwenvl_kit.display.progress import progress_bar

    return progress_bar()(segments, total=total, unit="window", disable=sys.stderr is None)  # type: ignore[no-any-return]
