"""The questions that are asked about a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.documents.blocks import BLOCK_KINDS
from qwenvl_kit.documents.reading.json_pages import BOX_FIELD, KIND_FIELD, TEXT_FIELD
from qwenvl_kit.documents.reading.pages import PageForm
from qwenvl_kit.errors import UnsupportedFeatureError
from qwenvl_kit.messages.message import ImagePart, Message
from qwenvl_kit.options import Sampling
from qwenvl_kit.requests import Request
from qwenvl_kit.structured_output.constraints import Constraint
from qwenvl_kit.structured_output.json_schema import object_schema
from qwenvl_kit.structured_output.schema_prompt import describe_fields
from qwenvl_kit.tasks.prompts import check_choice, chosen_prompt

DocumentForm: TypeAlias = Literal["auto", "markdown", "html", "blocks"]
"""The form in which the model is asked to write a page; "auto" takes "html" where the family was
trained for it, and "blocks" elsewhere."""

FORMS: tuple[DocumentForm, ...] = ("auto", "markdown", "html", "blocks")

BLOCKS_PROMPTS: Mapping[str, str] = MappingProxyType(
    {
        "en": "List all parts of this page in the order of reading, as JSON. The text of a table "
        "is HTML, that of a formula is LaTeX, that of a heading begins with # by its level, and "
        "that of a picture describes it.\n{fields}",
        "zh": "按阅读顺序列出此页面的所有部分，以JSON格式输出。表格的文字用HTML，公式用LaTeX，"
        "标题按级别以 # 开头，图片则用文字描述。\n{fields}",
    }
)
"""The prompt of the form "blocks", in words of our own: a list of objects with box, category and
text, as the cookbooks of Qwen2.5-VL and Qwen3-VL have places written."""

TURN_PROMPTS: Mapping[str, str] = MappingProxyType(
    {
        "en": "Which way does the top of the letters point in this image? Answer with one word: "
        "up, down, left or right.",
        "zh": "图中文字的顶端朝向哪一边？只用一个字回答：上、下、左、右。",
    }
)
"""The question about the orientation of a page."""

_TURNS: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "en": MappingProxyType({"up": 0, "down": 180, "left": 90, "right": 270}),
        "zh": MappingProxyType({"上": 0, "下": 180, "左": 90, "右": 270}),
    }
)
"""The degrees by which a page is turned clockwise, by the side to which its letters point."""

_MAX_TOKENS = 8192
"""Room for a page of small print with its boxes."""

_MAX_CYCLE_TOKENS = 256
"""Repetition that ends an answer: a table may repeat a row more often than prose does."""


@dataclass(frozen=True)
class PageQuestion:
    """The question about each page.

    Attributes:
        form: the form of the answer.
        text: the prompt.
        system: the system message; empty for none.
        constraint: the constraint of the answer; None for none.
    """

    form: PageForm
    text: str
    system: str = ""
    constraint: Constraint | None = None

    def request(self, part: ImagePart, request_id: str) -> Request:
        """The question about one picture."""
        system = [Message.system(self.system)] if self.system else []
        messages = (*system, Message.user(part, self.text))
        return Request(messages, id=request_id, constraint=self.constraint)


def page_question(
    chat: VisionChat, form: DocumentForm, language: str, prompt: str | None
) -> PageQuestion:
    """Return the question of a form, in the words that the chat's family was trained on.

    Raises:
        UnsupportedFeatureError: the family was not trained for the form, and no prompt is given.
        MessageError: the form or the language is not known.
    """
    check_choice(form, FORMS, "form")
    trained = dict(chat.family.document_prompts)
    chosen: PageForm = ("html" if "html" in trained else "blocks") if form == "auto" else form
    if chosen == "blocks":
        return _blocks_question(chat, language, prompt)
    chosen_prompt(BLOCKS_PROMPTS, language)  # which checks the language
    if prompt is not None:
        return PageQuestion(chosen, chosen_prompt({language: prompt}, language))
    if chosen not in trained:
        known = ", ".join(f'form="{name}"' for name in (*trained, "blocks"))
        raise UnsupportedFeatureError(
            f"{chat.family.model_type} was not trained to write pages as {chosen}",
            expected=known,
            hint='form="blocks", or prompt=... if it was fine-tuned for another prompt',
        )
    return PageQuestion(chosen, trained[chosen].text, trained[chosen].system)


def _blocks_question(chat: VisionChat, language: str, prompt: str | None) -> PageQuestion:
    fields: dict[str, Any] = {}
    if chat.family.box_format == "json":
        number = {"type": "integer", "minimum": 0, "maximum": 99_999}
        fields[BOX_FIELD] = {"type": "array", "items": number, "minItems": 4, "maxItems": 4}
    fields[KIND_FIELD] = {"enum": list(BLOCK_KINDS)}
    fields[TEXT_FIELD] = {"type": "string"}
    entry = object_schema(fields)
    schema = {"type": "array", "items": entry}
    described = describe_fields(entry, language)
    text = chosen_prompt(BLOCKS_PROMPTS, language, prompt, fields=described)
    return PageQuestion("blocks", text, constraint=Constraint.from_schema(schema))


def turn_request(part: ImagePart, language: str, request_id: str) -> Request:
    """Return the question about the orientation of a page."""
    return Request(
        (Message.user(part, TURN_PROMPTS[language]),),
        id=request_id,
        sampling=Sampling(max_new_tokens=8),
        constraint=Constraint.from_choices(_TURNS[language]),
    )


def degrees_of(answer: str, language: str) -> int:
    """Return the degrees by which a page is to be turned clockwise, by the answer about it."""
    return _TURNS[language].get(answer.strip(), 0)


def page_sampling(sampling: Sampling | None) -> Sampling:
    """Return the settings of a page: the caller's, or greedy ones with room for a whole page."""
    default = Sampling(max_new_tokens=_MAX_TOKENS, max_cycle_tokens=_MAX_CYCLE_TOKENS)
    return default if sampling is None else sampling
