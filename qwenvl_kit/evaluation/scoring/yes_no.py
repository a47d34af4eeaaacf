"""Yes or no, as HallusionBench and POPE ask."""

from __future__ import annotations

import re
from collections.abc import Sequence

from qwenvl_kit.evaluation.scoring.doubts import is_doubted
from qwenvl_kit.evaluation.scoring.reading import plain, without_thoughts

_WORD = re.compile(r"(?<![\w.])(yes|no)(?![\w%]|\.\w)")
_SAID = re.compile(r"(?:answer|答案)\W*(?:is|:|是|为)\W*(yes|no|是|否)(?![a-z])")
_FIRST = re.compile(r"\W*(yes|no)(?:\s*[.,:;!\n-]|\s*$)")
_CHINESE = {
    **dict.fromkeys(("是", "是的", "对"), "yes"),
    **dict.fromkeys(("否", "不", "不是", "不对"), "no"),
}
_CHINESE_FIRST = re.compile(r"\W*(不是|不对|是的|是|否|不|对)(?:\s*[.,:;!\n]|\s*$)")
_TRUE, _FALSE = frozenset({"yes", "1", "true"}), frozenset({"no", "0", "false"})


def yes_no(answer: str) -> str | None:
    """Return "yes" or "no"; None if an answer says neither, or both.

    An answer that begins with "Yes," or ends with "the answer is no" says it, whatever words follow
    or precede. Otherwise the one of the two words that is there counts, as published (VLMEvalKit,
    vlmeval/dataset/utils/yorn.py, `YOrN_Extraction`). The code that POPE is scored with elsewhere
    (haotian-liu/LLaVA, llava/eval/eval_pope.py) takes every answer without "no" and "not" for a
    yes, which is a guess. 是 and 否 are read, too.
    """
    text = plain(without_thoughts(answer)).lower()
    stated = list(_SAID.finditer(text))
    if said := [each[1] for each in stated if not is_doubted(text, *each.span())]:
        last: str = said[-1]
        return _CHINESE.get(last, last)
    if stated and _FIRST.match(text) is None:
        return None
    words: set[str] = set(_WORD.findall(text))
    if len(words) == 1:
        return words.pop()
    if words:
        return _first(text)
    chinese = _CHINESE_FIRST.match(text)
    return _CHINESE[chinese[1]] if chinese else None


def _first(text: str) -> str | None:
    """The word with which a text begins, unless the other one follows at once ("Yes. No.")."""
    first = _FIRST.match(text)
    if first is None or _FIRST.match(text, first.end()):
        return None
    word: str = first[1]
    return word


def yes_no_targets(targets: Sequence[str]) -> set[str]:
    """Return the right answers as "yes" and "no"; 1 and true are yes, 0 and false no.

    A right answer that is neither is left out.
    """
    said = {each.strip().lower() for each in targets}
    read = {yes_no(each) for each in said}
    return {"yes"} & read | {"no"} & read | _named(said)


def _named(said: set[str]) -> set[str]:
    found = {"yes"} if said & _TRUE else set()
    return found | ({"no"} if said & _FALSE else set())
