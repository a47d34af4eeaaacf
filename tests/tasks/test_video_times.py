"""Times in answers: every form in which models write them, and what is no time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenvl_kit.tasks.video_times import read_time, written_times


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at 0:12 he turns", [12]),
        ("at 12.5 s he turns", [12.5]),
        ("<12.5 seconds>", [12.5]),
        ("第12秒，他转身", [12]),
        ("00:01:02,500", [62.5]),
        ("04:19.80.", [259.8]),
        ("at 1:02:03.250", [3723.25]),
        ("0：12", [12]),
        ("1分5秒", [65]),
        ("1小时2分3秒", [3723]),
        ("十二秒时", [12]),
        ("第一百零五秒", [105]),
        ("第3分钟", [180]),
        ("1 min 5 s", [65]),
        ("1m5s", [65]),
        ("at 2 minutes and 5 seconds", [125]),
        ("after 2 minutes", [120]),
        ("between 12 and 15 seconds", [12, 15]),
        ("12.0 - 14.5 seconds", [12, 14.5]),
        ("from second 12 to 15", [12, 15]),
        ("in the 12th second", [12]),
        ("around the 12-second mark of a 30-second clip", [12]),
        ("第12到15秒", [12, 15]),
        ("12秒至15秒", [12, 15]),
        ("0:12-0:15", [12, 15]),
        ("<0.0 seconds> - <5.2 seconds>: A man", [0, 5.2]),
        ("at 0:05, 0:10, and 0:15", [5, 10, 15]),
        ("for 5 seconds, then at 7s", [7]),
        # QwenLM/Qwen3-VL issues 1737, 1379; vllm-project/vllm issue 26902
        ("0:00-0:05 画面展示了一座桥梁的结构", [0, 5]),
        ("元素出现在视频的30秒，模型返回15秒", [30, 15]),
        ("- 28.2s: a group does Tai Chi\n- 195.2s: basketball", [28.2, 195.2]),
    ],
)
def test_times_are_read_in_all_written_forms(text: str, expected: list[float]) -> None:
    assert [found.seconds for found in written_times(text)] == pytest.approx(expected)


@pytest.mark.parametrize(
    "text",
    [
        *("", "no time at all", "a ratio of 16:9", "1080p at 30 fps", "it is 3:30 pm", "score 3:2"),
        *("it lasts about 3 seconds", "持续5秒", "历时十秒", "music of the 90s", "in the 1980s"),
        *("1:2:3:4:5", "at 00:75", "5 sheep", "a 2-second clip", "room 12", "2024-01-02"),
    ],
)
def test_other_numbers_are_no_times(text: str) -> None:
    assert written_times(text) == ()


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        *((12, 12), (12.5, 12.5), ("12.5", 12.5), ("12.5s", 12.5), ("<3.0 seconds>", 3)),
        *(("00:75.00", 75), ("0:12:03.5", 723.5), ("00:00:01,500", 1.5), ("第3秒", 3)),
        *((True, None), (-1, None), ("soon", None), ("", None), (None, None), ([1], None)),
        *((float("nan"), None), (float("inf"), None), ("1" * 500, None)),
    ],
)
def test_the_value_of_a_field_is_read_as_a_time(written: object, seconds: float | None) -> None:
    found = read_time(written)
    assert found == (seconds if seconds is None else pytest.approx(seconds))


@given(st.integers(0, 35_999_99), st.sampled_from(["mm:ss.ff", "h:mm:ss.ff", "s", "seconds", "秒"]))
def test_what_is_written_is_read_back(hundredths: int, form: str) -> None:
    seconds, rest = divmod(hundredths, 100)
    clock = f"{seconds % 60:02}.{rest:02}"
    text = {
        "mm:ss.ff": f"{seconds // 60:02}:{clock}",
        "h:mm:ss.ff": f"{seconds // 3600}:{seconds // 60 % 60:02}:{clock}",
        "s": f"{seconds}.{rest:02} s",
        "seconds": f"<{seconds}.{rest:02} seconds>",
        "秒": f"第{seconds}.{rest:02}秒",
    }[form]
    if form == "mm:ss.ff" and seconds >= 60_000:
        return
    (found,) = written_times(f"It is {text}.")
    assert found.seconds == pytest.approx(hundredths / 100)
    assert read_time(text) == pytest.approx(hundredths / 100)


@given(st.text(max_size=400), st.text("0123456789:.,- sto秒第分一十<>", max_size=400))
def test_no_text_breaks_the_reader(anything: str, alike: str) -> None:
    for text in (anything, alike):
        for found in written_times(text):
            assert 0 <= found.start < found.stop <= len(text)
            assert found.seconds >= 0


@pytest.mark.alone
@pytest.mark.parametrize(
    "text",
    [
        *("1:" * 200_000, "1" * 400_000, "第" * 200_000),
        *("1 m " * 100_000, "一" * 200_000, "12 - " * 80_000),
    ],
)
def test_long_nonsense_is_read_in_linear_time(text: str) -> None:
    started = time.perf_counter()
    written_times(text)
    assert time.perf_counter() - started < 5
