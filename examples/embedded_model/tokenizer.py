"""A byte-level BPE of under 2,600 tokens: whole words of the questions, single characters else.

The vocabulary is written, not learned: words of the wordings and of closed answers are one token
each (`ignore_merges` takes a word that is in the vocabulary as it stands), as is each Chinese
character of the closed lists, and there are no merges but those that join the bytes of an accented
letter. So every value that has to be read - a name, a digit, a menu word - is spelled, which is
what lets the model read names that it never saw. Coordinates are tokens of their own: those between
special tokens wherever they occur; those in JSON and in comments only where the model writes them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from .drawing.typeset import ACCENTED
from .questions.places import COORDINATES, PARTS, STEP

SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
FILE = Path(__file__).with_name("vocabulary.txt")
"""Words, one a line; `vocabulary.py` appends to it."""
# Chinese characters and marks stand alone, so that a value is spelled one by one in any language.
ALONE = r"[\p{Han}\x{3000}-\x{303f}\x{ff00}-\x{ffef}\x{2014}-\x{2026}]"
PATTERN = (
    ALONE + r"|(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:(?!\p{Han})\p{L})+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def split() -> pre_tokenizers.Split:
    """Cuts a text where a token ends at the latest."""
    return pre_tokenizers.Split(Regex(PATTERN), "isolated")


ESCAPED = {"n": "\n", "\\": "\\"}


def known() -> list[str]:
    """The words of the file, in the order of their rows."""
    if not FILE.exists():
        return []
    lines = FILE.read_text(encoding="utf-8").splitlines()
    return [re.sub(r"\\(.)", lambda found: ESCAPED[found[1]], line) for line in lines]


ROWS = 2688
"""Rows of the embedding: a run that has begun keeps them; what the vocabulary leaves is spare."""
FIRST, OTHER = ("[{}", "({}"), ", {}"
"""How the first coordinate of a list or a comment is written, and how each further one."""
LIST = re.compile(
    r'(?<=_2d": )\[\d+(?:, \d+)+\]|(?<="coordinate": )\[\d+(?:, \d+)+\]|<!-- \w+ \([\d, ]+\)'
)
"""The places in an answer whose coordinates are tokens."""
NUMBER = re.compile(r"([\[(]\d+|, \d+)")


def _bytes(text: str) -> str:
    """The spelling of a text in byte-level tokens."""
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return "".join(piece for piece, _ in pieces.pre_tokenize_str(text))


def written_only() -> list[str]:
    """Coordinates that no text is cut into: the model writes them, and reads them as digits."""
    steps = range(0, PARTS + 1, STEP)
    return [form.format(at) for form in (*FIRST, OTHER) for at in steps]


@lru_cache(maxsize=1)
def _vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    vocabulary = {byte: i for i, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges = []
    for letter in ACCENTED + "€":
        spelled = _bytes(letter)
        for cut in range(1, len(spelled)):
            vocabulary.setdefault(spelled[: cut + 1], len(vocabulary))
            merges.append((spelled[:cut], spelled[cut]))
    for token in (*SPECIAL, *COORDINATES):
        vocabulary[token] = len(vocabulary)
    for word in (*written_only(), *known()):
        vocabulary.setdefault(_bytes(word), len(vocabulary))
    return vocabulary, list(dict.fromkeys(merges))


def build_tokenizer() -> Tokenizer:
    """The tokenizer: 256 bytes, accented letters, special tokens, coordinates, words."""
    vocabulary, merges = _vocabulary()
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=True))
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split(), level])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.add_tokens([AddedToken(half, normalized=False) for half in COORDINATES])
    return tokenizer


def answer_ids(tokenizer: Tokenizer, answer: str) -> list[int]:
    """The tokens of an answer as it is to be written: coordinates in lists are one token each."""
    ids: list[int] = []
    end = 0
    for place in LIST.finditer(answer):
        ids += tokenizer.encode(answer[end : place.start()], add_special_tokens=False).ids
        for piece in NUMBER.split(place[0]):
            token = tokenizer.token_to_id(_bytes(piece)) if NUMBER.fullmatch(piece) else None
            if token is None:
                ids += tokenizer.encode(piece, add_special_tokens=False).ids
            else:
                ids.append(token)
        end = place.end()
    return ids + tokenizer.encode(answer[end:], add_special_tokens=False).ids


def special_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """Ids of the special tokens."""
    vocabulary = tokenizer.get_vocab()
    return {name: vocabulary[name] for name in SPECIAL}


def padded_size(tokenizer: Tokenizer) -> int:
    """Rows of the embedding.

    Raises:
        ValueError: the vocabulary has more words.
    """
    if tokenizer.get_vocab_size() > ROWS:
        raise ValueError(f"{tokenizer.get_vocab_size()} words do not fit {ROWS} rows")
    return ROWS
