"""The letters of options, and prompts that ask for one: they serve several benchmarks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from string import ascii_uppercase

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.evaluation.items import EvaluationItem
from qwenvl_kit.evaluation.prompting import lettered

_LETTERED = re.compile(r"\s*\(?([A-Z])[.):]\s*")


def qwen_video_prompt(item: EvaluationItem) -> str:
    """Return the text by which Qwen's own code asks about a film with options.

    Source: QwenLM/Qwen3-VL, evaluation/VideoMME/dataset_utils.py, `build_videomme_prompt`.
    """
    letters = letters_in_words(len(item.choices))
    return (
        "Select the best answer to the following multiple-choice question based on the video. "
        f"Respond with only the letter ({letters}) of the correct option."
        f"\nQuestion: {item.question}\n{lettered(item)}\nThe best answer is:"
    )


def lmms_eval_prompt(item: EvaluationItem) -> str:
    """Return the text by which lmms-eval asks most questions with options.

    Source: EvolvingLMMs-Lab/lmms-eval, tasks/perceptiontest, egoschema and mmmu, utils.py.
    """
    ask = "Answer with the option's letter from the given choices directly."
    return f"{item.question}\n{lettered(item)}\n{ask}"


def without_answer(row: Row, hint: str) -> EvaluationError:
    """Return the error of a row without a right answer.

    Args:
        row: the row.
        hint: the place where answers are scored that the data do not have.
    """
    return EvaluationError(
        "the row has no right answer",
        expected="a right answer in each row",
        hint=hint,
        where=row.where,
    )


def letters_in_words(number: int) -> str:
    """Return letters as one says them, such as "A, B, C, or D".

    Args:
        number: the number of options.
    """
    letters = list(ascii_uppercase[:number])
    if len(letters) < 3:
        return " or ".join(letters)
    return f"{', '.join(letters[:-1])}, or {letters[-1]}"


def without_letters(choices: Sequence[str]) -> tuple[str, ...]:
    """Return options without the letters before them, such as "a cup" for "A. a cup".

    Options are taken as they are unless each of them begins with its own letter.

    Args:
        choices: the options.
    """
    found = [_LETTERED.match(choice) for choice in choices]
    if all(each and each[1] == letter for each, letter in zip(found, ascii_uppercase)):
        return tuple(
            choice[each.end() :].strip() for choice, each in zip(choices, found) if each is not None
        )
    return tuple(choices)


def with_letter(item: EvaluationItem) -> EvaluationItem:
    """Return an item whose data have the letter of its right answer, checked.

    Raises:
        EvaluationError: the right answer is none of the letters of its options.
    """
    letters = ascii_uppercase[: len(item.choices)]
    targets = tuple(target.strip() for target in item.targets)
    if len(targets) != 1 or targets[0] not in tuple(letters):
        raise EvaluationError(
            f"the right answer is {', '.join(map(repr, item.targets))}",
            expected=f"one of the letters {', '.join(letters)}",
            where=item.where,
        )
    return replace(item, targets=targets)


def letter_at(place: str, choices: Sequence[str], where: str) -> str:
    """Return the letter of an option that data name by its place, from 0.

    Args:
        place: the place, such as "2".
        choices: the options.
        where: the place of the row, for the error.

    Raises:
        EvaluationError: it is no place of an option.
    """
    text = place.strip()
    if not (text.isdecimal() and int(text) < len(choices)):
        raise EvaluationError(
            f"the right answer is {place!r}, and there are {len(choices)} options",
            expected=f"a whole number from 0 to {len(choices) - 1}",
            where=where,
        )
    return ascii_uppercase[int(text)]


def letter_of(answer: str, choices: Sequence[str], where: str) -> str:
    """Return the letter of the option that is the right answer; the first if two are equal.

    Args:
        answer: the text of the right answer.
        choices: the options.
        where: the place of the row, for the error.

    Raises:
        EvaluationError: none of the options is the answer.
    """
    for same in (str, str.strip, _plain):
        for letter, choice in zip(ascii_uppercase, choices):
            if same(choice) == same(answer):
                return letter
    raise EvaluationError(
        f"the right answer {answer!r} is none of the options {list(choices)!r}",
        expected="an option that equals it",
        where=where,
    )


def _plain(text: str) -> str:
    """A text without what copies often change: case, outer blanks and a full stop at the end."""
    return text.strip().rstrip(".").casefold()
