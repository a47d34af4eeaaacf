"""Extraction while the answer is being written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import UnsupportedFeatureError
from qwenvl_kit.messages.thinking import split_thoughts
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.structured_output.partial_json import PartialJson
from qwenvl_kit.tasks.extract.form import DEFAULT_SAMPLING, Form
from qwenvl_kit.tasks.prompts import Language
from qwenvl_kit.tasks.task_input import as_media

_Value = TypeVar("_Value")


def stream_extract(
    chat: VisionChat,
    image: Media | Sequence[Media],
    wanted: type[_Value] | Mapping[str, Any],
    *,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
    evidence: Literal[False] = False,
) -> Iterator[Any]:
    """Yield what has been read so far, each time that it grows, and at last the typed value.

    The arguments and errors are those of `extract`. All values before the last are plain JSON:
    dicts, lists, strings and numbers, without the fields that the model has not reached. Strings
    grow. Parts that are complete are the same objects in every value: copy them before you change
    them.

    Example:
        for receipt in stream_extract(chat, "receipt.png", Receipt):
            print(receipt)

    Raises:
        UnsupportedFeatureError: `evidence=True` was given, which only `extract` takes.
    """
    if evidence:
        raise UnsupportedFeatureError(
            "stream_extract gives no evidence: a box is known when its value is complete",
            hint="extract(..., evidence=True)",
        )
    form: Form[_Value] = Form(wanted, language, prompt)
    return _streamed(chat, as_media(image), form, sampling or DEFAULT_SAMPLING, budget)


def _streamed(
    chat: VisionChat,
    media: Sequence[Media],
    form: Form[_Value],
    sampling: Sampling,
    budget: BudgetChoice | None,
) -> Iterator[Any]:
    stream = chat.stream(
        form.prompt, *media, sampling=sampling, budget=budget, constraint=form.constraint
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
