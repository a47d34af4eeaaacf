"""MMBench: a question is right only if all of its rotations are."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmarks.mmbench import MMBench
from qwenvl_kit.evaluation.evaluating import chosen_items, score_answers
from tests.evaluation.benchmarks.film_files import write_parquet, write_tsv

OPTIONS = ("cat", "dog", "cow", "pig")
LETTERS = "ABCD"


def picture() -> str:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (32, 32), "red").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


PICTURE = picture()


def rows(number: int, *, rotations: int = 4, **changes: Any) -> list[dict[str, Any]]:
    """A question and its rotations, as VLMEvalKit's file has them; "dog" is right."""
    made = []
    for turn in range(rotations):
        turned = OPTIONS[-turn:] + OPTIONS[:-turn] if turn else OPTIONS
        made.append(
            {
                "index": number + turn * 1_000_000,
                "question": "Which animal is it?",
                "hint": "",
                **dict(zip(LETTERS, turned)),
                "answer": LETTERS[turned.index("dog")],
                "category": "identity_reasoning",
                "image": PICTURE if turn == 0 else str(number),
                "source": "made here",
                "l2-category": "attribute_reasoning",
                "comment": "",
                "split": "dev",
                **changes,
            }
        )
    return made


def right(asked: MMBench) -> dict[str, str]:
    return {item.id: item.targets[0] for item in asked}


def test_the_file_of_vlmevalkit_is_read(tmp_path: Path) -> None:
    asked = MMBench(write_tsv(tmp_path / "MMBench_DEV_EN.tsv", rows(241)))
    assert [item.id for item in asked] == ["241", "1000241", "2000241", "3000241"]
    assert [item.targets[0] for item in asked] == ["B", "C", "D", "A"]
    assert asked[1].choices == ("pig", "cat", "dog", "cow")
    assert asked[0].groups == {
        "category": "identity_reasoning",
        "l2_category": "attribute_reasoning",
    }
    assert len(asked[3].media) == 1  # the picture of row 241, by its index


def test_the_columns_of_hugging_face_are_read(tmp_path: Path) -> None:
    given = [
        {
            **{name: value for name, value in row.items() if name != "l2-category"},
            "L2-category": "attribute_reasoning",
            "hint": "nan",
            "image": {"bytes": base64.b64decode(PICTURE), "path": None},
        }
        for row in rows(7)
    ]
    asked = MMBench(write_parquet(tmp_path / "dev.parquet", given))
    assert asked[0].groups["l2_category"] == "attribute_reasoning"
    assert "Hint" not in asked.prompt_text(asked[0])


def test_a_question_is_right_only_in_all_of_its_rotations() -> None:
    asked = MMBench([*rows(1), *rows(2)])
    answers = right(asked) | {"3000002": "B"}
    result = score_answers(asked, answers)
    # `prefetch_circular_group` of VLMEvalKit: question 1 is a hit, question 2 is none.
    assert result.score == 0.5
    assert result.estimates["vanilla"].value == 1.0
    assert result.estimates["all rotations"].value == 7 / 8


def test_an_unread_rotation_makes_its_question_wrong() -> None:
    asked = MMBench(rows(1))
    result = score_answers(asked, right(asked) | {"2000001": ""})
    assert (result.score, result.num_unread) == (0.0, 1)


def test_groups_count_questions_and_not_rows() -> None:
    asked = MMBench([*rows(1), *rows(2, rotations=2, category="ocr")])
    result = score_answers(asked, right(asked) | {"1000002": "A"})
    assert result.by_group["category"]["identity_reasoning"].value == 1.0
    assert result.by_group["category"]["ocr"].value == 0.0


def test_a_file_without_rotations_is_scored_as_it_is() -> None:
    asked = MMBench([*rows(1, rotations=1), *rows(2, rotations=1)])
    result = score_answers(asked, {"1": "B", "2": "A"})
    assert result.score == result.estimates["vanilla"].value == 0.5


def test_the_index_of_the_group_counts_where_there_is_one() -> None:
    given = [{**row, "g_index": 9} for row in rows(1, rotations=2)]
    assert {item.facts["rotated"] for item in MMBench(given)} == {"9"}


def test_a_part_has_all_rotations_of_its_questions() -> None:
    # Rotations drawn one by one would be of many questions, and flatter.
    asked = MMBench([row for number in range(1, 30) for row in rows(number)])
    few, more = chosen_items(asked, 10, seed=0), chosen_items(asked, 40, seed=0)
    assert (len(few), len(more)) == (12, 40)
    assert {item.id for item in few} <= {item.id for item in more}
    assert len({item.facts["rotated"] for item in few}) == 3


def test_an_index_that_is_no_number_is_refused() -> None:
    with pytest.raises(EvaluationError, match=r"whole number; rotations .* differ by 1,000,000"):
        MMBench([{**rows(1)[0], "index": "q1"}])


@pytest.mark.parametrize("hidden", [None, "", " "])
def test_a_split_without_answers_is_refused(hidden: str | None) -> None:
    with pytest.raises(
        EvaluationError, match=r"no right answer.*test split is kept|no right answer.*kept by"
    ):
        MMBench([{**row, "answer": hidden} for row in rows(1)])


def test_the_prompts_are_as_published() -> None:
    def asked(prompt: str | None, **changes: Any) -> str:
        made = MMBench(rows(1, rotations=1, **changes), prompt=prompt)
        return made.prompt_text(made[0])

    listed = "Options:\nA. cat\nB. dog\nC. cow\nD. pig\n"
    question = f"Question: Which animal is it?\n{listed}"
    assert asked(None) == f"{question}Please select the correct answer from the options above."
    assert asked(None, hint="It barks.") == (
        f"Hint: It barks.\n{question}Please select the correct answer from the options above."
    )
    assert asked(None, question="这是什么动物？") == (
        f"Question: 这是什么动物？\n{listed}请直接回答选项字母。"
    )
    assert asked("qwen3") == f"{question}Answer with the option letter only."
    assert asked("vlmevalkit") == (
        f"{question}Please select the correct answer from the options above. \n"
    )
    assert asked("lmms_eval", hint="It barks.") == (
        "It barks. Which animal is it? There are several options:\nA. cat\nB. dog\nC. cow\nD. pig\n"
        "\nAnswer with the option's letter from the given choices directly."
    )


def test_the_word_nan_of_a_hubs_file_is_no_option_and_no_hint(tmp_path: Path) -> None:
    # lmms-lab/MMBench: empty cells of the makers' file have become the text "nan"
    content = {"bytes": base64.b64decode(PICTURE), "path": None}
    (row,) = rows(1, rotations=1, hint="nan", C="nan", D="nan", image=content)
    (item,) = MMBench(write_parquet(tmp_path / "dev.parquet", [row]))
    assert item.choices == ("cat", "dog")
    assert item.facts["hint"] == ""
