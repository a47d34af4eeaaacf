"""VQA accuracy: agreement with ten people, each left out in turn (VQAv2, TextVQA)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import fmean

from qwenvl_kit.evaluation.scoring.contractions import CONTRACTIONS

_ENOUGH = 3
"""People who must have given an answer for it to be wholly right (Antol et al. 2015, section 3)."""

_FEWEST = 4
"""Right answers from which on three others can agree, whoever is left out."""

_NUMBERS = {
    "none": "0",
    "zero": "0",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
}
_ARTICLES = frozenset({"a", "an", "the"})
_PUNCTUATION = frozenset(';/[]"{}()=+\\_-><@`,?!')
_STOP = re.compile(r"\.(?!\d)")
_MOST_STOPS = 32
"""Full stops that go. The published code hands `re.UNICODE`, which is 32, to `sub` as its count."""


def vqa_accuracy(answer: str, targets: Sequence[str]) -> float:
    """Return the mean, over people left out, of min(1, people of the others who agree / 3).

    Source: Antol et al. 2015, "VQA: Visual Question Answering" (arXiv:1505.00468), section 3, with
    the mean over subsets of nine as in https://visualqa.org/evaluation.html; code: the evaluator of
    TextVQA, facebookresearch/mmf, mmf/utils/m4c_evaluators.py, `TextVQAAccuracyEvaluator`.

    With fewer than four right answers three others cannot agree. An answer is then right if it is
    one of them, as for ST-VQA (same file, `STVQAAccuracyEvaluator`).

    Args:
        answer: the answer.
        targets: the answers of people, normally ten, each as often as it was given.
    """
    normalised = {each: vqa_normalised(each) for each in (answer, *targets)}
    said, given = normalised[answer], [normalised[each] for each in targets]
    agreeing = given.count(said)
    if len(given) < _FEWEST:
        return float(agreeing > 0)
    return fmean(min(1.0, (agreeing - (each == said)) / _ENOUGH) for each in given)


def vqa_normalised(text: str) -> str:
    """Return a text as TextVQA's evaluator compares it.

    Words are in lower case, without articles and most punctuation; numbers up to ten are digits,
    and contractions have their apostrophe. All texts are normalised, those of people too.

    Source: facebookresearch/mmf, mmf/utils/m4c_evaluators.py, `EvalAIAnswerProcessor`. Others
    differ: the evaluator of VQA (GT-Vision-Lab/VQA, vqaEval.py) removes the punctuation of people's
    answers only if they are not all the same, never their articles, and treats `'` and `:` as
    punctuation; VLMEvalKit (vqa_eval.py) keeps a full stop after a digit ("14." is not "14"), does
    not part "'s" from its word, and drops all punctuation in a text with a comma between digits.
    """
    text = text.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()
    text = _without_punctuation(text.replace("\n", " ").replace("\t", " ").strip())
    words = (_NUMBERS.get(word, word) for word in text.split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def _without_punctuation(text: str) -> str:
    """Marks beside a space go, others make room for one; so do full stops, but for decimal points.

    The published pattern keeps a point only for the digit behind it: "14." loses its own.
    """
    whole = text
    for mark in _PUNCTUATION.intersection(whole):
        beside_space = f"{mark} " in whole or f" {mark}" in whole
        text = text.replace(mark, "" if beside_space else " ")
    return _STOP.sub("", text, count=_MOST_STOPS)
