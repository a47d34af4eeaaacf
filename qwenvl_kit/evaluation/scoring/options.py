"""The letter of the option that an answer gives."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from qwenvl_kit.evaluation.scoring import option_phrases as phrases
from qwenvl_kit.evaluation.scoring.doubts import is_doubted
from qwenvl_kit.evaluation.scoring.reading import boxed, plain, same_text, without_thoughts

_NEAR = 200
"""Characters at the end of an answer that are read as its end."""


def option_letter(answer: str, choices: Sequence[str] = ()) -> str | None:
    r"""Return the letter of the option that an answer gives; None if it gives none or several.

    It is read, in this order: from an answer that is a letter ("B", "(b)") or the text of one
    option; from the last `\boxed{B}`; from the last statement ("the answer is **B**", "Best answer:
    C", "答案是B", "B is correct"), unless another letter is beside it ("A or B"); from lines that
    begin with a letter ("B) a dog") or are one; from an end such as "so C"; and from the only
    letter in brackets, in bold, or behind "option". Thoughts are left out. The words "A" and "I"
    are no letters, nor is a letter that is denied ("(A) is wrong"), doubted ("I don't think it
    is A"), supposed ("If the answer is A, ...") or asked ("Is it (A)?"). Full-width letters are
    letters.

    Sources of the forms: open-compass/VLMEvalKit (vlmeval/dataset/utils/videomme.py), QwenLM/
    Qwen3-VL (evaluation/VideoMME/eval_utils.py), EvolvingLMMs-Lab/lmms-eval (lmms_eval/tasks/
    _task_utils/mcq_extract.py). These guess where an answer has no clear letter; here it is None.

    Args:
        answer: the answer.
        choices: the texts of the options, that of A first, at most 26; if they are not known, any
            letter may be meant.
    """
    said = without_thoughts(answer)
    letters = ascii_uppercase[: len(choices)] if choices else ascii_uppercase
    options = dict(zip(letters, map(_without_letter, letters, choices)))
    taken = _Answer(said, plain(said), options)
    for read in (_whole, _boxed, _stated, _lines, _end, _marked):
        if found := read(taken):
            letter = found.pop() if len(found) == 1 else ""
            return letter if letter in set(letters) else None
    return None


@dataclass(frozen=True)
class _Answer:
    """An answer as it is read.

    Attributes:
        marked: its text with the marks of layout.
        text: its text without them.
        options: the texts of the options by their letters; empty if they are not known.
    """

    marked: str
    text: str
    options: Mapping[str, str]


def _without_letter(letter: str, choice: str) -> str:
    """The text of an option without its own letter: "dog" for "B. dog"."""
    text = plain(choice)
    found = phrases.OWN_LETTER.match(text)
    return text[found.end() :] if found and found["letter"] == letter else text


def _whole(answer: _Answer) -> set[str]:
    """The letter that is the whole answer, or the letters of the options whose text it is."""
    text = answer.text
    if found := phrases.ALONE.fullmatch(text):
        return {found["letter"].upper()}
    said = phrases.SAYS.match(text)
    return _of_text(text, answer.options) or (
        _of_text(text[said.end() :], answer.options) if said else set()
    )


def _of_text(text: str, options: Mapping[str, str]) -> set[str]:
    """The letters of the options that a text is: exactly, else but for marks, else articles."""
    near = {
        each: option for each, option in options.items() if option and _is_as_long(text, option)
    }
    for same in (str.__eq__, same_text, _same_noun):
        if found := {each for each, option in near.items() if same(text, option)}:
            return found
    return set()


def _is_as_long(text: str, option: str) -> bool:
    """False if a text is too long to be an option with other marks."""
    return len(text) <= 2 * len(option) + 20


def _same_noun(first: str, second: str) -> bool:
    return same_text(*(phrases.ARTICLE.sub("", each, count=1) for each in (first, second)))


def _boxed(answer: _Answer) -> set[str]:
    r"""The letter, or the text of an option, in the last `\boxed{...}`."""
    for content in reversed(boxed(answer.marked)):
        inside = _Answer(content, plain(content), answer.options)
        return _whole(inside) or _lines(inside)
    return set()


def _stated(answer: _Answer) -> set[str]:
    """The letter of the last statement, with those beside it.

    Statements prevail over claims, as a text may weigh several options before it states its answer.
    """
    text = answer.text
    stated = [each for each in phrases.STATED.finditer(text) if _is_letter(each, answer)]
    stated = [each for each in (*stated, *phrases.STATED_SMALL.finditer(text)) if _is_meant(each)]
    claimed = [
        each
        for each in phrases.CLAIMED.finditer(text)
        if not _is_denied_before(each) and _is_meant(each)
    ]
    last = max((*stated, *claimed), key=_place, default=None)
    if last is None:
        return set()
    if last in stated:
        return _with_neighbours(last)
    return {letter for each in (*stated, *claimed) for letter in _with_neighbours(each)}


def _is_meant(found: re.Match[str]) -> bool:
    """False for a statement that is doubted, supposed, asked, or said of a wrong answer."""
    return not is_doubted(found.string, found.start(), found.end())


def _place(found: re.Match[str]) -> int:
    return found.start("letter")


def _is_letter(found: re.Match[str], answer: _Answer) -> bool:
    """True if what stands there is a letter by the text behind it, and no word of a sentence."""
    option = answer.options.get(found["letter"], "")
    behind = answer.text[found.end("letter") : found.end("letter") + len(option) + 2]
    is_named = bool(option) and same_text(behind.partition("\n")[0], option)
    return is_named or _ends(found)


def _with_neighbours(found: re.Match[str]) -> set[str]:
    """A letter with those that "or", "and" or a comma set beside it."""
    letters = {found["letter"].upper()}
    behind = phrases.NEIGHBOUR_BEHIND.match(found.string, found.end("letter"))
    if behind and _is_no_word(behind):
        letters.add(behind["letter"])
    before = phrases.NEIGHBOUR_BEFORE.search(found.string[: _place(found)][-20:])
    return letters | ({before["letter"]} if before else set())


def _is_no_word(found: re.Match[str]) -> bool:
    """True unless the letter is the word "A" or "I" of a sentence that goes on."""
    return found["letter"] not in "AI" or _ends(found)


def _ends(found: re.Match[str]) -> bool:
    """True if the text behind a letter ends what is said with it."""
    return phrases.GOES_ON.match(found.string, found.end("letter")) is not None


def _lines(answer: _Answer) -> set[str]:
    """The letters that are the first or the last line, else those with which lines begin."""
    lines = [line for line in answer.text.split("\n") if line]
    alone = [phrases.ALONE.fullmatch(line) for line in (lines[:1] + lines[-1:])]
    if letters := {each["letter"] for each in alone if each and each["letter"].isupper()}:
        return letters
    begun = [found for found in map(phrases.LEADING.match, lines) if found]
    letters = {found["inside"] or found["letter"] for found in begun}
    if len(begun) == 1 and begun[0]["letter"]:
        return _with_neighbours(begun[0])
    first = lines[0] if lines else ""
    if len(lines) == 1 and (small := phrases.LEADING_SMALL.match(first)):
        letters.add(small["letter"].upper())
    return letters or _of_named(first, answer.options)


def _of_named(line: str, options: Mapping[str, str]) -> set[str]:
    """The letter of the option that a line gives with its letter before it: "B dog", "B.dog"."""
    return {
        letter
        for letter, option in options.items()
        if option and line.startswith(letter) and same_text(line[1:].lstrip(" .):,"), option)
    }


def _end(answer: _Answer) -> set[str]:
    """The letter at the end, behind "so", or behind the text of its own option."""
    text = answer.text[-_NEAR:]
    found = phrases.ENDS.search(text)
    if found and _is_meant(found):
        return _with_neighbours(found)
    found = phrases.BEHIND_MARK.search(text)
    option = answer.options.get(found["letter"], "") if found else ""
    is_named = bool(option) and option.casefold() in answer.text.casefold()
    return {found["letter"]} if found and is_named else set()


def _marked(answer: _Answer) -> set[str]:
    """The letters in bold, in brackets or behind "option", but for those that are denied."""
    text = answer.text
    bold = phrases.BOLD.finditer(answer.marked)
    bracketed = phrases.BRACKETED.finditer(text)
    mentioned = phrases.MENTIONED.finditer(text)
    return set(_meant((*bold, *bracketed, *mentioned)))


def _meant(matches: Iterable[re.Match[str]]) -> Iterator[str]:
    for found in matches:
        is_denied = phrases.DENIED_BEHIND.match(found.string, found.end())
        is_left_out = is_denied or _is_denied_before(found) or _is_of_figure(found)
        if not is_left_out and _is_meant(found):
            yield found["letter"] or found["inside"]


def _is_denied_before(found: re.Match[str]) -> bool:
    return phrases.DENIED_BEFORE.search(_before(found)) is not None


def _is_of_figure(found: re.Match[str]) -> bool:
    return phrases.FIGURE.search(_before(found)) is not None


def _before(found: re.Match[str]) -> str:
    return found.string[max(0, found.start() - 20) : found.start()]
