"""The words of a text, as pages are searched for them."""

from __future__ import annotations

import re
import unicodedata

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Scripts that are written without spaces between words, or with long words that are made of
others: Thai, Lao, Burmese, Khmer, Japanese, Chinese, Korean."""

_TOKEN = re.compile(rf"\d+(?:[.,]\d+)*|[{_UNSPACED}]+|[^\W\d_{_UNSPACED}]+")
_THOUSANDS = re.compile(r",(?=\d{3}(?:\D|$))")
_BROKEN_WORD = re.compile(r"(?<=[^\W\d_])(?:-|\u00ad)\s*\n\s*(?=[^\W\d_])|\u00ad")
_ACCENTS = re.compile("[\u0300-\u036f]")

_COMMON = frozenset(
    (
        *("a", "an", "and", "are", "as", "at", "be", "but", "by", "did", "do", "does", "for"),
        *("from", "had", "has", "have", "how", "if", "in", "into", "is", "it", "its", "many"),
        *("me", "much", "no", "not", "of", "on", "or", "say", "says", "such", "tell", "that"),
        *("the", "their", "then", "there", "these", "they", "this", "to", "was", "were", "what"),
        *("when", "where", "which", "who", "whom", "whose", "why", "will", "with", "you", "your"),
    )
)
"""English words that say nothing about a page: Lucene's list, and the words of questions."""


def words_of(text: str) -> list[str]:
    """Return the words by which a text is found, in their order.

    - Case, accents and width make no difference; a word that is broken at the end of a line is one.
    - English plurals are found by their singular, by the rules of the S-stemmer (D. Harman, "How
      Effective Is Suffixing?", 1991).
    - A number is a word; the commas between its thousands are left out.
    - In Chinese, Japanese, Korean and Thai each pair of neighbouring characters is a word, as
      their words are not set apart. This finds names that no dictionary has, and needs none.
    - The commonest English words are left out, unless there are no others.
    """
    decomposed = unicodedata.normalize("NFKD", text)
    plain = unicodedata.normalize("NFC", _ACCENTS.sub("", decomposed)).casefold()
    found: list[str] = []
    for match in _TOKEN.finditer(_BROKEN_WORD.sub("", plain)):
        found += _parts(match[0])
    return [word for word in found if word not in _COMMON] or found


def _parts(token: str) -> list[str]:
    """The words of a run of characters of one kind."""
    if token[0].isdigit():
        return [_THOUSANDS.sub("", token)]
    if re.match(f"[{_UNSPACED}]", token):
        return [token[at : at + 2] for at in range(max(1, len(token) - 1))]
    return [_singular(token)]


def _singular(word: str) -> str:
    """A word without the ending of an English plural."""
    if len(word) < 4 or not word.isascii():
        return word
    if word.endswith("ies"):
        return word if word.endswith(("eies", "aies")) else f"{word[:-3]}y"
    if word.endswith("es"):
        return word if word.endswith(("aes", "ees", "oes")) else word[:-1]
    return word[:-1] if word.endswith("s") and not word.endswith(("us", "ss")) else word
