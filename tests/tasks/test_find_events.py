"""Events of films: read as models write them, on the time of the whole film, for every family."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenvl_kit import Sampling, Subtitle, VideoPart, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import (
    GenerationError,
    JournalError,
    MessageError,
    UnsupportedFeatureError,
    VideoTimingError,
)
from qwenvl_kit.families import FAMILIES
from qwenvl_kit.tasks import Event, Events, find_events
from qwenvl_kit.tasks.find_events.event_parser import parse_events
from tests.by_hand import picture
from tests.videos import write_video

SHORT = Sampling(max_new_tokens=40)
TIMED = "qwen3_vl"
COUNTED = "qwen2_5_vl"
UNTIMED = "qwen2_vl"


@pytest.fixture(scope="module")
def minute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "minute.mp4"
    return write_video(path, 121, width=64, height=36, fps=2)


def chat_of(script: Any, family: str = TIMED, context_tokens: int = 4000) -> VisionChat:
    backend = ScriptedBackend(script, family=family, context_tokens=context_tokens)
    return VisionChat(backend)


def requests_of(chat: VisionChat) -> list[Any]:
    return chat._slot.pipeline.backend.requests  # type: ignore[attr-defined,no-any-return]


def times(events: Any) -> list[tuple[float, float, str]]:
    return [(each.start_seconds, each.end_seconds, each.description) for each in events]


WALK = [(0.0, 15.2, "A man walks."), (15.2, 34.8, "He enters a hall.")]


@pytest.mark.parametrize(
    "text",
    [
        # video_understanding.ipynb of Qwen3-VL and Qwen2.5-VL, contents replaced
        '```json\n[\n{"start": "00:00.00", "end": "00:15.20", "description": "A man walks."},\n'
        '{"start": "00:15.20", "end": "00:34.80", "description": "He enters a hall."}\n]\n```',
        '{"start_time": "00:00.00", "end_time": "00:15.20", "description": "A man walks."},\n'
        '{"start_time": "00:15.20", "end_time": "00:34.80", "description": "He enters a hall."}',
        '{"events": [{"start": 0.0, "end": "15.2", "event": "A man walks."}, {"timestamp": '
        '"00:15.20 - 00:34.80", "caption": "He enters a hall."}]}',
        '[{"time": [0, 15.2], "sentence": "A man walks."}, {"time_range": "<15.2 seconds> to '
        '<34.8 seconds>", "label": "He enters a hall."}]',
        '[{"开始时间": "00:00.00", "结束时间": "00:15.20", "描述": "A man walks."}, '
        '{"开始": "15.2秒", "结束": "34.8秒", "事件": "He enters a hall."}]',
    ],
)
def test_json_of_all_forms_is_read(text: str) -> None:
    parsed = parse_events(text)
    assert times(parsed.events) == WALK
    assert parsed.warnings == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # QwenLM/Qwen3-VL issues 837 and 1737, and cookbook answers to "when does ... occur"
        (
            '{"query": "q", "relevant_windows": [["00:01", "00:05"], [7, 9.5]]}',
            [(1, 5, "q"), (7, 9.5, "q")],
        ),
        ("[[1.0, 2.5], [3, 4]]", [(1, 2.5, ""), (3, 4, "")]),
        ("The event happens in 12.3 - 15.6 seconds.", [(12.3, 15.6, "The event happens")]),
        ("From <12.0 seconds> to <15.0 seconds>, a dog barks.", [(12, 15, "a dog barks")]),
        (
            "- **00:12 - 00:15**: A goal.\n- **01:00**: The end.",
            [(12, 15, "A goal"), (60, 60, "The end")],
        ),
        ("0:00-0:05 一座桥\n0:06-0:10 画面切换", [(0, 5, "一座桥"), (6, 10, "画面切换")]),
        ("在第12秒到第15秒，小狗在叫。", [(12, 15, "小狗在叫")]),
        (
            "28.2s: Tai Chi\n195.2s: basketball",
            [(28.2, 28.2, "Tai Chi"), (195.2, 195.2, "basketball")],
        ),
        ('[{"start": "00:05.00", "end": "00:75.00", "description": "m"}]', [(5, 75, "m")]),
        ("1. 0:00–0:05: Intro\n2. 0:06–0:10: A bridge", [(0, 5, "Intro"), (6, 10, "A bridge")]),
        ("| Time | Event |\n|---|---|\n| 00:00 - 00:05 | A car |", [(0, 5, "A car")]),
        (
            '{"00:01 - 00:05": "a dog", "00:06 - 00:09": "a cat"}',
            [(1, 5, "a dog"), (6, 9, "a cat")],
        ),
        ('["00:01 - 00:05: a dog", "00:06 - 00:09: a cat"]', [(1, 5, "a dog"), (6, 9, "a cat")]),
        ('{"event 1": {"start": "00:01", "end": "00:02", "title": "a"}}', [(1, 2, "a")]),
        (
            '[{"start_time": "12:34.56s", "end_time": "755.2s", "title": "a"}]',
            [(754.56, 755.2, "a")],
        ),
        ("There is no such event.", []),
        ("[]", []),
        ("", []),
    ],
)
def test_other_answers_are_read(text: str, expected: list[tuple[float, float, str]]) -> None:
    assert times(parse_events(text).events) == [
        (pytest.approx(start), pytest.approx(end), words) for start, end, words in expected
    ]


@pytest.mark.parametrize(
    ("text", "number", "warning"),
    [
        ('[{"start": "soon", "end": "later", "description": "x"}]', 0, "cannot be read"),
        ('[{"start": "00:01", "end": "00:05", "descrip', 1, "ends inside its list of events"),
        ('[{"start": "00:01", "end": "00:0', 0, "cannot be read"),
        ('[{"start": 1, "end": 2, "description": "a"}}}', 1, "do not match"),
        ('{"start": null, "end": null}', 0, "cannot be read"),
    ],
)
def test_broken_answers_are_told(text: str, number: int, warning: str) -> None:
    parsed = parse_events(text)
    assert len(parsed.events) == number
    assert any(warning in told for told in parsed.warnings)


@given(st.text(max_size=200), st.text('{}[]":,0123456789 startend', max_size=200))
def test_no_answer_breaks_the_reader(anything: str, alike: str) -> None:
    parse_events(anything)
    parse_events(alike)
    parse_events('[{"start":' * 200 + alike)


@given(
    st.lists(
        st.tuples(st.integers(0, 500_000), st.integers(0, 9000), st.text("ab 桥", min_size=1)),
        max_size=9,
    )
)
def test_events_that_are_written_are_read_back(drawn: list[tuple[int, int, str]]) -> None:
    def clock(hundredths: int) -> str:
        return f"{hundredths // 6000:02}:{hundredths // 100 % 60:02}.{hundredths % 100:02}"

    text = json.dumps(
        [{"start": clock(a), "end": clock(a + b), "description": words} for a, b, words in drawn]
    )
    assert [(a, b, w) for a, b, w in times(parse_events(text).events)] == [
        (pytest.approx(a / 100), pytest.approx((a + b) / 100), " ".join(words.split()))
        for a, b, words in drawn
    ]


@pytest.mark.parametrize("family", sorted({*FAMILIES} - {UNTIMED}))
def test_events_of_a_film_have_seconds_words_and_confidence(family: str, minute: Path) -> None:
    answer = '[{"start": "00:10.00", "end": "00:12.50", "description": "A dog barks."}]'
    chat = chat_of([answer], family)
    events = find_events(chat, minute, "all barks", fps=1)
    (event,) = events
    assert isinstance(events, Events)
    assert isinstance(event, Event)
    assert times(events) == [(10.0, 12.5, "A dog barks.")]
    assert event.confidence is not None
    assert 0 < event.confidence < 1
    assert event.span == "0:10.00 - 0:12.50"
    assert events.at(11) == (event,)
    assert events.at(13) == ()
    assert events.to_subtitles() == (Subtitle(10, 12.5, "A dog barks."),)
    assert "1 event" in events._repr_html_()
    assert "A dog barks." in repr(events)
    asked = requests_of(chat)[0].messages[-1].text
    assert asked.startswith("Localize all barks in the video, output the start and end timestamp")
    assert events.warnings == ()


def test_a_family_without_times_is_refused_unless_the_prompt_is_the_callers(minute: Path) -> None:
    with pytest.raises(UnsupportedFeatureError, match=r"positions of qwen2_vl .* guess"):
        find_events(chat_of([], UNTIMED), minute, fps=1)
    events = find_events(chat_of([answer(1, 2)], UNTIMED), minute, fps=1, prompt="When?")
    assert times(events) == [(1, 2, "x")]
    assert any("could but guess" in told for told in events.warnings)


def test_the_published_prompts_are_sent_in_both_languages(minute: Path) -> None:
    chat = chat_of(["[]"] * 3)
    find_events(chat, minute, fps=1)
    find_events(chat, minute, "所有进球", fps=1, language="zh")
    find_events(chat, minute, "x", fps=1, prompt="When is {what}? {}")
    english, chinese, own = (request.messages[-1].text for request in requests_of(chat))
    assert english == (
        "Localize a series of activity events in the video, output the start and end timestamp for "
        "each event, and describe each event with sentences. Provide the result in json format "
        "with 'mm:ss.ff' format for time depiction."
    )
    assert chinese.startswith("定位视频中的所有进球，")
    assert own == "When is x? {}"


def windowed(script: Any, family: str, minute: Path, **more: Any) -> tuple[Events, VisionChat]:
    chat = chat_of(script, family)
    film = VideoPart(minute, timestamps_seconds=tuple(range(61)))
    events = find_events(chat, film, "x", window_seconds=30, sampling=SHORT, **more)
    return events, chat


def answer(start: float, end: float, words: str = "x") -> str:
    return json.dumps([{"start": start, "end": end, "description": words}])


def test_a_family_with_times_in_its_prompt_names_times_of_the_film(minute: Path) -> None:
    events, chat = windowed([answer(10, 12, "a"), answer(40, 42, "b")], TIMED, minute)
    assert times(events) == [(10, 12, "a"), (40, 42, "b")]
    assert events.warnings == ()
    assert [r.plan.videos[0].timestamps_seconds[0] for r in requests_of(chat)] == [0.0, 30.0]


def test_a_family_that_counts_from_the_first_frame_is_shifted_to_the_film(minute: Path) -> None:
    events, _ = windowed([answer(10, 12, "a"), answer(10, 12, "b")], COUNTED, minute)
    assert times(events) == [(10, 12, "a"), (40, 42, "b")]
    assert events.warnings == ()


def test_times_that_were_counted_from_the_other_beginning_are_told(minute: Path) -> None:
    events, _ = windowed([answer(10, 12), answer(3, 5)], TIMED, minute)
    assert [each.start_seconds for each in events] == [10, 33]
    assert any("counted from the window" in told for told in events.warnings)
    events, _ = windowed([answer(10, 12), answer(43, 45)], COUNTED, minute)
    assert [each.start_seconds for each in events] == [10, 43]
    assert any("counted in the whole film" in told for told in events.warnings)


def test_times_are_clipped_turned_and_left_out_and_all_is_told(minute: Path) -> None:
    text = json.dumps(
        [
            {"start": 5, "end": 3, "description": "turned"},
            {"start": 50, "end": 99, "description": "clipped"},
            {"start": 400, "end": 500, "description": "outside"},
            {"start": 4, "end": 6, "description": "overlaps"},
        ]
    )
    events = find_events(chat_of([text]), minute, fps=1)
    assert times(events) == [(3, 5, "turned"), (4, 6, "overlaps"), (50, 60.0, "clipped")]
    for told in ("turned round", "was clipped", "left out", "begin before an earlier one ends"):
        assert any(told in warning for warning in events.warnings), told


def test_events_without_words_are_not_joined(minute: Path) -> None:
    answers = ['[{"start": "0:10", "end": "0:20"}]', '[{"start": "0:20", "end": "0:25"}]']
    film = VideoPart(minute, fps=1, end_seconds=40)
    found = find_events(chat_of(answers), film, window_seconds=20, sampling=SHORT)
    assert [event.end_seconds for event in found] == [pytest.approx(20, abs=0.6), 25.0]


def test_one_event_in_two_windows_is_joined_where_they_meet(minute: Path) -> None:
    events, _ = windowed([answer(20, 30, "A walk."), answer(30, 44, "a walk")], TIMED, minute)
    assert times(events) == [(20, 44, "A walk.")]
    events, _ = windowed([answer(20, 30, "A walk."), answer(30, 44, "a run")], TIMED, minute)
    assert len(events) == 2
    events, _ = windowed([answer(2, 4, "A goal."), answer(40, 44, "A goal.")], TIMED, minute)
    assert len(events) == 2


def test_a_window_that_fails_costs_itself_alone(minute: Path) -> None:
    events, _ = windowed([GenerationError("broken"), answer(40, 44)], TIMED, minute)
    assert len(events) == 1
    assert len(events.failures) == 1
    assert any("is missing" in told for told in events.warnings)
    with pytest.raises(GenerationError, match="broken"):
        windowed([GenerationError("broken")] * 2, TIMED, minute)


def test_an_answer_that_ends_early_is_told(minute: Path) -> None:
    long = "[" + ", ".join('{"start": 1, "end": 2, "description": "a b c d"}' for _ in range(20))
    events = find_events(chat_of([long]), minute, fps=1, sampling=Sampling(max_new_tokens=15))
    assert any("cut at max_new_tokens" in told for told in events.warnings)
    assert len(events) >= 1


def test_prose_without_events_is_told(minute: Path) -> None:
    events = find_events(chat_of(["I see 3 dogs."]), minute, fps=1)
    assert len(events) == 0
    assert any("no event can be read" in told for told in events.warnings)
    assert find_events(chat_of(["None."]), minute, fps=1).warnings == ()


def test_each_window_has_the_lines_of_its_own_time(minute: Path) -> None:
    lines = [Subtitle(at, at + 0.4, f"at {at}") for at in range(60)]
    part = VideoPart(minute, fps=1, subtitles=lines)
    chat = chat_of(["[]", "[]"], COUNTED)
    find_events(chat, part, window_seconds=30, sampling=SHORT)
    first, second = (request.messages[0].text for request in requests_of(chat))
    assert ("at 29\n" in first, "at 31\n" in first) == (True, False)
    assert ("at 29\n" in second, "at 31\n" in second) == (False, True)


def test_frames_in_memory_are_searched_too() -> None:
    frames = VideoPart([picture(56, 56, at) for at in range(4)], fps=1)
    assert times(find_events(chat_of([answer(1, 2)]), frames)) == [(1, 2, "x")]


def test_a_journal_keeps_the_answers(minute: Path, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    script = [answer(10, 12), GenerationError("killed")]
    windowed(script, TIMED, minute, journal=path)
    events, chat = windowed([answer(40, 44)], TIMED, minute, journal=path)
    assert len(events) == 2
    assert len(requests_of(chat)) == 1
    with pytest.raises(JournalError):
        find_events(
            chat_of([]), minute, "y", fps=1, window_seconds=30, sampling=SHORT, journal=path
        )


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"what": ""}, MessageError),
        ({"what": 5}, MessageError),
        ({"language": "fr"}, MessageError),
        ({"window_seconds": 0}, VideoTimingError),
        ({"fps": 0}, VideoTimingError),
    ],
)
def test_bad_arguments_are_refused(minute: Path, given: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        find_events(chat_of([]), minute, **given)
