"""Numbers in answers: reading them, comparing them, and ChartQA's relaxed accuracy."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from qwenvl_kit.evaluation.scoring.doubts import is_doubted
from qwenvl_kit.evaluation.scoring.reading import boxed, plain, without_thoughts

_NUMBER = (
    r"[-+]?\s?[$€£¥₹]?\s?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?:(?<=\d)\.\d*|\.\d+)?"
    r"(?:e[-+]?\d+)?\s?%?"
)
_IS_NUMBER = re.compile(_NUMBER, re.I | re.A)
_STATED = re.compile(
    rf"(?:answer|答案|答|정답|答え|正解)\s?(?:(?:is|are|was|=|:|是|为|為|は|은|는)\s?){{1,3}}(?P<number>{_NUMBER})"
    r"(?![a-z\d/^*:!\\¼½¾⅓⅔⅛⅜⅝⅞²³√π]|\(\d|[.,:]\d|\s\d|\s?[-+*/=×÷^·⋅±x]\s?[\d(]|\s?[¼½¾⅓⅔⅛⅜⅝⅞√π\\]"
    r"|\s?(?:or|and|to|out\s?of|hundred|thousand|million|billion|trillion|dozen|times|plus|minus"
    r"|over|divided|multiplied|point|squared|cubed|halves|thirds|quarters|x|pi|或|和|到|百|千|万|亿"
    r"|乘|加|减|除|又|点)(?![a-z]))",
    re.I | re.A,
)
"""A number that an answer states, and no part of an expression, a range, a date or another one."""

_YEAR = re.compile(r"(?:1[5-9]|20)\d\d|2100", re.A)
_MINUS = str.maketrans({"−": "-", "–": "-", "﹣": "-"})
_EXACT = 1e-9
"""The greatest relative difference of two numbers that are the same but for rounding of floats."""


@dataclass(frozen=True)
class WrittenNumber:
    """A number as it is written.

    Attributes:
        value: the number in front of the percent sign.
        is_percent: True if a percent sign follows it.
    """

    value: float
    is_percent: bool = False

    @property
    def readings(self) -> tuple[float, ...]:
        """The numbers that it may stand for: itself and, with a percent sign, its hundredth."""
        return (self.value, self.value / 100) if self.is_percent else (self.value,)


def read_number(text: str) -> WrittenNumber | None:
    """Return the number that a whole text is; None if it is none.

    It may have a sign, a currency, commas between thousands, a fraction, an exponent, and a percent
    sign: "-$1,234.50", "14.0", "50%".
    """
    text = text.strip().translate(_MINUS)
    if not _IS_NUMBER.fullmatch(text) or not any(each.isdigit() for each in text):
        return None
    try:
        value = float(re.sub(r"[\s$€£¥₹,%]", "", text))
    except ValueError:
        return None
    return WrittenNumber(value, text.endswith("%")) if math.isfinite(value) else None


def stated_number(answer: str) -> str | None:
    r"""Return the text of the number that an answer gives; None if it gives none clearly.

    The answer is a number, holds it in a `\boxed{...}`, or says "the answer is ..."; of several
    statements the last counts. A number elsewhere in a sentence is not taken.
    """
    said = without_thoughts(answer)
    text = plain(said.translate(_MINUS)).strip("$ ")
    if read_number(text.rstrip(".")):
        return text.rstrip(".")
    for content in reversed(boxed(said)):
        return content if read_number(content) else None
    text = text.replace("$", "")
    stated = [each for each in _STATED.finditer(text) if not is_doubted(text, *each.span())]
    found = [each["number"].strip() for each in stated]
    return found[-1].rstrip(".") if found and read_number(found[-1].rstrip(".")) else None


def number_match(answer: str, targets: Sequence[str], tolerance: float = 0.0) -> float:
    """Return 1.0 if the number of an answer is a right one: 14.0 is 14, and 1,000 is 1000.

    Args:
        answer: the answer, as `stated_number` reads it.
        targets: the right numbers.
        tolerance: the greatest difference; beyond it only the rounding of floats is forgiven.
    """
    text = stated_number(answer)
    said = read_number(text) if text else None
    wanted = (read_number(each) for each in targets)
    return float(said is not None and any(_is_close(said, each, tolerance) for each in wanted))


def relaxed_accuracy(answer: str, targets: Sequence[str], tolerance: float = 0.05) -> float:
    """Return 1.0 if an answer is within 5% of a right number, or is a right text without case.

    The value is that of the published code, with its oddities: 1950 is right for the year 2000,
    "1,000" is a text and wrong for 1000, "12%" is 0.12 and wrong for 12, and "0.0" is wrong for 0.
    See `relaxed_accuracy_strict`.

    Source: Masry et al. 2022, "ChartQA" (arXiv:2203.10244), end of section 5.1; code:
    google-research/pix2struct, pix2struct/metrics.py, `relaxed_correctness`. "nan" and "inf" are
    texts here; there they are numbers that are not even themselves.

    Args:
        answer: the answer.
        targets: the right answers; the best counts.
        tolerance: the greatest relative difference.
    """
    return max((_relaxed(answer.strip(), each.strip(), tolerance) for each in targets), default=0.0)


def relaxed_accuracy_strict(answer: str, targets: Sequence[str], tolerance: float = 0.05) -> float:
    """Return relaxed accuracy with numbers as people read them.

    A right answer from 1500 to 2100 that is written as a year is right only as it is. Commas part
    thousands; a percent sign may be missing on one side ("12%" for 12, "50%" for 0.5).

    Args:
        answer: the answer.
        targets: the right answers; the best counts.
        tolerance: the greatest relative difference.
    """
    return max((_strict(answer.strip(), each.strip(), tolerance) for each in targets), default=0.0)


def _relaxed(said: str, wanted: str, tolerance: float) -> float:
    number, target = _float(said), _float(wanted)
    if number is not None and target:
        return float(abs(number - target) / abs(target) <= tolerance)
    return float(said.lower() == wanted.lower())


def _float(text: str) -> float | None:
    """The number that Python's `float` reads, a hundredth of it before a percent sign."""
    try:
        number = float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _strict(said: str, wanted: str, tolerance: float) -> float:
    number, target = read_number(said), read_number(wanted)
    if number is None or target is None:
        return float(said.lower() == wanted.lower())
    if _YEAR.fullmatch(wanted):
        return float(number == target)
    pairs = [(a, b) for a in number.readings for b in target.readings]
    return float(any(abs(a - b) <= tolerance * abs(b) for a, b in pairs))


def _is_close(said: WrittenNumber, wanted: WrittenNumber | None, tolerance: float) -> bool:
    if wanted is None:
        return False
    pairs = [(a, b) for a in said.readings for b in wanted.readings]
    return any(math.isclose(a, b, rel_tol=_EXACT, abs_tol=tolerance) for a, b in pairs)
