"""MVBench: 20 tasks in the files of its makers, of VLMEvalKit, and of lmms-eval."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit.errors import EvaluationError, QwenVLKitWarning
from qwenvl_kit.evaluation.benchmarks.mvbench import SYSTEM, MVBench
from qwenvl_kit.evaluation.benchmarks.mvbench_files import FOLDERS, task_name
from qwenvl_kit.evaluation.evaluating import score_answers
from qwenvl_kit.messages.message import VideoPart
from tests.evaluation.benchmarks.film_files import only_film, with_films, write_parquet, write_tsv

SEQUENCE = {
    "video": "ZS9XR.mp4",
    "question": "What happened after the person took the food?",
    "candidates": [
        "Ate the medicine.",
        "Tidied up the blanket.",
        "Put down the cup.",
        "Took the box.",
    ],
    "answer": "Ate the medicine.",
    "question_id": "Sequence_T1_1",
    "start": 11.1,
    "end": 19.6,
}
ANTONYM = {
    "video": "166583.webm",
    "question": "What is the action performed by the person in the video?",
    "candidates": ["Not sure", "Scattering something down", "Piling something up"],
    "answer": "Piling something up",
}
EPISODIC = {
    "video": "friends_s09e04_seg02_clip_10",
    "question": "What was Ross doing?",
    "candidates": ["a", "b", "c", "d", "e"],
    "answer": "e",
    "start": 2.0,
    "end": 5.0,
}
COUNT = {
    "video": "video_1.mp4",
    "question": "How many times was the thing put down?",
    "candidates": ["4", "3", "2"],
    "answer": "3",
}
MOVING = {**COUNT, "question": "How many metal objects are moving?"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder as `huggingface-cli download OpenGVLab/MVBench` leaves it, a row a task."""
    folder = tmp_path / "MVBench"
    (folder / "json").mkdir(parents=True)
    tasks = {
        "action_sequence": SEQUENCE,
        "action_antonym": ANTONYM,
        "episodic_reasoning": EPISODIC,
        "action_count": COUNT,
        "moving_count": MOVING,
    }
    for task, row in tasks.items():
        (folder / "json" / f"{task}.json").write_text(json.dumps([row]))
    with_films(
        folder / "video",
        [
            "star/Charades_v1_480/ZS9XR.mp4",
            "ssv2_video/166583.webm",
            "perception/videos/video_1.mp4",
            "clevrer/video_validation/video_1.mp4",
            *(f"tvqa/frames_fps3_hq/{EPISODIC['video']}/{at:05d}.jpg" for at in range(1, 31)),
        ],
    )
    return folder


def by_task(asked: MVBench) -> dict[str, Any]:
    return {item.groups["task"]: item for item in asked}


def test_the_folder_of_its_makers_is_read(root: Path) -> None:
    items = by_task(MVBench(root / "json", folder=root / "video"))
    assert items["action_sequence"].targets == ("A",)
    assert items["action_antonym"].targets == ("C",)
    assert items["episodic_reasoning"].targets == ("E",)
    assert items["action_sequence"].id == "action_sequence/0"
    film = only_film(items["action_sequence"])
    assert (film.start_seconds, film.end_seconds) == (11.1, 19.6)
    assert str(film.source).endswith("star/Charades_v1_480/ZS9XR.mp4")


def test_the_films_lie_beside_the_questions(root: Path) -> None:
    assert len(MVBench(root / "json")) == 5


def test_films_of_one_name_are_told_apart_by_their_tasks(root: Path) -> None:
    items = by_task(MVBench(root / "json"))
    assert str(only_film(items["action_count"]).source).endswith("perception/videos/video_1.mp4")
    assert "clevrer" in str(only_film(items["moving_count"]).source)


def test_a_film_may_be_a_folder_of_frames(root: Path) -> None:
    film = only_film(by_task(MVBench(root / "json", fps=3))["episodic_reasoning"])
    numbers = [int(Path(str(source)).stem) for source in film.source]  # type: ignore[union-attr]
    assert numbers == list(range(6, 16))  # from round(2 s * 3) to round(5 s * 3)


def test_a_film_that_is_cut_already_is_not_cut_again(tmp_path: Path) -> None:
    # lmms-eval, issue 403: the branch `video` has `NBMH9_21.4_37.6.mp4` for NBMH9 from 21.4 to 37.6
    folder = with_films(tmp_path / "video", ["sta/sta_video_segment/NBMH9_21.4_37.6.mp4"])
    row = {**COUNT, "video": "NBMH9_21.4_37.6.mp4", "start": 21.4, "end": 37.6}
    (item,) = MVBench({"action_localization": [row]}, folder=folder)
    film = only_film(item)
    assert (film.start_seconds, film.end_seconds) == (None, None)


