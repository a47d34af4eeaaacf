"""Judgement of a description: its accuracy, its richness and its coherence."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.display.blocks import bar, facts, table
from qwenvl_kit.display.styles import framed
from qwenvl_kit.display.text import percent, rounded, short_repr
from qwenvl_kit.errors import MessageError
from qwenvl_kit.options import BudgetChoice
from qwenvl_kit.requests import Media
from qwenvl_kit.tasks.answer_scores import score_answers
from qwenvl_kit.tasks.ask_yes_no import ask_each_yes_no
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
    """A sentence of a description.

    Attributes:
        text: the sentence.
        probability: the probability that it is true of the picture, in [0, 1].
    """

    text: str
    probability: float


@dataclass(frozen=True)
class Judgement:
    """The quality of a description of a picture.

    Attributes:
        claims: the sentences of the description, each with its probability of being true.
        accuracy: the mean of these probabilities, in [0, 1]. This is FActScore (Min et al., 2023,
            arXiv:2305.14251) with the model's own P(True) as the judge (Kadavath et al., 2022,
            arXiv:2207.05221).
        richness: the number of different words over the square root of the number of all words
            (Guiraud's index, 1954); 0 for none, about 5 for a paragraph. In Chinese, characters are
            counted.
        coherence: the geometric mean of the probabilities of its tokens, given the picture, in [0,
            1]: the inverse of its perplexity.
    """

    claims: tuple[Claim, ...]
    accuracy: float
    richness: float
    coherence: float

    def __repr__(self) -> str:
        return short_repr(
            "Judgement",
            accuracy=self.accuracy,
            richness=self.richness,
            coherence=self.coherence,
            claims=len(self.claims),
        )

    def _repr_html_(self) -> str:
        rows = [(claim.text, bar(claim.probability)) for claim in self.claims]
        told = (
            f"accuracy {percent(self.accuracy)}",
            f"richness {rounded(self.richness)}",
            f"coherence {percent(self.coherence)}",
        )
        return framed(table(("claim", "probability"), rows), facts(*told))


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

    Example:
        judgement = judge_description(chat, "cat.jpg", "A cat sleeps. It is black.")
        wrong = [claim.text for claim in judgement.claims if claim.probability < 0.5]

    Args:
        chat: the model that judges.
        image: the picture.
        description: the text to judge; each sentence is a claim.
        language: the language of prompt and description, "en" or "zh".
        prompt: your own prompt for one claim; `{question}` in it is replaced by the claim.
        budget: the `PixelBudget` of the picture, or a preset such as "quick".

    Returns:
        The accuracy, richness and coherence of the description, and each of its claims.

    Raises:
        MessageError: the description holds no sentence.
        UnsupportedFeatureError: the backend gives no log-probabilities.
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
        MessageError: there are none.
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
