"""Rules of scoring by their names, and functions of one's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from types import MappingProxyType
from typing import Any, TypeAlias, Union

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.items import UNREAD, EvaluationItem, ItemScore
from qwenvl_kit.evaluation.scoring import numbers, text, vqa
from qwenvl_kit.evaluation.scoring.options import option_letter
from qwenvl_kit.evaluation.scoring.places import box_score, boxes_of
from qwenvl_kit.evaluation.scoring.reading import without_thoughts
from qwenvl_kit.evaluation.scoring.yes_no import yes_no, yes_no_targets

Scorer: TypeAlias = Callable[[str, EvaluationItem], Union[ItemScore, float]]
"""A function that takes an answer and its item, and returns a score."""

Rule: TypeAlias = Callable[[str, EvaluationItem], ItemScore]
"""A scorer whose results are checked."""


def scorer_named(scorer: str | Scorer) -> Rule:
    """Return the rule of a name, or a function of one's own with its results checked.

    An empty answer is unread by every named rule, and so are thoughts without an answer.

    Args:
        scorer: "exact", "contains", "anls", "vqa", "relaxed", "option", "yes_no", "number", "iou"
            or "judged", which leaves all answers to a judge; or a function that takes the answer
            and the item, and returns a number in [0, 1], a truth value or an `ItemScore`.

    Raises:
        EvaluationError: there is no such rule. The rule raises it if a function returns something
            else, or if the right answers of an item are none for the rule; it names the item.
    """
    if callable(scorer):
        return OwnRule(scorer)
    if isinstance(scorer, str) and scorer in RULES:
        return NamedRule(scorer)
    raise EvaluationError(
        f"scorer={scorer!r} was given",
        expected=f"one of {', '.join(map(repr, RULES))}, or a function of the answer and the item",
    )


@dataclass(frozen=True)
class NamedRule:
    """A rule to which thoughts and empty answers do not come; it can be pickled.

    Attributes:
        name: its name in `RULES`.
    """

    name: str

    def __call__(self, answer: str, item: EvaluationItem) -> ItemScore:
        """Return the score of an answer."""
        said = without_thoughts(answer)
        return RULES[self.name](said, item) if said else UNREAD


@dataclass(frozen=True)
class OwnRule:
    """A function of one's own, whose results are checked; it can be pickled if the function can.

    Attributes:
        scorer: the function.
    """

    scorer: Scorer

    def __call__(self, answer: str, item: EvaluationItem) -> ItemScore:
        """Return the score of an answer.

        Raises:
            EvaluationError: the function returns no score.
        """
        found: Any = self.scorer(answer, item)
        if isinstance(found, ItemScore):
            values = [found.value] if found.strict is None else [found.value, found.strict]
            if all(map(_is_share, values)):
                return found
        elif (value := _as_number(found)) is not None and _is_share(value):
            return ItemScore(value, answer.strip())
        raise EvaluationError(
            f"the scorer returned {found!r} for {item.id!r}",
            expected="a number in [0, 1], True or False, or an ItemScore",
            where=item.where,
        )


def check_target(scorer: str | Scorer, item: EvaluationItem) -> None:
    """Refuse an item whose right answers are none for a rule, before anything is asked.

    Args:
        scorer: the rule or its name; one that takes any text, or one's own, refuses nothing.
        item: the item.

    Raises:
        EvaluationError: a right answer is no option, yes or no, number or box; it names the item.
    """
    name = scorer.name if isinstance(scorer, NamedRule) else scorer
    if isinstance(name, str) and name in _CHECKS:
        _CHECKS[name](item)


def targets_for(rule: Rule, targets: Sequence[str]) -> tuple[str, ...]:
    """Return right answers as a rule compares them.

    Four numbers are one box for "iou". Blank answers stand for people who gave none: their number
    counts for "vqa", and for other named rules there are none.

    Args:
        rule: the rule; for one's own function they stay as they are.
        targets: the right answers of a row.
    """
    if not isinstance(rule, NamedRule) or rule.name == "vqa":
        return tuple(targets)
    filled = tuple(each for each in targets if each.strip())
    if rule.name == "iou" and len(filled) == 4 and all(map(numbers.read_number, filled)):
        return (f"[{', '.join(each.strip() for each in filled)}]",)
    return filled


def _exact(answer: str, item: EvaluationItem) -> ItemScore:
    strict = text.exact_match(answer, item.targets, keeps_case=True)
    return ItemScore(text.exact_match(answer, item.targets), answer, strict)


def _contains(answer: str, item: EvaluationItem) -> ItemScore:
    return ItemScore(text.contains(answer, item.targets), answer)


def _anls(answer: str, item: EvaluationItem) -> ItemScore:
    return ItemScore(text.anls(answer, item.targets), answer)


def _vqa(answer: str, item: EvaluationItem) -> ItemScore:
    return ItemScore(vqa.vqa_accuracy(answer, item.targets), vqa.vqa_normalised(answer))


def _relaxed(answer: str, item: EvaluationItem) -> ItemScore:
    strict = numbers.relaxed_accuracy_strict(answer, item.targets)
    return ItemScore(numbers.relaxed_accuracy(answer, item.targets), answer, strict)


def _option(answer: str, item: EvaluationItem) -> ItemScore:
    right = _right_letters(item)
    letter = option_letter(answer, item.choices)
    return UNREAD if letter is None else ItemScore(float(letter in right), letter)


def _right_letters(item: EvaluationItem) -> set[str]:
    return {_right_letter(target, item) for target in item.targets}


def _right_letter(target: str, item: EvaluationItem) -> str:
    """The letter of a right answer, which is a letter or the text of an option."""
    letter = option_letter(target, item.choices)
    if letter is None:
        raise EvaluationError(
            f"the right answer of {item.id!r} is {target!r}, which names none of "
            f"{len(item.choices)} options",
            expected="the letter of an option, or its text",
            where=item.where,
        )
    return letter


def _yes_no(answer: str, item: EvaluationItem) -> ItemScore:
    right = _right_words(item)
    said = yes_no(answer)
    return UNREAD if said is None else ItemScore(float(said in right), said)


def _right_words(item: EvaluationItem) -> set[str]:
    """The right answers as "yes" and "no"."""
    right = yes_no_targets(item.targets)
    if not right:
        raise _no_target(item, item.targets[0], "yes or no")
    return right


def _number(answer: str, item: EvaluationItem) -> ItemScore:
    _check_numbers(item)
    said = numbers.stated_number(answer)
    return UNREAD if said is None else ItemScore(numbers.number_match(said, item.targets), said)


def _check_numbers(item: EvaluationItem) -> None:
    if not any(numbers.read_number(target) for target in item.targets):
        raise _no_target(item, item.targets[0], "a number")


def _iou(answer: str, item: EvaluationItem) -> ItemScore:
    _check_boxes(item)
    return box_score(answer, item.targets)


def _check_boxes(item: EvaluationItem) -> None:
    for target in item.targets:
        if len(boxes_of(target)) != 1:
            raise _no_target(item, target, "one box, such as [12, 30, 200, 180]: x1, y1, x2, y2")


def _no_target(item: EvaluationItem, target: str, expected: str) -> EvaluationError:
    return EvaluationError(
        f"the right answer of {item.id!r} is {target!r}", expected=expected, where=item.where
    )


def _judged(answer: str, item: EvaluationItem) -> ItemScore:
    return UNREAD


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "exact": _exact,
        "contains": _contains,
        "anls": _anls,
        "vqa": _vqa,
        "relaxed": _relaxed,
        "option": _option,
        "yes_no": _yes_no,
        "number": _number,
        "iou": _iou,
        "judged": _judged,
    }
)
"""The rules by their names."""


_CHECKS: Mapping[str, Callable[[EvaluationItem], object]] = MappingProxyType(
    {
        "option": _right_letters,
        "yes_no": _right_words,
        "number": _check_numbers,
        "iou": _check_boxes,
    }
)
"""The checks of right answers, for the rules that do not take any text."""


def _as_number(found: Any) -> float | None:
    """The number that a function returned, also one of numpy or torch; None if it is none."""
    if type(found).__module__.partition(".")[0] in ("numpy", "torch") and hasattr(found, "item"):
        found = found.item() if getattr(found, "size", 1) == 1 else None
    return float(found) if isinstance(found, Real) else None


def _is_share(value: Any) -> bool:
    return isinstance(value, Real) and math.isfinite(value) and 0 <= float(value) <= 1
