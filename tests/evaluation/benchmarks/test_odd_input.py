"""Inputs that users have met, and inputs that nobody would send on purpose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmarks.egoschema import EgoSchema
from qwenvl_kit.evaluation.benchmarks.mmbench import MMBench
from qwenvl_kit.evaluation.benchmarks.mmmu import MMMU
from qwenvl_kit.evaluation.benchmarks.mmmu_answers import open_score
from qwenvl_kit.evaluation.benchmarks.mvbench import MVBench
from qwenvl_kit.evaluation.benchmarks.perceptiontest import PerceptionTest
from qwenvl_kit.evaluation.benchmarks.refcoco import RefCOCO
from qwenvl_kit.evaluation.benchmarks.subtitles import read_subtitles
from qwenvl_kit.messages.message import ImagePart, TextPart
from tests.evaluation.benchmarks import test_egoschema as ego
from tests.evaluation.benchmarks import test_mmbench, test_mmmu, test_mvbench, test_perceptiontest
from tests.evaluation.benchmarks import test_refcoco as refcoco
from tests.evaluation.benchmarks.film_files import with_films, write_tsv


def test_an_option_may_be_the_word_none(tmp_path: Path) -> None:
    # VLMEvalKit, issues 677 and 1559: pandas reads it as no option, and the answer is not shown.
    row = test_mmmu.tsv_row(A="one", B="two", C="three", D="None", answer="D")
    (item,) = MMMU(write_tsv(tmp_path / "MMMU_DEV_VAL.tsv", [row]))
    assert item.choices == ("one", "two", "three", "None")


def test_pictures_may_be_named_in_any_order() -> None:
    # MMMU-Benchmark/MMMU, issue 70: `<image 2>` is the picture of `image_2`, wherever it is named.
    asked = MMMU(
        [test_mmmu.row(question="<image 2> or <image 1>?", options="['a', 'b']")],
        prompt="vlmevalkit",
    )
    parts = asked.messages(asked[0])[0].parts
    assert [part for part in parts if isinstance(part, ImagePart)] == list(asked[0].media)[::-1]


def test_there_may_be_more_options_than_four(tmp_path: Path) -> None:
    # AISBench/benchmark, issue 224
    letters = {letter: f"option {letter}" for letter in "ABCDEFGHI"}
    row = {**test_mmmu.tsv_row(answer="I"), **letters}
    asked = MMMU(write_tsv(tmp_path / "a.tsv", [row]))
    assert asked.score(asked[0], "I").value == 1.0
    assert asked.score(asked[0], "The answer is I.").value == 1.0


@pytest.mark.parametrize("answer", ["选项B", "答案：B", "应该选B。"])
def test_answers_in_chinese_are_read(answer: str) -> None:
    # VLMEvalKit, issue 552
    asked = MMBench(test_mmbench.rows(1, rotations=1))
    assert asked.score(asked[0], answer).value == 1.0


def test_a_file_without_a_column_of_answers_says_where_they_are(tmp_path: Path) -> None:
    # VLMEvalKit, issue 148: MMBench_TEST_EN.tsv; lmms-eval, issue 394: EgoSchema's full set
    rows = [{k: v for k, v in row.items() if k != "answer"} for row in test_mmbench.rows(1)]
    with pytest.raises(EvaluationError, match=r"mmbench\.opencompass\.org\.cn"):
        MMBench(write_tsv(tmp_path / "MMBench_TEST_EN.tsv", rows))
    films = with_films(tmp_path / "videos", [f"{ego.UID}.mp4"])
    row = {k: v for k, v in ego.row().items() if k != "answer"}
    with pytest.raises(EvaluationError, match="500 of its 5,031"):
        EgoSchema([row], folder=films)


@pytest.mark.parametrize(
    ("family", "answer", "value"),
    [
        # ms-swift, issue 2535: several boxes in one pair of tokens
        ("qwen2_vl", "<|box_start|>(100,100),(600,600), (620,279),(631,301)<|box_end|>", 1.0),
        # QwenLM/Qwen3-VL, issue 1137
        ("qwen3_vl", '{\n"bbox_2d": [100, 100, 600, 600]\n}', 1.0),
        # om-ai-lab/VLM-R1, issue 6: shares of the sides, which no family writes
        ("qwen3_vl", "[0.1, 0.1, 0.6, 0.6]", 0.0),
        # deepseek-ai/DeepSeek-VL2, issue 123
        ("qwen3_vl", "[[2, 311, 99999, 98]]", 0.0),
        ("qwen3_vl", "[[470,]]", 0.0),
        ("qwen3_vl", "[[0, 460, 891, 9999]]", 0.0),
        # an answer that was cut
        ("qwen3_vl", '```json\n[{"bbox_2d": [100, 100, 600, 600], "label": "la', 1.0),
        ("qwen3_vl", '```json\n[{"bbox_2d": [100, 100, 60', 0.0),
        ("qwen3_vl", '{"bbox_2d": [1e999, -1e999, "a", null]}', 0.0),
        ("qwen3_vl", "[" * 5000, 0.0),
    ],
)
def test_boxes_of_odd_answers_are_scored(family: str, answer: str, value: float) -> None:
    asked = RefCOCO([refcoco.tsv_row()], family=family)
    assert asked.score(asked[0], answer).value == value


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/passwd", "a\x00b", "a\nb", "x" * 5000, "..", ".", "~", "%2e%2e"],
)
def test_names_of_films_lead_nowhere_else(tmp_path: Path, name: str) -> None:
    films = with_films(tmp_path / "videos", ["video_8241.mp4"])
    with pytest.raises(EvaluationError, match="missing"):
        PerceptionTest([test_perceptiontest.row(video_name=name)], folder=films)


def test_a_cell_is_never_run(tmp_path: Path) -> None:
    films = with_films(tmp_path / "perception/videos", ["video_1.mp4"])
    row = {**test_mvbench.COUNT, "candidates": f"[open({str(tmp_path / 'made')!r}, 'w')]"}
    with pytest.raises(EvaluationError):
        MVBench({"action_count": [row]}, folder=films)
    assert not (tmp_path / "made").exists()


def test_json_of_great_depth_is_refused(tmp_path: Path) -> None:
    (tmp_path / "test.json").write_text("[" * 200_000)
    with pytest.raises(EvaluationError):
        MVBench(tmp_path / "test.json", folder=tmp_path)
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "action_count.json").write_text("[" * 200_000)
    with pytest.raises(EvaluationError, match="cannot be read as JSON"):
        MVBench(tmp_path / "json", folder=tmp_path)


def test_more_options_than_letters_are_refused(tmp_path: Path) -> None:
    films = with_films(tmp_path / "videos", ["video_8241.mp4"])
    options = [str(at) for at in range(30)]
    with pytest.raises(EvaluationError, match="at most 26"):
        PerceptionTest([test_perceptiontest.row(options=options)], folder=films)


def test_two_rows_of_one_id_are_refused() -> None:
    with pytest.raises(EvaluationError, match="two items have the id '1'"):
        MMBench(test_mmbench.rows(1, rotations=1) * 2)


@pytest.mark.parametrize("index", ["-1", "1.5", "१", "1e6", "", " "])
def test_an_odd_index_is_refused_or_named_by_its_row(index: str) -> None:
    row: dict[str, Any] = {**test_mmbench.rows(1)[0], "index": index}
    if index == "१":  # a digit of Devanagari
        assert MMBench([row])[0].facts["rotated"] == "1"
        return
    with pytest.raises(EvaluationError, match="whole number"):
        MMBench([row])


@pytest.mark.parametrize(
    "answer",
    ["1" * 50_000, "1," * 20_000, "is " * 20_000, "-" * 50_000, "1.1" * 20_000, "=\n" * 20_000],
)
def test_long_answers_are_scored(answer: str) -> None:
    assert open_score(answer, ["5"]).value == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "99:99:99,999 --> 00:00:00,000\nbackwards",
        "1\n00:00:01,000 --> 00:00:02,000\n" + "<" * 50_000,
        "1\n00:00:01,000 --> 00:00:02,000\n" + "{\\" * 50_000,
        "00:00:01,000 --> 00:00:02,000\n" * 5_000,
        "1\n" * 50_000 + "00:00:01,000 --> 00:00:02,000\nx",
    ],
)
def test_odd_subtitles_are_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.srt"
    path.write_text(text)
    assert read_subtitles(path)


def test_a_question_that_only_opens_its_mark_is_no_trouble() -> None:
    (item,) = RefCOCO([refcoco.tsv_row(question="<ref>" * 20_000)])
    assert item.question.startswith("<ref>")


def test_a_place_in_a_text_may_be_absurd() -> None:
    asked = MMMU(
        [test_mmmu.row(question=f"<image {'9' * 4000}> <image 0> <image -1>")], prompt="vlmevalkit"
    )
    with pytest.raises(EvaluationError, match="the item has 2 pictures"):
        asked.messages(asked[0])
    asked = MMMU(
        [test_mmmu.row(question="<image -1> <image one> <IMAGE 1>", options="['a', 'b']")],
        prompt="vlmevalkit",
    )
    assert isinstance(asked.messages(asked[0])[0].parts[-1], TextPart)


def test_a_benchmark_of_thousands_of_rows_is_read(tmp_path: Path) -> None:
    films = with_films(tmp_path / "videos", [f"video_{at}.mp4" for at in range(200)])
    rows = [
        test_perceptiontest.row(video_name=f"video_{at % 200}", question_id=str(at))
        for at in range(3000)
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    assert len(PerceptionTest(tmp_path / "rows.json", folder=films)) == 3000
