"""Read typed values from pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import AnswerError
from qwenvl_kit.messages.thinking import split_thoughts
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.results import Reply
from qwenvl_kit.structured_output.constraints import Constraint
from qwenvl_kit.structured_output.partial_json import PartialJson
from qwenvl_kit.structured_output.schema_prompt import describe_fields
from qwenvl_kit.structured_output.target import Target
from qwenvl_kit.tasks.prompts import Language, chosen_prompt
from qwenvl_kit.tasks.task_input import as_media

PROMPTS = MappingProxyType(
    {
        "en": "Extract these fields from the image as JSON:\n{fields}",
        "zh": "从图片中提取以下字段，以JSON格式输出：\n{fields}",
    }
)

_MAX_TOKENS = 1024

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Extraction(Generic[_Value]):
    """What was read from a picture.

    Attributes:
        value: of the type that was asked for.
        confidences: for each value inside, by its path, such as `items[0].name`: how probable it
            was as a whole, from what the model saw and had written before; None without scores.
        reply: the whole reply.
    """

    value: _Value
    confidences: Mapping[str, float | None]
    reply: Reply

    @property
    def confidence(self) -> float | None:
        """That of the least sure value; None without scores, and where there is no value."""
        known = [sure for sure in self.confidences.values() if sure is not None]
        return min(known, default=None)


def extract(
    chat: VisionChat,
    image: Media | Sequence[Media],
    wanted: type[_Value] | Mapping[str, Any],
    *,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> Extraction[_Value]:
    """Read a typed value from one picture or several.

    The model can write nothing but JSON of that type. An answer that grows too long is brought
    to its end, and its reply's `finish_reason` is then still "stop".

    Example:
        @dataclass
        class Receipt:
            total: float
            date: str | None
        extract(chat, "receipt.png", Receipt).value.total

    Args:
        chat: who reads.
        image: the picture, or a list of them that are read as one.
        wanted: a dataclass, a TypedDict, a pydantic model, or a JSON schema as a dict. Fields may
            be optional, nested, lists and enums; descriptions of fields are told to the model.
        language: of the prompt.
        prompt: how to ask instead; `{fields}` stands for the names and kinds of the fields.
        sampling: how to generate; None is greedy.
        budget: what each picture may cost.

    Raises:
        SchemaError: no answer can be bound to the type: it is recursive, or says what cannot be
            kept.
        AnswerError: the answer is none of the type; it has the `reply`.
        InputError: a picture cannot be used.
    """
    form = _Form(wanted, language, prompt)
    reply = chat.ask(
        form.prompt,
        *as_media(image),
        sampling=sampling or Sampling(max_new_tokens=_MAX_TOKENS),
        budget=budget,
        constraint=form.constraint,
    )
    return form.extraction(reply)


def stream_extract(
    chat: VisionChat,
    image: Media | Sequence[Media],
    wanted: type[_Value] | Mapping[str, Any],
    *,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> Iterator[Any]:
    """What has been read so far, each time that it grows, and at last the typed value.

    The arguments and errors are those of `extract`. What is yielded before the end is JSON's own:
    dicts, lists, texts and numbers, without what has not been reached; texts grow. Parts that have
    ended are the same objects each time: copy what you change.
    """
    form: _Form[_Value] = _Form(wanted, language, prompt)
    stream = chat.stream(
        form.prompt,
        *as_media(image),
        sampling=sampling or Sampling(max_new_tokens=_MAX_TOKENS),
        budget=budget,
        constraint=form.constraint,
    )
    with stream:
        answer, shown = _GrowingAnswer(), None
        for delta in stream:
            answer.feed(delta.text)
            value = form.unwrapped(answer.value)
            if value is not None and value != shown:
                shown = value
                yield value
    yield form.extraction(stream.reply).value


class _GrowingAnswer:
    """An answer in JSON while it is written, after what the model may think before it.

    What a prompt has opened is known at the end alone; the answer begins with a brace.
    """

    def __init__(self) -> None:
        self._before = ""
        self._written: PartialJson | None = None

    @property
    def value(self) -> Any:
        """What it holds so far; None if it is nothing yet."""
        return None if self._written is None else self._written.value

    def feed(self, text: str) -> None:
        """Take in what comes next."""
        if self._written is not None:
            self._written.feed(text)
            return
        self._before += text
        is_thought = not self._before.lstrip().startswith("{")
        answer = split_thoughts(self._before, begins_inside=is_thought).answer
        if answer:
            self._written = PartialJson(answer)


class _Form(Generic[_Value]):
    """One type, how it is asked for, and what is made of the answer."""

    def __init__(
        self, wanted: type[_Value] | Mapping[str, Any], language: str, prompt: str | None
    ) -> None:
        self._target = Target(wanted)
        self._schema = self._target.answer_schema
        self.prompt = chosen_prompt(
            PROMPTS, language, prompt, fields=describe_fields(self._schema, language)
        )
        self.constraint = Constraint.from_schema(self._schema)

    def unwrapped(self, value: Any) -> Any:
        """The part of an answer that the caller asked for."""
        return self._target.unwrapped(value)

    def extraction(self, reply: Reply) -> Extraction[_Value]:
        """The value of an answer, and how sure each part of it is."""
        written = PartialJson(reply.text)
        try:
            if not written.is_whole:
                raise AnswerError(
                    f"the answer was cut short ({reply.finish_reason})",
                    hint="Sampling(max_new_tokens=...)",
                )
            value = self._target.value_of(reply.text)
        except AnswerError as error:
            error.reply = reply
            raise
        confidences = {
            self._target.name_of(leaf.path): reply.probability_between(leaf.start, leaf.stop)
            for leaf in written.leaves
        }
        return Extraction(value, MappingProxyType(confidences), reply)