def test_a_name_with_other_numbers_is_cut(tmp_path: Path) -> None:
    folder = with_films(tmp_path / "video", ["sta/sta_video/a_1_2.mp4"])
    row = {**COUNT, "video": "a_1_2.mp4", "start": 21.4, "end": 37.6}
    (item,) = MVBench({"action_localization": [row]}, folder=folder)
    assert only_film(item).start_seconds == 21.4


def test_one_file_with_all_tasks_is_read(root: Path) -> None:
    content = {
        "root": {
            "action_sequence": "video/star/Charades_v1_480",
            "action_count": "video/perception/videos/",
        },
        "meta": {"action_sequence": [SEQUENCE], "action_count": [COUNT]},
    }
    (root / "test.json").write_text(json.dumps(content))
    for folder in (root, root / "video", None):
        items = by_task(MVBench(root / "test.json", folder=folder))
        assert "perception" in str(only_film(items["action_count"]).source)


def test_the_file_of_vlmevalkit_is_read(root: Path) -> None:
    rows = [
        {
            "task_type": "Action Sequence",
            "prefix": "video/star/Charades_v1_480/",
            "data_type": "video",
            "bound": True,
            "start": 11.1,
            "end": 19.6,
            "video": "ZS9XR.mp4",
            "question": SEQUENCE["question"],
            "answer": SEQUENCE["answer"],
            "candidates": str(SEQUENCE["candidates"]),
            "index": 0,
        },
        {
            "task_type": "Action Count",
            "prefix": "video/perception/videos/",
            "data_type": "video",
            "bound": False,
            "start": "",
            "end": "",
            "video": "video_1.mp4",
            "question": COUNT["question"],
            "answer": "3",
            "candidates": "['4', '3', '2']",
            "index": 1,
        },
    ]
    items = by_task(MVBench(write_tsv(root / "MVBench.tsv", rows)))
    assert items["action_sequence"].id == "0"
    assert only_film(items["action_sequence"]).end_seconds == 19.6
    assert items["action_count"].targets == ("B",)
    assert only_film(items["action_count"]).end_seconds is None


def test_the_file_of_its_films_as_mp4_is_read(root: Path) -> None:
    rows = [
        {
            "task_type": "action_count",
            "prefix": "video/perception/videos/",
            "video": "video_1.mp4",
            "question": COUNT["question"],
            "answer": "3",
            "candidates": "['4', '3', '2']",
            "index": 7,
        }
    ]
    (item,) = MVBench(write_tsv(root / "MVBench_MP4.tsv", rows))
    assert (item.id, item.targets, item.groups["task"]) == ("7", ("B",), "action_count")


def test_data_sets_by_task_are_read(root: Path) -> None:
    asked = MVBench({"action_count": [COUNT], "moving_count": [MOVING]}, folder=root / "video")
    assert [item.groups["task"] for item in asked] == ["action_count", "moving_count"]


def test_rows_with_a_task_are_read(tmp_path: Path, root: Path) -> None:
    file = write_parquet(tmp_path / "rows.parquet", [{"task": "action_count", **COUNT}])
    assert MVBench(file, folder=root)[0].targets == ("B",)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Action Sequence", "action_sequence"),
        ("Fine-grained Pose", "fine_grained_pose"),
        ("fine_grained_pose", "fine_grained_pose"),
        ("Counterfactual Inference ", "counterfactual_inference"),
    ],
)
def test_the_names_of_tasks_are_one(name: str, expected: str) -> None:
    assert task_name(name) == expected
    assert expected in FOLDERS


def test_there_are_twenty_tasks() -> None:
    assert len(FOLDERS) == 20


