"""Text recognition (OCR): the text that a picture shows."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.display.blocks import bar, notes, table
from qwenvl_kit.display.pictures import strip
from qwenvl_kit.display.replies import pictures_of
from qwenvl_kit.display.styles import framed
from qwenvl_kit.grounding.boxes import Box, sides_of
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.structured_output.schema_prompt import describe_fields
from qwenvl_kit.tasks.prompts import Language, check_choice, chosen_prompt
from qwenvl_kit.tasks.spotted_texts import spot_texts, spotted_texts_schema
from qwenvl_kit.tasks.task_result import Answer

Form: TypeAlias = Literal["plain", "lines", "markdown"]

PROMPTS = MappingProxyType(
    {
        "plain": {"en": "Read all the text in this image.", "zh": "读出图中的所有文字。"},
        "lines": {
            "en": "Spot all the text in this image line by line, in JSON format:\n{fields}",
            "zh": "逐行识别图中的所有文字，以JSON格式输出：\n{fields}",
        },
        "markdown": {
            "en": "Read all the text in this image as Markdown, with its headings, lists and "
            "tables.",
            "zh": "以Markdown格式读出图中的所有文字，保留标题、列表和表格。",
        },
    }
)


_TEXT = "text_content"


@dataclass(frozen=True)
class TextLine:
    """A line of text in a picture.

    Attributes:
        text: the words.
        box: the place of the line, in pixels of the upright original; None if the family or the
            model does not give one.
        confidence: the confidence in its words, in [0, 1]; None without scores.
    """

    text: str
    box: Box | None
    confidence: float | None


@dataclass(frozen=True, repr=False)
class ReadText(Answer):
    """The text that a picture shows. `str(found)` is all of it.

    Attributes:
        text_lines: each line with its box and confidence, if `form="lines"` was asked for.
        warnings: messages about lines that could not be read, if `form="lines"` was asked for.
    """

    text_lines: tuple[TextLine, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All of the text, without white space around it."""
        return "\n".join(line.text for line in self.text_lines) or super().text

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of the text, without empty ones."""
        return tuple(line.strip() for line in self.text.splitlines() if line.strip())

    def _repr_html_(self) -> str:
        if not self.text_lines:
            return super()._repr_html_()
        rows = [(line.text, bar(line.confidence), sides_of(line.box)) for line in self.text_lines]
        return framed(
            strip(pictures_of(self.reply.plan)),
            table(("line", "confidence", "box in px"), rows),
            notes(self.warnings),
        )


def read_text(
    chat: VisionChat,
    image: Media,
    *,
    form: Form = "plain",
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> ReadText:
    """Read all text in a picture, line by line.

    Example:
        for line in read_text(chat, "sign.jpg", form="lines").text_lines:
            print(line.text, line.box, line.confidence)

    Args:
        chat: the model to ask.
        image: the picture.
        form: "plain"; "lines", which gives each line a confidence and, in all families but
            Qwen2-VL, a box; or "markdown" with headings, lists and tables.
        language: the language of the prompt, "en" or "zh"; the text stays in its own.
        prompt: your own prompt; with "lines", `{fields}` in it is replaced by the fields of a line.
        sampling: the generation settings; None takes the default of the chat, or is greedy with
            "lines".
        budget: the `PixelBudget` of the picture, or a preset such as "quick"; small print needs a
            larger one.

    Returns:
        The text; with "lines", `text_lines` has the place and confidence of each line.

    Raises:
        MessageError: the form or language is not known.
        InputError: the picture cannot be used.
        GenerationError: the model failed.
    """
    check_choice(form, PROMPTS, "form")
    if form == "lines":
        return _read_lines(
            chat, image, language=language, prompt=prompt, sampling=sampling, budget=budget
        )
    question = chosen_prompt(PROMPTS[form], language, prompt)
    return ReadText(chat.ask(question, image, sampling=sampling, budget=budget))


def _read_lines(
    chat: VisionChat,
    image: Media,
    *,
    language: Language,
    prompt: str | None,
    sampling: Sampling | None,
    budget: BudgetChoice | None,
) -> ReadText:
    schema = spotted_texts_schema(chat, [_TEXT])
    fields = describe_fields(schema["items"], language)
    question = chosen_prompt(PROMPTS["lines"], language, prompt, fields=fields)
    found = spot_texts(
        chat, image, question, schema, names=[_TEXT], sampling=sampling, budget=budget
    )
    lines = tuple(
        TextLine(spotted.values[_TEXT], spotted.box, spotted.confidences[_TEXT])
        for spotted in found.entries
    )
    return ReadText(found.reply, lines, found.warnings)
