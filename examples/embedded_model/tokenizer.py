"""A byte-level BPE of under 1,000 tokens: whole words of the questions, single characters else.

The vocabulary is written, not learned: words of the wordings and of closed answers are one token
each (`ignore_merges` takes a word that is in the vocabulary as it stands), and there are no merges
but those that join the bytes of an accented letter. So every value that has to be read - a name, a
digit, a menu word - is spelled, which is what lets the model read names that it never saw.
Coordinates in boxes are tokens of their own.
"""

from __future__ import annotations

import itertools
import string

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from .drawing.documents import KINDS, capitalised, foods
from .drawing.palette import COLOUR_NAMES, SHAPES
from .drawing.typeset import ACCENTED
from .questions.answers import plural
from .questions.choices import CHOOSE, NUMBERS
from .questions.places import COORDINATES
from .questions.structures import INSTRUCTION, NAMES, PAIRS, TYPES
from .questions.wordings import A_NUMBER, DOCUMENT_ONLY, SYSTEM, WORDINGS, YES_OR_NO

SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CLOSED_ANSWERS = (
    "Nothing. Yes. No. Left of it. Right of it. Above it. Below it. Nothing changed.",
    "A red circle left of a blue square and right of an orange star, above, below.",
    "The circle changed from red to blue. The star became a cross. It is gone. It was added.",
    "The circle moves right. It does not move. It gets bigger. It gets smaller.",
    "Right. Left. Up. Down. moves left up down An An invoice. A document. A menu. Printed text.",
    "user assistant system Picture Video Total Tax Date Qty Quantity No Number Name",
    "There is a red circle. There are two circles. The total is. This is an invoice. and all every",
    "true false null source target name price the word text",
)


def _pieces() -> pre_tokenizers.Sequence:
    split = pre_tokenizers.Split(Regex(PATTERN), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([split, byte_level])


def _texts() -> list[str]:
    """Every wording with every name once, in a fixed order."""
    blank = dict.fromkeys(
        ("kind", "kinds", "colour", "first", "second", "relation", "food", "what", "statement"), ""
    )
    wordings = [text.format(**blank) for text in itertools.chain(*WORDINGS.values())]
    names = [*COLOUR_NAMES, *SHAPES, *KINDS, *(plural(kind) for kind in SHAPES)]
    texts = [*wordings, DOCUMENT_ONLY, YES_OR_NO, A_NUMBER, *SYSTEM, *CLOSED_ANSWERS]
    texts += [INSTRUCTION, PAIRS, CHOOSE, *(f" {number}" for number in NUMBERS)]
    texts += [f" {text}" for text in itertools.chain(*NAMES.values(), *TYPES.values())]
    texts += [*itertools.chain(*NAMES.values()), *names]
    texts += [text[0].lower() + text[1:] for text in wordings]
    texts += [f" {name}" for name in names] + [capitalised(name) for name in COLOUR_NAMES]
    for food in foods():
        texts += [f" {food['english']}", capitalised(food["english"])]
    return texts


def words() -> list[str]:
    """Words that are one token, in byte-level spelling."""
    found: dict[str, None] = {}
    splitter = _pieces()
    for text in _texts():
        for piece, _ in splitter.pre_tokenize_str(text):
            letters = piece.removeprefix("Ġ")
            if letters.isalpha() and set(letters) <= set(string.ascii_letters) and len(piece) > 1:
                found[piece] = None
    return list(found)


def build_tokenizer() -> Tokenizer:
    """The tokenizer: 256 bytes, accented letters, words, Qwen's special tokens."""
    vocabulary = {byte: i for i, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges = []
    splitter = _pieces()
    for letter in ACCENTED + "€":
        spelled = splitter.pre_tokenize_str(letter)[0][0]
        for cut in range(1, len(spelled)):
            if spelled[: cut + 1] not in vocabulary:
                vocabulary[spelled[: cut + 1]] = len(vocabulary)
            merges.append((spelled[:cut], spelled[cut]))
    for word in words():
        vocabulary.setdefault(word, len(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocabulary, list(dict.fromkeys(merges)), ignore_merges=True))
    tokenizer.pre_tokenizer = _pieces()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.add_tokens([AddedToken(half, normalized=False) for half in COORDINATES])
    return tokenizer


def special_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """Ids of the special tokens."""
    vocabulary = tokenizer.get_vocab()
    return {name: vocabulary[name] for name in SPECIAL}


def padded_size(tokenizer: Tokenizer) -> int:
    """Rows of the embedding: the vocabulary, rounded up to a multiple of 64."""
    return -(-tokenizer.get_vocab_size() // 64) * 64
