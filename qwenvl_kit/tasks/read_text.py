"""Read the text that a picture shows."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import MessageError
from qwenvl_kit.grounding.boxes import Box
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.structured_output.schema_prompt import describe_fields
from qwenvl_kit.tasks.prompts import Language, chosen_prompt
from qwenvl_kit.tasks.spot import spot, spotting_schema
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
    """A line of text.

    Attributes:
        text: what it says.
        box: where it stands, in pixels of the upright original; None if the family or the model
            does not say.
        confidence: how sure the model was of its words, in [0, 1]; None without scores.
    """

    text: str
    box: Box | None
    confidence: float | None


@dataclass(frozen=True)
class ReadText(Answer):
    """The text that a picture shows.

    Attributes:
        text_lines: each line with its place and confidence, if `form="lines"` asked for them.
        warnings: what could not be read of such an answer, in words.
    """

    text_lines: tuple[TextLine, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All of it, without white space around it."""
        return "\n".join(line.text for line in self.text_lines) or super().text

    @property
    def lines(self) -> tuple[str, ...]:
        """Its lines, without empty ones."""
        return tuple(line.strip() for line in self.text.splitlines() if line.strip())


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

    Args:
        chat: who answers.
        image: the picture.
        form: "plain"; "lines", each with its confidence, and with its box where the family
            grounds in JSON, as all but Qwen2-VL do; or "markdown" with headings, lists and tables.
        language: of the prompt; the text stays in its own.
        prompt: how to ask instead; of "lines", `{fields}` stands for what each is to hold.
        sampling: how to generate.
        budget: what the picture may cost; small print wants a larger one.

    Raises:
        MessageError: the form or language is not known.
        InputError: the picture cannot be used.
        GenerationError: the model failed.
    """
    if form not in PROMPTS:
        raise MessageError(
            f"form={form!r} was given", expected=f"one of {', '.join(map(repr, PROMPTS))}"
        )
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
    schema = spotting_schema(chat, [_TEXT])
    fields = describe_fields(schema["items"], language)
    question = chosen_prompt(PROMPTS["lines"], language, prompt, fields=fields)
    spotting = spot(chat, image, question, schema, names=[_TEXT], sampling=sampling, budget=budget)
    lines = tuple(
        TextLine(spotted.values[_TEXT], spotted.box, spotted.confidences[_TEXT])
        for spotted in spotting.entries
    )
    return ReadText(spotting.reply, lines, spotting.warnings)
