"""Translation of the text in a picture."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.display.blocks import bar, facts, notes, table
from qwenvl_kit.display.pictures import strip
from qwenvl_kit.display.replies import pictures_of
from qwenvl_kit.display.styles import framed
from qwenvl_kit.grounding.boxes import Box, sides_of
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.structured_output.json_schema import object_schema
from qwenvl_kit.structured_output.schema_prompt import describe_fields
from qwenvl_kit.tasks.prompts import Language, checked_words, chosen_prompt
from qwenvl_kit.tasks.spotted_texts import spot_texts, spotted_texts_schema
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
    """A text of a picture and its translation.

    Attributes:
        source: the text as the picture shows it.
        target: the translation.
        box: the place of the text, in pixels of the upright original; None if the family or the
            model does not give one.
        source_confidence, target_confidence: the confidence in the words of each, in [0, 1]; None
            without scores.
    """

    source: str
    target: str
    box: Box | None
    source_confidence: float | None
    target_confidence: float | None


@dataclass(frozen=True, repr=False)
class Translation(Answer):
    """The texts of a picture in another language. `str(translation)` is all translations.

    Attributes:
        target_language: the language that was asked for.
        pairs: each text with its translation, in the order of the answer.
        warnings: messages about parts of the answer that could not be read.
    """

    target_language: str
    pairs: tuple[TextPair, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All translations, one per line."""
        return "\n".join(pair.target for pair in self.pairs) or super().text

    def _repr_html_(self) -> str:
        if not self.pairs:
            return super()._repr_html_()
        rows = [
            (
                *(pair.source, bar(pair.source_confidence)),
                *(pair.target, bar(pair.target_confidence), sides_of(pair.box)),
            )
            for pair in self.pairs
        ]
        headings = ("text", "confidence", self.target_language, "confidence", "box in px")
        return framed(
            strip(pictures_of(self.reply.plan)),
            table(headings, rows),
            facts(f"{len(rows):,} texts"),
            notes(self.warnings),
        )


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
    """Translate all text in a picture; each text is given with its translation.

    All families but Qwen2-VL, which does not ground in JSON, also give the box of each text.

    Example:
        for pair in translate_text_in_image(chat, "menu.jpg", "English").pairs:
            print(pair.source, "->", pair.target)

    Args:
        chat: the model to ask.
        image: the picture.
        target_language: the name of the language to translate into, in the language of the prompt.
        language: the language of the prompt, "en" or "zh".
        prompt: your own prompt; `{language}` in it is replaced by the target language, `{fields}`
            by the fields of the answer.
        sampling: the generation settings; None is greedy.
        budget: the `PixelBudget` of the picture, or a preset such as "quick"; small print needs a
            larger one.

    Returns:
        The translation, with a pair of source and target for each text.

    Raises:
        MessageError: there is no language to translate into, or the language of the prompt is not
            known.
        InputError: the picture cannot be used.
        GenerationError: the model failed.
    """
    target_language = checked_words(target_language, "the name of a language", "target_language")
    schema = object_schema({_LIST: spotted_texts_schema(chat, [_SOURCE, _TARGET])})
    question = chosen_prompt(PROMPTS, language, prompt, fields=describe_fields(schema, language))
    found = spot_texts(
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
        for spotted in found.entries
    )
    return Translation(found.reply, target_language, pairs, found.warnings)
