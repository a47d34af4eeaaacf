from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from qwenvl_kit import PixelBudget, Sampling, VideoPart, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import (
    BudgetError,
    ContextLengthError,
    GenerationError,
    JournalError,
    MediaNotFoundError,
    MessageError,
    OutOfMemoryError,
    SamplingError,
    VideoTimingError,
)
from qwenvl_kit.tasks import VideoSegment, VideoSummary, summarize_video
from tests.videos import read_number, write_video

SHORT = Sampling(max_new_tokens=40)


@pytest.fixture(scope="module")
def hour(tmp_path_factory):
    """An hour at a frame a second; frame k shows the number k."""
    path = tmp_path_factory.mktemp("films") / "hour.mp4"
    return write_video(path, 3600, width=64, height=36, fps=1, options={"g": "20"})


@pytest.fixture(scope="module")
def minute(tmp_path_factory):
    path = tmp_path_factory.mktemp("films") / "minute.mp4"
    return write_video(path, 61 * 5, width=64, height=36, fps=5)


def _is_merge(request):
    return not request.media


def _chat(script=None, context_tokens=400, family="qwen2_vl"):
    backend = ScriptedBackend(
        script or (lambda request: "merged" if _is_merge(request) else "seen"),
        context_tokens=context_tokens,
        family=family,
    )
    return VisionChat(backend), backend


def _frames(num_frames):
    return [PIL.Image.fromarray(np.full((28, 28, 3), n, np.uint8)) for n in range(num_frames)]


def _spans(summary):
    return [(segment.start_seconds, segment.end_seconds) for segment in summary.segments]


def test_a_video_that_fits_is_one_request_with_the_question_alone(minute):
    chat, backend = _chat(context_tokens=4000)
    summary = summarize_video(chat, minute, "What happens?", sampling=SHORT)
    (request,) = backend.requests
    assert request.messages[0].text == "What happens?"
    assert len(request.plan.videos[0].frame_indices) == 60
    assert str(summary) == summary.text == summary.segments[0].text == "seen"
    assert summary.reply is summary.segments[0].reply
    assert summary.duration_seconds == pytest.approx(60.8)
    assert (summary.merges, summary.warnings, summary.failures) == ((), (), ())


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen3_vl"])
def test_an_hour_is_seen_whole_in_windows_that_each_have_room_for_their_answer(hour, family):
    chat, backend = _chat(family=family)
    summary = summarize_video(chat, hour, sampling=SHORT)
    windows = [request for request in backend.requests if not _is_merge(request)]
    assert len(windows) == len(summary.segments) > 5
    assert all(request.plan.max_new_tokens == 40 for request in backend.requests)
    shown = {index for request in windows for index in request.plan.videos[0].frame_indices}
    assert shown == set(range(3600))
    spans = _spans(summary)
    assert (spans[0][0], spans[-1][1]) == (0.0, 3599.0)
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    lengths = {len(request.plan.videos[0].frame_indices) for request in windows}
    assert max(lengths) - min(lengths) <= 1
    assert summary.text == "merged"
    assert summary.duration_seconds == 3599.0


