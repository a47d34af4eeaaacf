"""Descriptions of many pictures are judged one by one, and their means have intervals."""

from __future__ import annotations

import math

import numpy
import PIL.Image
import PIL.ImageDraw
import pytest
from scipy import stats

from qwenvl_kit import VisionChat
from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation import judge_descriptions
from qwenvl_kit.evaluation.statistics.correlation import rank_correlation
from qwenvl_kit.evaluation.statistics.means import estimate_mean
from qwenvl_kit.tasks import judge_description


def circle(colour: str) -> PIL.Image.Image:
    picture = PIL.Image.new("RGB", (224, 168), "white")
    PIL.ImageDraw.Draw(picture).ellipse((60, 30, 160, 130), fill=colour)
    return picture


@pytest.fixture(scope="module")
def judge() -> VisionChat:
    return VisionChat.from_pretrained()


PAIRS = [
    (circle("red"), "A red circle."),
    (circle("blue"), "A green star."),
    (circle("green"), "A green circle. It is large."),
    (circle("black"), "Nothing at all."),
    (circle("pink"), "A pink circle."),
]


def test_means_are_those_of_the_judgements_one_by_one(judge: VisionChat) -> None:
    scores = judge_descriptions(judge, PAIRS)
    alone = [judge_description(judge, picture, text) for picture, text in PAIRS]
    for measure in ("accuracy", "richness", "coherence"):
        values = [getattr(each, measure) for each in alone]
        mean = scores.mean(measure)
        assert mean.value == pytest.approx(sum(values) / len(values), rel=1e-4)
        assert mean.low < mean.value < mean.high
        assert measure in str(scores)


def test_the_agreement_with_labels_is_their_rank_correlation(judge: VisionChat) -> None:
    labels = [5.0, 1.0, 4.0, 2.0, 5.0]
    scores = judge_descriptions(judge, PAIRS, labels=labels)
    agreement = scores.agreement()
    assert agreement is not None
    values = [each.accuracy for each in scores.judged]
    assert agreement.value == pytest.approx(stats.spearmanr(values, labels).statistic)
    assert judge_descriptions(judge, PAIRS[:1]).agreement() is None


def test_a_description_that_cannot_be_judged_costs_itself_alone(judge: VisionChat) -> None:
    scores = judge_descriptions(judge, [*PAIRS[:2], (circle("red"), "..."), (b"none", "A cat.")])
    assert scores.num_failed == 2
    assert [each is None for each in scores.errors] == [True, True, False, False]
    assert "2 failed" in str(scores)


def test_labels_of_another_number_are_refused(judge: VisionChat) -> None:
    with pytest.raises(EvaluationError, match="2 labels were given for 5"):
        judge_descriptions(judge, PAIRS, labels=[1.0, 2.0])


def test_a_measure_that_there_is_not_is_told(judge: VisionChat) -> None:
    with pytest.raises(EvaluationError, match="beauty"):
        judge_descriptions(judge, PAIRS[:1]).mean("beauty")
    with pytest.raises(EvaluationError, match="no description was judged"):
        judge_descriptions(judge, []).mean("accuracy")


def test_a_rank_correlation_is_that_of_scipy_with_ties() -> None:
    draw = numpy.random.default_rng(0)
    for size in (4, 9, 40):
        first = draw.integers(0, 5, size).astype(float)
        second = first + draw.integers(0, 4, size)
        found = rank_correlation(list(first), list(second))
        assert found.value == pytest.approx(stats.spearmanr(first, second).statistic)
        assert found.low <= found.value <= found.high


def test_an_order_that_is_no_order_is_refused() -> None:
    for first, second in (([1.0] * 5, [1.0, 2, 3, 4, 5]), ([1.0, 2], [1.0, 2]), ([1.0], [])):
        with pytest.raises(EvaluationError):
            rank_correlation(first, second)


def test_a_mean_has_the_interval_of_students_t() -> None:
    values = [1.0, 2.5, 4.0, 8.0, 8.5]
    mean = estimate_mean(values)
    low, high = stats.t.interval(0.95, 4, numpy.mean(values), stats.sem(values))
    assert (mean.low, mean.high) == pytest.approx((low, high), rel=3e-3)
    assert estimate_mean([3.0]).high == 3.0
    assert not math.isnan(estimate_mean([3.0]).low)
