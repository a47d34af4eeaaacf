"""A calibrator says how often such answers are right, and is kept beside its model."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy
import PIL.Image
import pytest

from qwenvl_kit import Reply, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.calibration import Calibrator
from qwenvl_kit.calibration.files import load_calibrator
from qwenvl_kit.errors import CalibrationError

RED = PIL.Image.new("RGB", (56, 56), "red")


def answers(count: int = 4000, seed: int = 0) -> tuple[list[float], list[bool]]:
    """Answers of a model that is surer than it ought to be."""
    rng = numpy.random.default_rng(seed)
    true = rng.uniform(0.05, 0.95, count)
    odds = numpy.log(true / (1 - true)) * 2.5
    said = 1 / (1 + numpy.exp(-odds))
    return said.tolist(), (rng.uniform(size=count) < true).tolist()


@pytest.mark.parametrize("method", ["isotonic", "temperature"])
def test_a_model_that_is_too_sure_is_set_right(method):
    calibrator = Calibrator.fit(*answers(), method=method)
    before = Calibrator("temperature", "product").report(*answers(seed=1))
    after = calibrator.report(*answers(seed=1))
    assert before.ece > 0.1
    assert after.ece < 0.03
    assert after.auroc == pytest.approx(before.auroc, abs=0.01)


def test_the_temperature_is_that_by_which_the_odds_were_raised():
    assert Calibrator.fit(*answers(), method="temperature").temperature == pytest.approx(2.5, 0.1)


@pytest.mark.parametrize("method", ["isotonic", "temperature"])
def test_a_calibrator_is_the_same_after_it_was_saved(method, tmp_path):
    calibrator = Calibrator.fit(*answers(200), method=method, signal="mean")
    calibrator.save(tmp_path / "own.json")
    assert Calibrator.load(tmp_path / "own.json") == calibrator
    calibrator.save(tmp_path)
    assert Calibrator.load(tmp_path) == calibrator
    assert (tmp_path / "calibration.json").is_file()


def test_replies_are_judged_by_the_signal_that_was_chosen():
    chat = VisionChat(ScriptedBackend(["a b c", "d"], logprob=-0.5))
    long, short = chat.ask_many(["?", "?"], on_error="raise")
    product, mean = (Calibrator("temperature", signal) for signal in ("product", "mean"))
    assert product.confidence(long) == pytest.approx(math.exp(-1.5))
    assert mean.confidence(long) == pytest.approx(math.exp(-0.5))
    assert Calibrator("temperature", "minimum").confidence(short) == pytest.approx(math.exp(-0.5))


def replies_with_and_without_boxes(count: int = 120) -> tuple[list[Reply], list[bool]]:
    """Boxes are right far more often than the probability of their very numbers says."""
    rng = numpy.random.default_rng(3)
    boxes, others = rng.uniform(0.0, 0.2, count), rng.uniform(0.0, 1.0, count)
    texts = ["<|box_start|>(1,2),(3,4)<|box_end|>", "red"]
    replies, correct = [], []
    for text, chances, right in ((texts[0], boxes, 5 * boxes), (texts[1], others, others)):
        for chance, share in zip(chances, right):
            chat = VisionChat(ScriptedBackend([text], logprob=math.log(max(chance, 1e-3))))
            replies.append(chat.ask("?"))
            correct.append(bool(rng.uniform() < share))
    return replies, correct


def test_replies_that_hold_places_may_be_judged_by_a_curve_of_their_own(tmp_path):
    replies, correct = replies_with_and_without_boxes()
    together = Calibrator.fit(replies, correct)
    apart = Calibrator.fit(replies, correct, places_apart=True)
    assert apart.places is not None
    assert apart.report(replies, correct).auroc > together.report(replies, correct).auroc + 0.05
    box = next(reply for reply in replies if "box" in reply.text)
    assert apart.confidence(box) == apart.places.confidence(box) != together.confidence(box)
    apart.save(tmp_path)
    assert Calibrator.load(tmp_path) == apart
    damaged = json.loads((tmp_path / "calibration.json").read_text())
    for places in ({}, [], "x", {**damaged["places"], "points": [[0, 2]]}):
        (tmp_path / "calibration.json").write_text(json.dumps({**damaged, "places": places}))
        with pytest.raises(CalibrationError):
            Calibrator.load(tmp_path)


def replies_of_lengths(count: int = 120) -> tuple[list[Reply], list[bool]]:
    """Long texts are right more often than their probability says, JSON less often."""
    rng = numpy.random.default_rng(5)
    forms = (
        ("red", 1, 1.0),
        ("a b " * 12, 24, 0.3),
        ('{"a": 1}', 2, 3.0),
    )
    replies, correct = [], []
    for text, tokens, power in forms:
        for chance in rng.uniform(0.05, 1.0, count):
            backend = ScriptedBackend([text], logprob=math.log(chance) / tokens)
            replies.append(VisionChat(backend).ask("?"))
            correct.append(bool(rng.uniform() < chance**power))
    return replies, correct


def test_long_texts_and_json_may_be_judged_by_curves_of_their_own(tmp_path):
    replies, correct = replies_of_lengths()
    together = Calibrator.fit(replies, correct)
    apart = Calibrator.fit(replies, correct, json_apart=True, long_from=20)
    report = apart.report(replies, correct)
    assert report.auroc > together.report(replies, correct).auroc + 0.02
    assert report.ece < 0.05
    long, in_json = replies[130], replies[250]
    assert len(long.scores) >= 20
    assert apart.confidence(long) == apart.long.confidence(long)
    assert apart.confidence(in_json) == apart.json.confidence(in_json)
    assert apart.confidence(0.5) == replace(apart, long=None, json=None).confidence(0.5)
    apart.save(tmp_path)
    assert Calibrator.load(tmp_path) == apart


def test_a_kind_of_reply_of_which_there_are_none_cannot_be_learnt_apart():
    replies, correct = replies_with_and_without_boxes(20)
    with pytest.raises(CalibrationError, match="without places") as caught:
        Calibrator.fit(replies[:20], correct[:20], places_apart=True)
    assert "0 answers" in str(caught.value)


def test_a_chat_with_a_calibrator_gives_calibrated_confidences_and_keeps_the_raw_ones():
    calibrator = Calibrator("isotonic", "mean", points=((0.0, 0.0), (1.0, 0.5)))
    chat = VisionChat(ScriptedBackend(["a", "b", "c"], logprob=-0.5), calibrator=calibrator)
    reply = chat.ask("?", RED)
    assert reply.confidence == reply.calibrated_confidence == pytest.approx(math.exp(-0.5) / 2)
    assert reply.raw_confidence == pytest.approx(math.exp(-0.5))
    (other,) = chat.ask_many(["?"], on_error="raise")
    assert other.confidence == reply.confidence
    chat.calibrator = None
    assert chat.ask("?").confidence == pytest.approx(math.exp(-0.5))


def test_a_reply_without_scores_stays_without_confidence():
    chat = VisionChat(
        ScriptedBackend(["a"], logprob=None), calibrator=Calibrator("temperature", "mean")
    )
    assert chat.ask("?").confidence is None


@pytest.mark.parametrize(
    ("replies", "correct", "problem"),
    [
        ([0.5, 0.6], [True, True], "2 are correct"),
        ([], [], "0 answers"),
        ([0.5], [True, False], "2 outcomes"),
        ([0.5, 2.0], [True, False], "2.0"),
        ([0.5, "0.6"], [True, False], "'0.6'"),
        ([0.5, 0.6], [True, None], "None"),
    ],
)
def test_answers_that_teach_nothing_are_refused(replies, correct, problem):
    with pytest.raises(CalibrationError, match=problem):
        Calibrator.fit(replies, correct, method="temperature")


@pytest.mark.parametrize("options", [{"method": "platt"}, {"signal": "entropy"}])
def test_an_unknown_method_or_signal_is_refused(options):
    with pytest.raises(CalibrationError, match="expected one of"):
        Calibrator.fit(*answers(50), **options)


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "{}", '{"qwenvl_kit_calibration": 2}',
        json.dumps({"qwenvl_kit_calibration": 1, "method": "isotonic", "signal": "mean",
                    "points": [], "temperature": 1.0, "num_fitted": 1}),
        json.dumps({"qwenvl_kit_calibration": 1, "method": "temperature", "signal": "mean",
                    "points": [], "temperature": 0.0, "num_fitted": 1}),
        json.dumps({"qwenvl_kit_calibration": 1, "method": "isotonic", "signal": "mean",
                    "points": [[0.5, 0.1], [0.2, 0.3]], "temperature": 1.0, "num_fitted": 1}),
        json.dumps({"qwenvl_kit_calibration": 1, "method": "isotonic", "signal": "mean",
                    "points": [[0.2, 0.1], [0.5, 1.3]], "temperature": 1.0, "num_fitted": 1}),
        '{"a":' * 5000,
    ],
)  # fmt: skip
def test_a_file_that_is_no_calibration_is_refused(content, tmp_path):
    path = tmp_path / "calibration.json"
    path.write_text(content)
    with pytest.raises(CalibrationError, match=r"not a calibration|expected one of"):
        Calibrator.load(path)


def test_a_calibrator_beside_a_model_is_found_and_another_may_be_named(tmp_path):
    beside, other = Calibrator("temperature", "mean"), Calibrator("temperature", "product")
    beside.save(tmp_path)
    other.save(tmp_path / "other.json")
    assert load_calibrator("auto", tmp_path) == beside
    assert load_calibrator("auto", "Qwen/Qwen2-VL-2B-Instruct") is None
    assert load_calibrator(tmp_path / "other.json", tmp_path) == other
    assert load_calibrator(other, tmp_path) is other
    with pytest.raises(CalibrationError, match="calibrator=3"):
        load_calibrator(3, tmp_path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(CalibrationError, match="cannot be read"):
        Calibrator.load(tmp_path / "none.json")
    with pytest.raises(CalibrationError, match="cannot be written"):
        Calibrator("temperature", "mean").save(tmp_path / "none" / "x.json")


@pytest.mark.parametrize(
    ("signal", "expected"), [("product", -0.4), ("mean", -0.2), ("minimum", -0.2)]
)
def test_a_part_of_an_answer_is_judged_as_an_answer_of_its_own(signal, expected):
    reply = VisionChat(ScriptedBackend(["one two three four"], logprob=-0.2)).ask("?")
    calibrator = Calibrator("isotonic", signal, points=((0.0, 0.5), (1.0, 1.0)))
    found = calibrator.confidence_between(reply, 3, 13)  # " two three"
    assert found == pytest.approx(0.5 + 0.5 * math.exp(expected))
    assert calibrator.confidence_between(reply, 0, 0) is None
