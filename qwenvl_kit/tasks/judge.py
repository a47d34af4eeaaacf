"""Judge a description of a picture: is it true, is it rich, does it read well?"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import MessageError
from qwenvl_kit.options import BudgetChoice
from qwenvl_kit.requests import Media
from qwenvl_kit.tasks.answer_scores import score_answers
from qwenvl_kit.tasks.ask_typed import ask_each_yes_no
from qwenvl_kit.tasks.prompts import Language, chosen_prompt

CLAIM_PROMPTS = MappingProxyType(
    {
        "en": "Is this true of the image: {question}\nAnswer yes or no.",
        "zh": "以下说法符合图片内容吗：{question}\n请回答是或否。",
    }
)
_SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？]*")
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Claim:
    """A sentence of a description, and the probability that it holds of the picture."""

    text: str
    probability: float


@dataclass(frozen=True)
class Judgement:
    """How good a description is.

    Attributes:
        claims: its sentences.
        accuracy: the mean probability that they hold, in [0, 1]: what FActScore does (Min et al.,
            2023, arXiv:2305.14251), with the model's own P(True) as the judge (Kadavath et al.,
            2022, arXiv:2207.05221).
        richness: different words over the square root of all words (Guiraud's index, 1954);
            0 for none, about 5 for a paragraph. Of Chinese the characters are counted.
        coherence: how probable the model holds its words to be one after another, having seen the
            picture, in [0, 1]: the geometric mean of their tokens, the inverse of its perplexity.
    """

    claims: tuple[Claim, ...]
    accuracy: float
    richness: float
    coherence: float


def judge_description(
    chat: VisionChat,
    image: Media,
    description: str,
    *,
    language: Language = "en",
    prompt: str | None = None,
    budget: BudgetChoice | None = None,
) -> Judgement:
    """Judge a description of a picture, whoever wrote it.

    The picture is read once for all questions about it.

    Args:
        chat: who judges.
        image: the picture.
        description: what is judged; each sentence is a claim.
        language: of prompt and description.
        prompt: how to ask about a claim instead; `{question}` stands for it.
        budget: what the picture may cost.

    Raises:
        MessageError: there is no sentence in it.
        UnsupportedFeatureError: the backend gives no scores.
        InputError: the picture cannot be used.
    """
    texts = claims_of(description)
    answers = ask_each_yes_no(
        chat,
        texts,
        [image],
        language=language,
        prompt=chosen_prompt(CLAIM_PROMPTS, language, prompt),
        budget=budget,
    )
    claims = [Claim(text, answer.probability) for text, answer in zip(texts, answers, strict=True)]
    written = " ".join(description.split())
    (reply,) = score_answers(chat, _DESCRIBE[language], [image], [written], budget=budget).replies
    tokens = reply.tokens or ()
    mean = sum(token.logprob for token in tokens) / max(1, len(tokens))
    return Judgement(
        claims=tuple(claims),
        accuracy=sum(claim.probability for claim in claims) / len(claims),
        richness=_richness(description),
        coherence=min(1.0, math.exp(mean)),
    )


_DESCRIBE = MappingProxyType({"en": "Describe this image.", "zh": "描述这张图片。"})


def claims_of(description: object) -> Sequence[str]:
    """The sentences of a description.

    Raises:
        MessageError: it holds none.
    """
    if not isinstance(description, str):
        raise MessageError(
            f"a description of type {type(description).__name__} was given", expected="a text"
        )
    found = [text.strip() for text in _SENTENCE.findall(description) if _WORD.search(text)]
    if not found:
        raise MessageError(
            f"{description!r} was given", expected="a sentence or more", where="description"
        )
    return found


def _richness(description: str) -> float:
    words = [
        word
        for found in _WORD.findall(description.casefold())
        for word in ([found] if found.isascii() else list(found))
    ]
    return len(set(words)) / math.sqrt(len(words))
