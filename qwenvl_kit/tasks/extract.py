"""Extraction: typed values that are read from pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.display.blocks import bar, facts, folded, table
from qwenvl_kit.display.pictures import strip
from qwenvl_kit.display.replies import pictures_of, reply_blocks
from qwenvl_kit.display.styles import framed
from qwenvl_kit.display.text import percent, short_repr
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
    """A typed value that was read from a picture.

    Attributes:
        value: the value, of the type that was asked for.
        confidences: the probability of each value inside, by its path, such as `items[0].name`:
            that of all its tokens together, given what stands before it; None without scores.
        reply: the whole reply.
    """

    value: _Value
    confidences: Mapping[str, float | None]
    reply: Reply

    @property
    def confidence(self) -> float | None:
        """The lowest of the confidences; None without scores, or if there is no value inside."""
        known = [sure for sure in self.confidences.values() if sure is not None]
        return min(known, default=None)

    def __repr__(self) -> str:
        return short_repr(
            "Extraction",
            self.value,
            confidence=self.confidence,
            tokens=self.reply.usage.completion_tokens,
            seconds=float(self.reply.timing.total),
        )

    def _repr_html_(self) -> str:
        """Return the fields, with the place of each in the answer, which is folded below."""
        text, leaves = self.reply.text, PartialJson(self.reply.text).leaves
        written = [_written(text[leaf.start : leaf.stop]) for leaf in leaves]
        rows = [
            (name, words, bar(sure), f"{leaf.start}-{leaf.start + len(words)}")
            for (name, sure), leaf, words in zip(self.confidences.items(), leaves, written)
        ]
        headings = ("field", "value", "confidence", "characters of the answer")
        lowest = percent(self.confidence)
        return framed(
            strip(pictures_of(self.reply.plan)),
            table(headings, rows),
            facts(f"lowest confidence {lowest}" if lowest else ""),
            folded("the answer", reply_blocks(self.reply)),
        )


def _written(words: str) -> str:
    """A value of JSON without the mark that ended it, if there is one."""
    return words.rstrip().removesuffix(",").rstrip("]}").rstrip()


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

    The model can write only JSON of that type. An answer that grows too long is completed in the
    shortest way that the type allows; the `finish_reason` of its reply is then still "stop".

    Example:
        @dataclass
        class Receipt:
            total: float
            date: str | None
        extract(chat, "receipt.png", Receipt).value.total

    Args:
        chat: the model to ask.
        image: the picture, or a list of pictures that are read as one.
        wanted: the type: a dataclass, a TypedDict, a pydantic model, or a JSON schema as a dict.
            Fields may be optional, nested, lists and enums; the model is shown the descriptions of
            fields.
        language: the language of the prompt, "en" or "zh".
        prompt: your own prompt; `{fields}` in it is replaced by the names and types of the fields.
        sampling: the generation settings; None is greedy.
        budget: the `PixelBudget` of each picture, or a preset such as "quick".

    Returns:
        The value, with a confidence for each value inside it.

    Raises:
        SchemaError: the type is not supported: it is recursive, or has rules that cannot be
            enforced.
        AnswerError: the answer is not of the type; the error has the `reply`.
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
    """Yield what has been read so far, each time that it grows, and at last the typed value.

    The arguments and errors are those of `extract`. All values before the last are plain JSON:
    dicts, lists, strings and numbers, without the fields that the model has not reached. Strings
    grow. Parts that are complete are the same objects in every value: copy them before you change
    them.

    Example:
        for receipt in stream_extract(chat, "receipt.png", Receipt):
            print(receipt)
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
    """A JSON answer that is being written, without the thoughts that may come before it.

    Only the finished reply tells whether the prompt has opened the thoughts; the answer itself
    begins with a brace.
    """

    def __init__(self) -> None:
        self._before = ""
        self._written: PartialJson | None = None

    @property
    def value(self) -> Any:
        """The JSON value so far; None if there is none yet."""
        return None if self._written is None else self._written.value

    def feed(self, text: str) -> None:
        """Add the next text of the stream."""
        if self._written is not None:
            self._written.feed(text)
            return
        self._before += text
        is_thought = not self._before.lstrip().startswith("{")
        answer = split_thoughts(self._before, begins_inside=is_thought).answer
        if answer:
            self._written = PartialJson(answer)


class _Form(Generic[_Value]):
    """The prompt, the constraint and the reading of answers for one type."""

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
        """The value of an answer, with the confidence of each part."""
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