@pytest.mark.long
def test_the_windows_are_the_longest_that_fit(hour):
    chat, backend = _chat()
    summarize_video(chat, hour, sampling=SHORT)
    windows = [request for request in backend.requests if not _is_merge(request)]
    one_less = -(-3599 // (len(windows) - 1))
    prompt = windows[-1].messages[0].text
    times = tuple(range(3599 - one_less, 3600))
    plan = chat.plan(prompt, VideoPart(hour, timestamps_seconds=times), sampling=SHORT)
    assert plan.room_tokens < 40


def test_each_window_shows_the_frames_of_its_span_and_states_it_in_words(hour):
    chat, backend = _chat()
    summary = summarize_video(chat, hour, "Who?", window_seconds=100, sampling=SHORT)
    assert len(summary.segments) == 36
    request = backend.requests[12]
    assert [read_number(frame) for frame in request.media[0]] == list(range(1200, 1301))
    assert request.plan.videos[0].timestamps_seconds[0] == 1200.0
    text = request.messages[0].text
    assert "part 13 of 36" in text
    assert "0:20:00 to 0:21:40" in text
    assert "second 1200 to second 1300" in text
    assert text.endswith("Who?")
    assert summary.segments[12].span == "0:20:00 - 0:21:40"
    assert str(summary.segments[12]) == "[0:20:00 - 0:21:40] seen"


@pytest.mark.long
def test_a_window_that_does_not_fit_is_refused_with_the_longest_that_does(hour):
    chat, backend = _chat()
    with pytest.raises(ContextLengthError, match="600 s") as caught:
        summarize_video(chat, hour, window_seconds=600, sampling=SHORT)
    longest = float(caught.value.expected.rpartition(" ")[2])
    assert backend.requests == []
    summarize_video(chat, hour, window_seconds=longest, sampling=SHORT)


def test_windows_that_were_asked_for_are_kept_where_the_whole_would_fit(minute):
    chat, _ = _chat(context_tokens=4000)
    summary = summarize_video(chat, minute, window_seconds=20, sampling=SHORT)
    assert len(summary.segments) == 4
    starts = [start for start, _ in _spans(summary)]
    assert starts == pytest.approx([0, 20, 40, 60], abs=0.6)


def test_the_merge_is_given_every_answer_with_its_time_in_the_whole_video(minute):
    chat, backend = _chat(lambda r: f"saw {r.plan.prompt_tokens}" if r.media else "all")
    summarize_video(chat, minute, "Who {parts}?", window_seconds=30, sampling=SHORT)
    text = backend.requests[-1].messages[0].text
    assert "[0:00:00 - 0:00:30] saw" in text
    assert "[0:00:30 - 0:01:00] saw" in text
    assert "all of 0:00:00 to 0:01:01" in text
    assert text.endswith("Who {parts}?")


@pytest.mark.long
def test_answers_that_are_too_long_for_one_prompt_are_merged_in_levels(hour):
    def script(request):
        return "a b c d e f g h i j" if request.media else f"{len(request.messages[0].text)}"

    chat, backend = _chat(script)
    summary = summarize_video(chat, hour, window_seconds=100, sampling=SHORT)
    merges = [request for request in backend.requests if _is_merge(request)]
    assert len(merges) == len(summary.merges) >= 3
    assert all(request.plan.max_new_tokens == 40 for request in merges)
    first_level = "".join(request.messages[0].text for request in merges[:-1])
    assert all(f"[{segment.span}]" in first_level for segment in summary.segments)
    assert summary.text == summary.merges[-1].text
    assert summary.reply == summary.merges[-1]


def test_answers_of_which_no_two_fit_together_stand_one_after_another(minute):
    chat, backend = _chat(lambda r: "word " * 60, context_tokens=200)
    summary = summarize_video(chat, minute, sampling=Sampling(max_new_tokens=90))
    assert len(summary.segments) > 1
    assert all(not _is_merge(request) for request in backend.requests)
    assert summary.text == "\n".join(map(str, summary.segments))
    assert (summary.reply, summary.confidence) == (None, None)
    assert "not merged" in summary.warnings[0]


def test_a_merge_that_fails_leaves_the_answers_one_after_another(minute):
    def script(request):
        if _is_merge(request):
            raise GenerationError("out of ideas")
        return "seen"

    chat, _ = _chat(script)
    summary = summarize_video(chat, minute, window_seconds=30, sampling=SHORT)
    assert summary.text.count("seen") == 3
    assert "out of ideas" in summary.warnings[0]


@pytest.mark.long
def test_a_window_that_fails_costs_only_itself_and_is_named_in_the_warnings(hour):
    def script(request):
        if "part 3 of" in request.messages[0].text:
            raise OutOfMemoryError("too little")
        return "seen" if request.media else "merged"

    chat, backend = _chat(script)
    summary = summarize_video(chat, hour, window_seconds=100, sampling=SHORT)
    (failed,) = summary.failures
    assert failed == summary.segments[2]
    assert (failed.text, failed.reply, failed.confidence) == ("", None, None)
    assert failed.failure.index == 2
    assert failed.failure.error.where == "windows[2]"
    assert "0:03:20 - 0:05:00" in summary.warnings[0]
    assert "too little" in str(failed)
    assert "0:03:20 - 0:05:00" not in backend.requests[-1].messages[0].text
    assert summary.text == "merged"


def test_a_single_answer_among_failures_is_the_summary(minute):
    def script(request):
        if "part 2 of" in request.messages[0].text:
            return "seen"
        raise GenerationError("no")

    chat, _ = _chat(script)
    summary = summarize_video(chat, minute, window_seconds=20, sampling=SHORT)
    assert (summary.text, summary.merges) == ("seen", ())
    assert len(summary.warnings) == 3


@pytest.mark.long
def test_if_all_windows_fail_the_first_error_is_raised(minute):
    chat, _ = _chat([GenerationError(name) for name in ("one", "two", "three", "four")])
    with pytest.raises(GenerationError, match="one") as caught:
        summarize_video(chat, minute, window_seconds=20, sampling=SHORT)
    assert caught.value.where == "windows[0]"


def test_usage_is_that_of_all_requests(minute):
    chat, backend = _chat()
    summary = summarize_video(chat, minute, window_seconds=20, sampling=SHORT)
    plans = [request.plan for request in backend.requests]
    assert len(plans) == 5
    assert summary.usage.prompt_tokens == sum(plan.prompt_tokens for plan in plans)
    assert summary.usage.visual_tokens == sum(plan.visual_tokens for plan in plans)
    assert summary.usage.completion_tokens == 5
    assert summary.confidence == pytest.approx(np.exp(-0.1))
    assert summary.segments[0].confidence == pytest.approx(np.exp(-0.1))


def test_an_answer_that_was_cut_is_a_warning(minute):
    chat, _ = _chat(lambda r: "a b c d")
    tiny = Sampling(max_new_tokens=3)
    summary = summarize_video(chat, minute, window_seconds=40, sampling=tiny)
    assert len(summary.warnings) == 3
    assert all("max_new_tokens" in warning for warning in summary.warnings)


@pytest.mark.long
def test_a_part_of_a_video_keeps_its_times_in_the_whole(hour):
    chat, backend = _chat(context_tokens=4000)
    part = VideoPart(hour, fps=0.5, start_seconds=1000, end_seconds=1060)
    summary = summarize_video(chat, part, sampling=SHORT)
    assert _spans(summary) == [(1000.0, 1060.0)]
    assert "0:16:40 to 0:17:40" in backend.requests[0].messages[0].text
    assert len(backend.requests[0].plan.videos[0].frame_indices) == 30


def test_settings_of_a_part_win_over_the_rate(minute):
    chat, backend = _chat(context_tokens=4000)
    summarize_video(chat, VideoPart(minute, num_frames=7), fps=3, sampling=SHORT)
    summarize_video(chat, minute, fps=3, sampling=SHORT)
    counts = [len(request.plan.videos[0].frame_indices) for request in backend.requests]
    assert counts == [7, 182]


@pytest.mark.parametrize(
    "as_source", [list, tuple, lambda frames: np.stack([*map(np.asarray, frames)])]
)
def test_a_sequence_of_frames_is_cut_at_their_times(as_source):
    times = tuple(float(10 + n * n) for n in range(40))
    part = VideoPart(as_source(_frames(40)), timestamps_seconds=times)
    chat, backend = _chat(context_tokens=150)
    summary = summarize_video(chat, part, sampling=SHORT)
    windows = [request for request in backend.requests if request.media]
    assert len(windows) > 1
    assert (_spans(summary)[0][0], _spans(summary)[-1][1]) == (10.0, 10.0 + 39**2)
    assert summary.duration_seconds == 39**2
    seen = [int(frame[0, 0, 0]) for request in windows for frame in request.media[0]]
    assert sorted(set(seen)) == list(range(40))
    assert {t for r in windows for t in r.plan.videos[0].timestamps_seconds} == set(times)


def test_a_sequence_without_times_is_refused():
    with pytest.raises(VideoTimingError):
        summarize_video(_chat()[0], _frames(3))


def test_a_context_for_one_frame_at_a_time_still_gives_spans_without_gaps():
    chat, _ = _chat(context_tokens=98)
    part = VideoPart(_frames(5), fps=1)
    summary = summarize_video(
        chat, part, sampling=Sampling(max_new_tokens=45), budget=PixelBudget(4, 4)
    )
    spans = _spans(summary)
    assert (spans[0][0], spans[-1][1]) == (0.0, 4.0)
    assert all(before[1] == after[0] for before, after in pairwise(spans))


def test_a_context_too_short_for_a_single_frame_is_an_error_before_anything_runs(hour):
    chat, backend = _chat(context_tokens=30)
    with pytest.raises(ContextLengthError, match="single frame"):
        summarize_video(chat, hour)
    assert backend.requests == []


@pytest.mark.long
def test_an_answer_may_take_half_the_context_at_most(hour):
    chat, backend = _chat()
    summarize_video(chat, hour, sampling=Sampling(max_new_tokens=100_000))
    assert all(request.plan.max_new_tokens >= 200 for request in backend.requests)


@pytest.mark.long
def test_a_total_budget_is_for_one_window(hour):
    chat, backend = _chat()
    summarize_video(chat, hour, sampling=SHORT, budget=PixelBudget(4, 4, total_tokens=80))
    totals = [r.plan.visual_tokens for r in backend.requests if r.media]
    assert len(totals) > 20
    assert max(totals) <= 80


@pytest.mark.parametrize("window_seconds", [0, -1, float("nan"), float("inf"), "60", True])
def test_a_window_that_is_no_length_is_refused(minute, window_seconds):
    with pytest.raises(VideoTimingError, match="window_seconds"):
        summarize_video(_chat()[0], minute, window_seconds=window_seconds)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"question": " "}, MessageError),
        ({"question": 3}, MessageError),
        ({"window_prompt": "Tell me."}, MessageError),
        ({"merge_prompt": "Merge."}, MessageError),
        ({"budget": "huge"}, BudgetError),
        ({"sampling": {"temperature": 1}}, SamplingError),
        ({"fps": 0}, VideoTimingError),
        ({"window_seconds": 0.2}, VideoTimingError),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_before_anything_runs(minute, options, error):
    chat, backend = _chat()
    with pytest.raises(error):
        summarize_video(chat, minute, **options)
    assert backend.requests == []


