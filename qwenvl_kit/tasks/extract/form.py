"""The form of an extraction: its prompt, its constraint, and the reading of its answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from qwenvl_kit.errors import AnswerError
from qwenvl_kit.options import Sampling
from qwenvl_kit.results import Reply
from qwenvl_kit.structured_output.constraints import Constraint
from qwenvl_kit.structured_output.partial_json import PartialJson
from qwenvl_kit.structured_output.schema_prompt import describe_fields
from qwenvl_kit.structured_output.target import Target
from qwenvl_kit.tasks.extract.extraction import Extraction
from qwenvl_kit.tasks.prompts import chosen_prompt

PROMPTS = MappingProxyType(
    {
        "en": "Extract these fields from the image as JSON:\n{fields}",
        "zh": "从图片中提取以下字段，以JSON格式输出：\n{fields}",
    }
)

DEFAULT_SAMPLING = Sampling(max_new_tokens=1024)

_Value = TypeVar("_Value")


@contextmanager
def answered_by(reply: Reply) -> Iterator[None]:
    """Attach the reply to each `AnswerError` about it."""
    try:
        yield
    except AnswerError as error:
        error.reply = reply
        raise


def check_whole(written: PartialJson, reply: Reply) -> None:
    """Raise an error if an answer was cut short.

    Raises:
        AnswerError: its JSON is not complete.
    """
    if not written.is_whole:
        raise AnswerError(
            f"the answer was cut short ({reply.finish_reason})",
            hint="Sampling(max_new_tokens=...)",
        )


class Form(Generic[_Value]):
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
        with answered_by(reply):
            check_whole(written, reply)
            value = self._target.value_of(reply.text)
        confidences = {
            self._target.name_of(leaf.path): reply.probability_between(leaf.start, leaf.stop)
            for leaf in written.leaves
        }
        return Extraction(value, MappingProxyType(confidences), reply)
