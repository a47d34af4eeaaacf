"""MathVista: reading the value of an answer, and comparing it by the type of the question."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase

from qwenvl_kit.evaluation.items import UNREAD, ItemScore
from qwenvl_kit.evaluation.scoring.edit_distance import edit_distance
from qwenvl_kit.evaluation.scoring.numbers import read_number, stated_number
from qwenvl_kit.evaluation.scoring.options import option_letter
from qwenvl_kit.evaluation.scoring.reading import plain, same_text, without_thoughts

_LIST = re.compile(r"\[[^\[\]]*\]")
_LETTER = re.compile(r"\(([a-zA-Z])\)")


def mathvista_extraction(
    answer: str, *, question_type: str, answer_type: str, choices: Sequence[str] = ()
) -> str | None:
    """Return the value that an answer gives; None if it needs a judge.

    MathVista takes an answer that is an option or a number as it is, and lets a judge extract the
    value of all others (Lu et al. 2024, lupantech/MathVista, evaluation/extract_answer.py). Here
    also the value is taken that an answer states clearly; nothing is guessed.

    Args:
        answer: the answer.
        question_type: "multi_choice" or "free_form".
        answer_type: "text", "integer", "float" or "list".
        choices: the texts of the options.
    """
    said = without_thoughts(answer)
    if question_type == "multi_choice":
        return said if said in choices else option_letter(said, choices)
    if answer_type in ("integer", "float"):
        return stated_number(said)
    if answer_type == "list":
        found = _LIST.findall(plain(said))
        return found[0] if len(found) == 1 else None
    return said or None


def mathvista_score(
    extraction: str,
    target: str,
    *,
    question_type: str,
    answer_type: str,
    choices: Sequence[str] = (),
    precision: float | None = None,
) -> ItemScore:
    """Return the score of a value that was extracted from an answer.

    The value is that of the published code: an option is the one whose text is nearest by edit
    distance, 14.7 is right for 14, "1,000" is wrong for 1000, "1.5" for "1.50", and lists are
    compared as texts. The strict value takes an option only where the text gives it clearly, and
    compares numbers and lists by their values.

    Source: Lu et al. 2024, "MathVista" (arXiv:2310.02255); lupantech/MathVista,
    evaluation/calculate_score.py, `normalize_extracted_answer` and `safe_equal`. There a precision
    of 1.0, as Parquet files have it, makes each number wrong; here it is 1.

    Args:
        extraction: the value, from `mathvista_extraction` or from a judge.
        target: the right answer: the text of the option, a number, or a list.
        question_type: "multi_choice" or "free_form".
        answer_type: "text", "integer", "float" or "list".
        choices: the texts of the options.
        precision: the number of decimal places of a float.
    """
    said = extraction.strip()
    if not said:
        return UNREAD
    places = None if precision is None else int(precision)
    if question_type == "multi_choice":
        published = _nearest(said, choices)
        strict = _clear(said, choices)
    else:
        published = _published(said, answer_type, places)
        strict = target if _is_same(said, target, answer_type, places) else None
    value, strictly = float(published == target), float(strict is not None and strict == target)
    return ItemScore(value, said, strictly)


def _nearest(said: str, choices: Sequence[str]) -> str | None:
    """The option that the published code takes: that of the letter, else the nearest text."""
    if found := _LETTER.search(said):
        said = found[1].upper()
    options = dict(zip(ascii_uppercase, choices))
    if said in options:
        return options[said]
    return min(choices, key=lambda choice: edit_distance(said, choice), default=None)


def _clear(said: str, choices: Sequence[str]) -> str | None:
    """The option that a text gives clearly."""
    if said in choices:
        return said
    letter = option_letter(said, choices)
    return None if letter is None else choices[ascii_uppercase.index(letter)]


def _published(said: str, answer_type: str, places: int | None) -> str | None:
    """The text that the published code compares; None if it cannot read a number."""
    if answer_type not in ("integer", "float"):
        return said
    try:
        number = float(said)
        return str(int(number)) if answer_type == "integer" else str(round(number, places))
    except (ValueError, OverflowError):
        return None


def _is_same(said: str, target: str, answer_type: str, places: int | None) -> bool:
    if answer_type == "list":
        return _values(said) == _values(target)
    if answer_type not in ("integer", "float"):
        return same_text(said, target)
    number, wanted = read_number(said), read_number(target)
    if number is None or wanted is None:
        return False
    if answer_type == "integer" or places is None:
        return number.value == wanted.value
    return round(number.value, places) == round(wanted.value, places)


def _values(text: str) -> list[float | str]:
    """The values of a list, numbers as numbers; nothing is evaluated."""
    parts = [part.strip().strip("'\"") for part in text.strip().strip("[]()").split(",")]
    numbers = [read_number(part) for part in parts]
    return [part if number is None else number.value for part, number in zip(parts, numbers)]