def test_a_film_that_is_not_there_is_named_with_its_place():
    with pytest.raises(MediaNotFoundError) as caught:
        summarize_video(_chat()[0], "/no/such.mp4")
    assert caught.value.where == "messages[0].parts[0]"


def test_a_segment_of_ten_hours_is_written_in_hours():
    assert VideoSegment(36_000, 36_059.6, "x").span == "10:00:00 - 10:01:00"
    assert isinstance(VideoSummary("x", (), 0.0).usage.prompt_tokens, int)


def test_with_a_journal_nothing_is_asked_twice(hour, tmp_path):
    journal = tmp_path / "summary.jsonl"
    first, _ = _chat()
    before = summarize_video(first, hour, sampling=SHORT, journal=journal)
    second, backend = _chat()
    again = summarize_video(second, hour, sampling=SHORT, journal=journal, progress=True)
    assert backend.requests == []
    assert again == before


def test_what_failed_is_asked_again_and_merged_anew(minute, tmp_path):
    journal = tmp_path / "summary.jsonl"

    def script(request):
        if "part 2 of" in request.messages[0].text:
            raise GenerationError("no")
        return "seen" if request.media else "partly"

    options = {"window_seconds": 20, "sampling": SHORT, "journal": journal}
    partly = summarize_video(_chat(script)[0], minute, **options)
    chat, backend = _chat()
    whole = summarize_video(chat, minute, **options)
    assert (partly.text, whole.text) == ("partly", "merged")
    assert ["part 2 of" in request.messages[0].text for request in backend.requests] == [
        True,
        False,
    ]
    assert whole.warnings == ()


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"question": "Why?"}, "question"),
        ({"fps": 2.0}, "fps"),
        ({"window_seconds": 30}, "window_seconds"),
        ({"sampling": Sampling(max_new_tokens=41)}, "sampling"),
        ({"budget": "quick"}, "budget"),
        ({"window_prompt": "{question}"}, "window_prompt"),
    ],
)
def test_a_journal_of_other_settings_is_refused(minute, tmp_path, changed, name):
    options = {"window_seconds": 20, "sampling": SHORT, "journal": tmp_path / "summary.jsonl"}
    summarize_video(_chat(context_tokens=20_000)[0], minute, **options)
    chat, backend = _chat(context_tokens=20_000)
    with pytest.raises(JournalError, match=f"{name} was"):
        summarize_video(chat, minute, **{**options, **changed})
    assert backend.requests == []


