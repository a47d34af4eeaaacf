"""Options are taken by their probability, so that nothing needs to be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import PIL.Image
import PIL.ImageDraw
import pytest

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import EvaluationError, JournalError, UnsupportedFeatureError
from qwenvl_kit.evaluation import Benchmark, evaluate
from qwenvl_kit.tasks.answer_scores import score_requests

COLOURS = ("red", "blue", "green")


@pytest.fixture(scope="module")
def chat() -> VisionChat:
    return VisionChat.from_pretrained()


def rows(number: int = 6) -> list[dict[str, Any]]:
    found = []
    for at in range(number):
        colour = COLOURS[at % 3]
        picture = PIL.Image.new("RGB", (224, 168), "white")
        PIL.ImageDraw.Draw(picture).ellipse((60, 30, 160, 130), fill=colour)
        others = [each for each in COLOURS if each != colour]
        choices = [colour, *others[: 1 + at % 2]][:: -1 if at % 4 == 0 else 1]
        found.append(
            {
                "id": str(at),
                "question": "What colour is the circle?",
                "image": picture,
                "choices": choices,
                "answer": "ABC"[choices.index(colour)],
            }
        )
    return found


def test_the_most_probable_letter_is_that_of_the_scores_by_hand(chat: VisionChat) -> None:
    bench = Benchmark(rows(), scorer="option")
    result = evaluate(chat, bench, method="probability", progress=False)
    for item, scored in zip(bench, result.items, strict=True):
        letters = "ABC"[: len(item.choices)]
        (by_hand,) = score_requests(chat, [bench.request(item)], tuple(letters))
        best = max(range(len(letters)), key=by_hand.probabilities.__getitem__)
        assert scored.answer == letters[best]
        assert scored.confidence == pytest.approx(by_hand.probabilities[best], abs=1e-5)
    assert result.num_unread == 0


def test_letters_that_were_taken_are_not_taken_again(
    chat: VisionChat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Benchmark(rows(), scorer="option")
    options: Any = {"method": "probability", "journal": tmp_path / "run.jsonl", "progress": False}
    first = evaluate(chat, bench, **options)

    def never(*_: Any, **__: Any) -> Any:
        pytest.fail("asked again")

    monkeypatch.setattr("qwenvl_kit.evaluation.answering.score_requests", never)
    again = evaluate(chat, bench, **options)
    assert [each.answer for each in again.items] == [each.answer for each in first.items]
    assert [each.confidence for each in again.items] == [each.confidence for each in first.items]


def test_letters_of_other_pictures_are_never_taken_from_a_journal(
    chat: VisionChat, tmp_path: Path
) -> None:
    options: Any = {"method": "probability", "journal": tmp_path / "run.jsonl", "progress": False}
    evaluate(chat, Benchmark(rows(2), scorer="option", name="x"), **options)
    other = rows(2)
    other[0]["image"] = PIL.Image.new("RGB", (224, 168), "black")
    result = evaluate(chat, Benchmark(other, scorer="option", name="x"), **options)
    (failed,) = result.failed
    assert failed.id == "0"
    assert isinstance(failed.error, JournalError)


@pytest.mark.parametrize("method", ["text", "probability"])
def test_a_journal_of_another_prompt_of_ones_own_is_refused(
    method: Any, chat: VisionChat, tmp_path: Path
) -> None:
    options: Any = {"method": method, "journal": tmp_path / "run.jsonl", "progress": False}
    evaluate(chat, Benchmark(rows(2), scorer="option", prompt="{question}{choices}"), **options)
    with pytest.raises(JournalError, match="prompts"):
        evaluate(chat, Benchmark(rows(2), scorer="option", prompt="{question}?"), **options)


def test_a_rule_that_reads_no_letters_is_refused(chat: VisionChat) -> None:
    given = [{**row, "answer": row["choices"]["ABC".index(row["answer"])]} for row in rows()]
    with pytest.raises(EvaluationError, match="takes none of the letters A, B"):
        evaluate(chat, Benchmark(given), method="probability", progress=False)
    result = evaluate(chat, Benchmark(given, scorer="option"), method="probability", progress=False)
    assert result.num_failed == 0


def test_an_item_without_options_is_a_failure_of_its_own(chat: VisionChat) -> None:
    given = rows(2)
    given[1]["choices"] = None
    result = evaluate(chat, Benchmark(given, scorer="option"), method="probability", progress=False)
    assert [each.id for each in result.failed] == ["1"]


def test_a_picture_that_cannot_be_decoded_costs_its_item_alone(chat: VisionChat) -> None:
    given = rows(4)
    given[2]["image"] = b"nothing"
    result = evaluate(chat, Benchmark(given, scorer="option"), method="probability", progress=False)
    assert [each.id for each in result.failed] == ["2"]


def test_questions_without_any_options_are_refused() -> None:
    bench = Benchmark([{"question": "?", "answer": "x"}])
    with (
        VisionChat(ScriptedBackend(["x"])) as chat,
        pytest.raises(EvaluationError, match="has options"),
    ):
        evaluate(chat, bench, method="probability", progress=False)


def test_a_backend_without_probabilities_refuses_at_once() -> None:
    bench = Benchmark([{"question": "?", "answer": "A", "choices": ["x", "y"]}], scorer="option")
    with (
        VisionChat(ScriptedBackend(lambda _request: "A", logprob=None)) as chat,
        pytest.raises(UnsupportedFeatureError),
    ):
        evaluate(chat, bench, method="probability", progress=False)
