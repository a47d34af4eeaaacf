"""Translate the text that a picture shows."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.grounding.boxes import Box
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.structured_output.json_schema import object_schema
from qwenvl_kit.structured_output.schema_prompt import describe_fields
from qwenvl_kit.tasks.prompts import Language, checked_words, chosen_prompt
from qwenvl_kit.tasks.spot import spot, spotting_schema
from qwenvl_kit.tasks.task_result import Answer

PROMPTS = MappingProxyType(
    {
        "en": "Translate each text in this image into {language}, as JSON:\n{fields}",
        "zh": "将图中的每处文字翻译成{language}，以JSON格式输出：\n{fields}",
    }
)
_SOURCE, _TARGET = "source", "target"
_LIST = "texts"


@dataclass(frozen=True)
class TextPair:
    """A text and what it means.

    Attributes:
        source: as the picture shows it.
        target: in the language that was asked for.
        box: where it stands, in pixels of the upright original; None if the family or the model
            does not say.
        source_confidence, target_confidence: how sure the model was of the words of either, in
            [0, 1]; None without scores.
    """

    source: str
    target: str
    box: Box | None
    source_confidence: float | None
    target_confidence: float | None


@dataclass(frozen=True)
class Translation(Answer):
    """The texts of a picture in another language.

    Attributes:
        target_language: the language that was asked for.
        pairs: each text with its translation, in the model's order.
        warnings: what could not be read of the answer, in words.
    """

    target_language: str
    pairs: tuple[TextPair, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All translations, one a line."""
        return "\n".join(pair.target for pair in self.pairs) or super().text


def translate_text_in_image(
    chat: VisionChat,
    image: Media,
    target_language: str = "English",
    *,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> Translation:
    """Translate all text in a picture, each beside what it translates.

    Families that ground in JSON, as all but Qwen2-VL do, say where each text stands.

    Args:
        chat: who answers.
        image: the picture.
        target_language: its name, in the language of the prompt.
        language: of the prompt.
        prompt: how to ask instead; `{language}` stands for the target language, `{fields}` for what
            the answer is to hold.
        sampling: how to generate; None is greedy.
        budget: what the picture may cost; small print wants a larger one.

    Raises:
        MessageError: no language to translate into, or one of the prompt that is not known.
        InputError: the picture cannot be used.
        GenerationError: the model failed.
    """
    target_language = checked_words(target_language, "the name of a language", "target_language")
    schema = object_schema({_LIST: spotting_schema(chat, [_SOURCE, _TARGET])})
    question = chosen_prompt(PROMPTS, language, prompt, fields=describe_fields(schema, language))
    spotting = spot(
        chat,
        image,
        question.replace("{language}", target_language),
        schema,
        names=[_SOURCE, _TARGET],
        at=(_LIST,),
        sampling=sampling,
        budget=budget,
    )
    pairs = tuple(
        TextPair(
            source=spotted.values[_SOURCE],
            target=spotted.values[_TARGET],
            box=spotted.box,
            source_confidence=spotted.confidences[_SOURCE],
            target_confidence=spotted.confidences[_TARGET],
        )
        for spotted in spotting.entries
    )
    return Translation(spotting.reply, target_language, pairs, spotting.warnings)