def test_a_journal_of_another_model_or_chat_budget_is_refused(minute, tmp_path):
    options = {"sampling": SHORT, "journal": tmp_path / "summary.jsonl"}
    summarize_video(_chat(context_tokens=20_000)[0], minute, **options)
    with pytest.raises(JournalError, match="model was"):
        summarize_video(_chat(context_tokens=20_000, family="qwen2_5_vl")[0], minute, **options)
    backend = ScriptedBackend(["x"], context_tokens=20_000)
    with pytest.raises(JournalError, match="frame_size was"):
        summarize_video(VisionChat(backend, budget="quick"), minute, **options)


def test_a_film_that_was_changed_or_replaced_is_noticed(minute, tmp_path):
    film = tmp_path / "film.mp4"
    film.write_bytes(minute.read_bytes())
    options = {"sampling": SHORT, "journal": tmp_path / "summary.jsonl"}
    summarize_video(_chat()[0], film, **options)
    os.utime(film, ns=(0, 0))
    with pytest.raises(JournalError, match="video was"):
        summarize_video(_chat()[0], film, **options)


@pytest.mark.parametrize(
    "frames",
    [
        lambda: _frames(6),
        lambda: np.stack([*map(np.asarray, _frames(6))]),
        lambda: [frame.tobytes() and np.asarray(frame) for frame in _frames(6)],
        lambda: [frame.convert("P") for frame in _frames(6)],
    ],
)
def test_frames_in_memory_are_known_by_their_pixels(tmp_path, frames):
    options = {"sampling": SHORT, "journal": tmp_path / "summary.jsonl"}
    summarize_video(_chat()[0], VideoPart(frames(), fps=1), **options)
    chat, backend = _chat()
    summarize_video(chat, VideoPart(frames(), fps=1), **options)
    assert backend.requests == []
    with pytest.raises(JournalError, match="video was"):
        summarize_video(chat, VideoPart(_frames(7)[1:], fps=1), **options)