def test_the_prompts_are_as_published(root: Path) -> None:
    data = {"action_count": [COUNT]}
    asked = MVBench(data, folder=root, prompt="vlmevalkit")
    (message,) = asked.messages(asked[0])
    first, film, last = message.parts
    # The texts of `MVBench_MP4.build_prompt` of VLMEvalKit, joined as its Qwen2VLChat joins them.
    assert first.text == SYSTEM  # type: ignore[union-attr]
    assert isinstance(film, VideoPart)
    assert last.text == (  # type: ignore[union-attr]
        "Question: How many times was the thing put down?\nOptions:\n(A) 4\n(B) 3\n(C) 2\n"
        "Only give the best option.Best option:("
    )
    asked = MVBench(data, folder=root, prompt="lmms_eval")
    # The value of `mvbench_doc_to_text` of lmms-eval with its `post_prompt`.
    assert asked.prompt_text(asked[0]) == (
        "Question:How many times was the thing put down?\nOption:\n(A) 4\n(B) 3\n(C) 2\n"
        "Only give the best option.\n"
    )
    asked = MVBench(data, folder=root)
    film, last = asked.messages(asked[0])[0].parts
    assert isinstance(film, VideoPart)
    assert last.text.endswith("A. 4\nB. 3\nC. 2\nThe best answer is:")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("answer", "value", "read"),
    [
        ("B", 1.0, "B"),
        ("(B) 3", 1.0, "B"),
        ("B) 3", 1.0, "B"),  # after "Best option:("
        ("3", 1.0, "B"),
        ("Best option: (B)", 1.0, "B"),
        ("A) 4", 0.0, "A"),
        ("", 0.0, None),
        ("5", 0.0, None),
    ],
)
def test_an_answer_is_scored_by_its_letter(
    root: Path, answer: str, value: float, read: str | None
) -> None:
    asked = MVBench({"action_count": [COUNT]}, folder=root)
    score = asked.score(asked[0], answer)
    assert (score.value, score.read) == (value, read)


def test_empty_answers_stay_in_the_denominator(root: Path) -> None:
    asked = MVBench({"action_count": [COUNT] * 3}, folder=root)
    ids = [item.id for item in asked]
    result = score_answers(asked, {ids[0]: "B", ids[1]: "", ids[2]: ""})
    assert result.score == pytest.approx(1 / 3)  # lmms-eval: 100.0
    assert result.num_unread == 2


def test_the_score_is_the_mean_over_tasks(root: Path) -> None:
    data = {"action_count": [COUNT] * 3, "moving_count": [MOVING]}
    asked = MVBench(data, folder=root)
    result = score_answers(asked, {item.id: "B" if "action" in item.id else "A" for item in asked})
    assert result.score == 0.5
    assert result.estimates["accuracy"].value == 0.75
    assert result.by_group["task"]["action_count"].value == 1.0


def test_an_answer_that_is_among_the_options_twice_has_one_letter(root: Path) -> None:
    row = {**COUNT, "candidates": ["4", "3", "3"]}
    with pytest.warns(QwenVLKitWarning, match=r"twice in 1 of 1 items, such as action_count/0"):
        asked = MVBench({"action_count": [row]}, folder=root)
    assert asked[0].targets == ("B",)  # as lmms-eval; VLMEvalKit's prompt and score differ
    assert asked.score(asked[0], "B").value == 1.0
    assert asked.score(asked[0], "C").value == 0.0


def test_options_of_one_text_that_are_wrong_are_no_trouble(root: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MVBench({"action_count": [{**COUNT, "candidates": ["4", "4", "3"]}]}, folder=root)


def test_an_answer_that_is_no_option_is_refused(root: Path) -> None:
    with pytest.raises(EvaluationError, match="'7' is none of the options"):
        MVBench({"action_count": [{**COUNT, "answer": "7"}]}, folder=root)


def test_films_that_may_not_be_passed_on_can_be_failures(root: Path) -> None:
    # VLMEvalKit, issues 633 and 888: the films of Fine-grained Pose (NTU RGB+D) are not there.
    pose = {**COUNT, "video": "S001C001P001R001A001_rgb.avi"}
    data = {"action_count": [COUNT], "fine_grained_pose": [pose]}
    with pytest.raises(
        EvaluationError, match="the films of 1 of 2 items are missing, 1 in all: S001"
    ):
        MVBench(data, folder=root)
    asked = MVBench(data, folder=root, missing="fail")
    assert list(asked.missing) == ["fine_grained_pose/0"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "cannot be read as JSON"),
        ('{"meta": []}', "'meta' with the rows of each task"),
        ('{"meta": {"action_count": [1]}}', "row 0 is a int"),
        ('{"meta": {"action_count": 3}}', "is a int"),
        ('{"meta": {}}', "0 rows"),
    ],
)
def test_a_file_of_another_form_is_refused(root: Path, content: str, problem: str) -> None:
    (root / "test.json").write_text(content)
    with pytest.raises(EvaluationError, match=problem):
        MVBench(root / "test.json", folder=root)


def test_a_folder_without_tasks_is_refused(root: Path) -> None:
    with pytest.raises(EvaluationError, match="has no task of MVBench"):
        MVBench(root / "video", folder=root)


def test_a_time_that_is_no_number_is_refused(root: Path) -> None:
    with pytest.raises(EvaluationError, match="start is 'soon'"):
        MVBench({"action_count": [{**COUNT, "start": "soon"}]}, folder=root)
