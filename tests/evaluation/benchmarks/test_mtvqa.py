"""MTVQA: questions in nine languages, several to a picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmarks.mtvqa import MTVQA
from qwenvl_kit.evaluation.evaluating import score_answers
from tests.evaluation.data.files import in_base64, png, write_parquet, write_tsv

CONTENT = png()
PAIRS = (
    "[{'question': 'ジャパンはどこ？', 'answer': '東京'}, "
    """{'question': "C'est où?", 'answer': "l'été"}]"""
)


def hub_row(number: int, pairs: object = PAIRS) -> dict[str, object]:
    image = {"bytes": CONTENT, "path": None}
    return {"image": image, "qa_pairs": pairs, "lang": "JA", "id": number}


def test_each_pair_of_a_hubs_row_is_an_item(tmp_path: Path) -> None:
    write_parquet(tmp_path / "data/test-00000-of-00001.parquet", [hub_row(7), hub_row(8)])
    items = MTVQA(tmp_path, split="test")
    assert [item.id for item in items] == ["7_0", "7_1", "8_0", "8_1"]
    assert [item.targets for item in items][:2] == [("東京",), ("l'été",)]
    assert [item.cluster for item in items] == ["7", "7", "8", "8"]
    assert {item.groups["language"] for item in items} == {"JA"}
    assert items[1].media == items[0].media


def test_vlmevalkits_file_is_read(tmp_path: Path) -> None:
    rows = [
        {
            "index": "0",
            "image": in_base64(CONTENT),
            "question": "どこ？",
            "answer": "[1, 2]",
            "category": "JA",
            "split": "test",
        }
    ]
    (item,) = MTVQA(write_tsv(tmp_path / "MTVQA_TEST.tsv", rows))
    assert (item.targets, item.groups) == (("[1, 2]",), {"language": "JA"})


def test_the_prompt_of_vlmevalkit_names_the_language() -> None:
    benchmark = MTVQA([hub_row(1)], prompt="vlmevalkit")
    ask = "Answer the question using a word or phrase in the language of the question."
    assert benchmark.prompt_text(benchmark[0]) == f"ジャパンはどこ？\n{ask}"


def test_the_scores_are_those_of_vlmevalkit() -> None:
    """`MTVQADataset.evaluate` gives 66.67 for JA, 50 for FR, and 60 over all."""
    rows = [
        ("JA", "東京", "東京です。"),
        ("JA", "No. 7", "no 7"),
        ("JA", "a b", "ab"),
        ("FR", "Café", "le café."),
        ("FR", "12", ""),
    ]
    benchmark = MTVQA(
        [
            {"id": at, "lang": language, "question": "q", "answer": target, "image": CONTENT}
            for at, (language, target, _) in enumerate(rows)
        ]
    )
    result = score_answers(benchmark, {str(at): said for at, (_, _, said) in enumerate(rows)})
    assert result.score == pytest.approx(0.6)
    by_language = {name: each.value for name, each in result.by_group["language"].items()}
    assert by_language == {"JA": pytest.approx(2 / 3), "FR": 0.5}
    assert result.estimates["mean over languages"].value == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert result.num_unread == 1


@pytest.mark.parametrize(
    ("pairs", "problem"),
    [
        ("[{'question': 'q'}]", "a pair has the keys 'question'"),
        ("{'question': 'q', 'answer': 'a'}", "no list of dicts"),
        ("[{'question': 'q', 'answer': print('a')}]", "no list of dicts"),
        ("[{'question': 'q', 'answer': ''}]", "no right answer"),
    ],
)
def test_pairs_that_cannot_be_read_are_refused_with_their_row(pairs: str, problem: str) -> None:
    with pytest.raises(EvaluationError, match=problem) as caught:
        MTVQA([hub_row(1, pairs)])
    assert caught.value.where == "rows[0]"