def test_a_film_in_memory_is_known_by_its_bytes(minute, tmp_path):
    options = {"sampling": SHORT, "journal": tmp_path / "summary.jsonl"}
    data = minute.read_bytes()
    summarize_video(_chat()[0], data, **options)
    chat, backend = _chat()
    summarize_video(chat, bytearray(data), **options)
    assert backend.requests == []


def test_a_file_that_is_no_journal_is_left_alone(minute, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(JournalError):
        summarize_video(_chat()[0], minute, sampling=SHORT, journal=path)
    assert path.read_text() == "mine"


_SLOW = """
import sys, time
from qwenvl_kit import Sampling, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.tasks import summarize_video

def script(request):
    time.sleep(0.05)
    return "before"

summarize_video(
    VisionChat(ScriptedBackend(script, context_tokens=400)), sys.argv[1],
    sampling=Sampling(max_new_tokens=40), window_seconds=100, journal=sys.argv[2],
)
"""


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="Windows has no kill -9")
def test_after_kill_9_only_what_is_missing_is_asked(hour, tmp_path):
    journal = tmp_path / "summary.jsonl"
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", _SLOW, str(hour), str(journal)], cwd=root)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if journal.exists() and journal.read_bytes().count(b'"key": "window ') >= 5:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    with journal.open("ab") as file:  # as if it had been killed in the middle of a line
        file.write(b'{"key": "window 30", "record": {"text": "half of')
    kept = {entry.get("key") for entry in map(json.loads, journal.read_bytes().splitlines()[:-1])}
    num_kept = sum(str(key).startswith("window ") for key in kept)
    assert 5 <= num_kept < 36

    chat, backend = _chat()
    summary = summarize_video(chat, hour, sampling=SHORT, window_seconds=100, journal=journal)
    asked = [request for request in backend.requests if request.media]
    assert len(asked) == 36 - num_kept
    assert [segment.text for segment in summary.segments] == [
        *["before"] * num_kept,
        *["seen"] * (36 - num_kept),
    ]
    assert summary.text == "merged"
