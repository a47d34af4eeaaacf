"""Statements that are none: doubted, supposed, asked, or said of a wrong answer."""

from __future__ import annotations

import re

_NEAR = 90
"""Characters before a statement that are looked at."""

_THINK = r"(?:think|thought|believe|believed|say|said|argue|agree|claim|assume|guess|suppose|feel)"
_DOUBT = (
    rf"(?:n't|\bnot|\bnever|\bcannot|\bhardly) (?:really |yet )?(?:{_THINK}|mean|know|sure|certain"
    r"|convinced|true|clear|likely|possible|the case)"
    rf"|\b(?:might|may|could) (?:have )?(?:also )?{_THINK}"
    r"|\b(?:doubt|deny|disagree|false|untrue|unlikely|impossible)"
)
_SUPPOSED = (
    r"\b(?:if|unless|whether|supposing|assuming|imagine)"
    r"|(?<!\bi )(?<!\bwe )(?<!\bto )\b(?:suppose|assume)"
)
_SAYS = r"(?: (?:answer|option|choice|one|solution))?(?: (?:is|was|are|would be|might be))?"
_BEFORE = re.compile(
    rf"(?:{_DOUBT}|{_SUPPOSED})(?: (?:that|if|whether))?"
    rf"(?: (?:i|we|you|one|they) {_THINK})?(?: (?:it|this|that)(?:'s| is| was))?"
    r"(?: (?:the|my|your|its|this|an?))?(?: (?:correct|right|best|final|only|true|given)){0,3}"
    rf"{_SAYS}[\s\"'(]{{0,3}}$",
    re.I,
)
_OF_WRONG = re.compile(
    rf"(?:\b(?:wrong|incorrect|false|worst|initial|previous|earlier|original){_SAYS}[\s\"'(]{{1,3}}"
    r"|(?:错误|錯誤|不正确|不正確)的?)$",
    re.I,
)
_CHINESE = re.compile(
    r"(?:如果|假如|假设|假設|假定|倘若|不认为|不認為|不觉得|不覺得|不确定|不確定|不知道)"
    r"[^,.;!?\n]{0,10}$"
)
_ASKS = re.compile(
    r"(?:^|[.!?:;,\n-] ?|\b(?:so|but|and|then|or|wait) )[\"'(]?"
    r"(?:is|isn't|was|are|could|can|would|might|may|should|does|do|did|why|how)\b[^.!?\n]{0,60}$",
    re.I,
)
_ASKED = re.compile(r"[^.!?\n]{0,60}\?|[\s\"')\]]{0,3}吗")
_DENIED = re.compile(
    r"[\s\"')\]]{0,3}(?:, )?(?:which )?(?:is|was|would be|must be|seems|looks) "
    r"(?:\w+ly )?(?:not|wrong|incorrect|false|excluded|ruled out)\b",
    re.I,
)


def is_doubted(text: str, start: int, end: int) -> bool:
    """Return True for a statement that says nothing for its answer.

    "I don't think the answer is A", "If the answer is A, ...", "Is the answer A?", "The wrong
    answer is A" and "The answer A is wrong" name an answer, and do not give it.

    Args:
        text: the whole text, as `reading.plain` returns it.
        start: the place of the first character of the statement.
        end: the place behind its answer.
    """
    before = text[max(0, start - _NEAR) : start]
    if any(each.search(before) for each in (_BEFORE, _OF_WRONG, _CHINESE)):
        return True
    asked = _ASKED.match(text, end)
    if asked and (asked[0].endswith("吗") or _ASKS.search(before)):
        return True
    return _DENIED.match(text, end) is not None
