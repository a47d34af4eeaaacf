"""The comparison of a model with its base: answers to examples before a training and after it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.errors import AdapterError, InputError, QwenVLKitError
from qwenvl_kit.media.thumbnails import draw_thumbnails
from qwenvl_kit.messages.message import Message, TextPart
from qwenvl_kit.messages.thinking import OPEN, split_thoughts
from qwenvl_kit.messages.thinking_parts import ThinkingPart
from qwenvl_kit.messages.tool_parts import ToolCall
from qwenvl_kit.options import Sampling
from qwenvl_kit.requests import Request
from qwenvl_kit.results import Failure, Reply
from qwenvl_kit.training.examples.example import Example
from qwenvl_kit.training.examples.places import UnwrittenPart
from qwenvl_kit.training.outcome.report import ComparedExample, TrainingReport
from qwenvl_kit.training.sequences.place_writer import PlaceWriter, has_places

if TYPE_CHECKING:
    from qwenvl_kit.chat import VisionChat

CUT_MARK = " ..."
"""The mark at the end of a text that was cut."""

_MOST_CHARACTERS = 2000
"""The most characters of a text that a report keeps."""


@explains_wrong_arguments
def compare_before_and_after(
    chat: VisionChat,
    examples: Iterable[Example],
    *,
    before: VisionChat | None = None,
    num_shown: int = 4,
    max_new_tokens: int = 64,
) -> TrainingReport:
    """Ask a model and its base the questions of examples, and report both answers to each.

        chat = VisionChat.from_pretrained("Qwen/Qwen2-VL-2B-Instruct", adapter="out/adapter")
        print(compare_before_and_after(chat, examples))

    The last answer of each example is asked for, greedily, by both. An example that fails costs
    itself alone.

    Args:
        chat: the chat with the trained model. Its adapter is detached for a while, and is in use
            again afterwards, whatever happens.
        examples: the examples; each of them is asked, so give a part of many.
        before: the chat with the base model; None for `chat` without its adapter.
        num_shown: the most examples that are shown, evenly spread over all.
        max_new_tokens: the most tokens of an answer.

    Raises:
        AdapterError: no adapter is in use, and no other chat is given.
        UnsupportedFeatureError: the chat has no adapters that can be detached.
        InputError: a number is out of its range.
    """
    if isinstance(num_shown, bool) or not isinstance(num_shown, int) or num_shown < 0:
        raise InputError(f"num_shown={num_shown!r} was given", expected="a whole number, 0 or more")
    if before is None and chat.adapters.active is None:
        raise AdapterError(
            "no adapter is in use, so that there is nothing to compare",
            expected="a chat that was loaded with the adapter",
            hint="VisionChat.from_pretrained(..., adapter=...), or before=... with another chat",
        )
    sampling = Sampling(max_new_tokens=max_new_tokens, keep_special_tokens=True)
    questions = [_question(chat, each, at, sampling) for at, each in enumerate(examples)]
    trained = _answers(chat, questions)
    if before is None:
        with _without_adapter(chat):
            base = _answers(chat, questions)
    else:
        base = _answers(before, questions)
    compared = [_compared(*each) for each in zip(questions, base, trained)]
    return TrainingReport.of(
        compared,
        shown=[
            _with_pictures(compared[at], questions[at], chat)
            for at in _spread(len(compared), num_shown)
        ],
    )


@dataclass(frozen=True)
class _Question:
    """The question of an example, as a chat is asked it.

    Attributes:
        where: the place of the example.
        request: the request; None if the example cannot be asked.
        answer: the expected answer; None if its places cannot be written.
        problem: the error because of which it cannot be asked.
    """

    where: str
    request: Request | None = None
    answer: Message | None = None
    problem: str = ""


@dataclass(frozen=True)
class _Answer:
    """The answer of a model to a question, and the score that it gives the expected one."""

    text: str | None = None
    is_exact: bool = False
    nll: float | None = None
    problem: str = ""


@contextmanager
def _without_adapter(chat: VisionChat) -> Iterator[None]:
    """Detach the adapter of a chat within the block."""
    name = chat.adapters.active
    chat.adapters.use(None)
    try:
        yield
    finally:
        chat.adapters.use(name)


def _question(chat: VisionChat, example: Example, number: int, sampling: Sampling) -> _Question:
    """The question of an example, with its places written for the family of the chat."""
    where = example.where or f"examples[{number}]"
    at = example.answer_indices[-1]
    try:
        messages: Sequence[Message] = example.messages[: at + 1]
        request = Request(
            messages[:-1],
            sampling=sampling,
            budget=example.budget,
            tools=example.tools,
            thinking=example.thinking,
        )
        if any(map(has_places, messages)):
            plan = chat.plan(replace(request, messages=[*map(_without_places, messages[:-1])]))
            messages = PlaceWriter(plan.images, chat.family).written(messages)
            request = replace(request, messages=messages[:-1])
    except QwenVLKitError as error:
        return _Question(where, problem=str(error))
    return _Question(where, request, messages[-1])


def _without_places(message: Message) -> Message:
    """A message with a text in place of each place, to plan its pictures, which depend on none."""
    parts = [TextPart("?") if isinstance(part, UnwrittenPart) else part for part in message.parts]
    return replace(message, parts=tuple(parts))


def _answers(chat: VisionChat, questions: Sequence[_Question]) -> list[_Answer]:
    """The answers of a chat to those questions that can be asked."""
    requests = [each.request for each in questions if each.request is not None]
    results = iter(chat.ask_many(requests, on_error="return"))
    return [
        _Answer() if each.request is None else _answer(chat, each, next(results))
        for each in questions
    ]


def _answer(chat: VisionChat, question: _Question, result: Reply | Failure) -> _Answer:
    if isinstance(result, Failure):
        return _Answer(problem=str(result.error).removeprefix(f"requests[{result.index}]."))
    answer, calls = question.answer, result.tool_calls
    text = _written(result.text, calls) + (CUT_MARK if result.finish_reason == "length" else "")
    is_exact = answer is not None and _written(result.text, calls) == _expected(answer)
    try:
        return _Answer(text, is_exact, _nll(chat, question))
    except QwenVLKitError as error:
        return _Answer(text, is_exact, problem=f"the expected answer has no score: {error}")


def _nll(chat: VisionChat, question: _Question) -> float | None:
    """The nats per token of the expected answer; None if it is more than a text, or has no room."""
    request, answer = question.request, question.answer
    if request is None or answer is None or not _is_text(answer):
        return None
    ((reply,),) = chat.score([request], [answer.text])
    return None if reply.logprob is None else -reply.logprob / len(reply.scores)


def _is_text(answer: Message) -> bool:
    """True if the text of an answer is all that the model writes."""
    is_more = any(isinstance(part, (ToolCall, ThinkingPart)) for part in answer.parts)
    return not is_more and OPEN not in answer.text


def _expected(answer: Message) -> str:
    calls = [part for part in answer.parts if isinstance(part, ToolCall)]
    return _written(split_thoughts(answer.text).answer, calls)


def _written(text: str, calls: Sequence[ToolCall]) -> str:
    """An answer as a report has it: its text, and its calls of tools in a form of their own."""
    return "\n".join(filter(None, (text.strip(), *map(_call, calls))))


def _call(call: ToolCall) -> str:
    return f"{call.name}({json.dumps(dict(call.arguments), ensure_ascii=False, sort_keys=True)})"


def _compared(question: _Question, before: _Answer, after: _Answer) -> ComparedExample:
    asked = question.request.conversation()[-1].text if question.request else ""
    return ComparedExample(
        where=question.where,
        question=_shortened(asked),
        expected=_shortened(_expected(question.answer)) if question.answer else "",
        before=None if before.text is None else _shortened(before.text),
        after=None if after.text is None else _shortened(after.text),
        is_exact_before=before.is_exact,
        is_exact_after=after.is_exact,
        nll_before=before.nll,
        nll_after=after.nll,
        problem=_shortened(question.problem or before.problem or after.problem),
    )


def _with_pictures(
    compared: ComparedExample, question: _Question, chat: VisionChat
) -> ComparedExample:
    """An example with its first pictures, small; without them if they cannot be drawn."""
    if question.request is None:
        return compared
    try:
        messages, plan = question.request.conversation(), chat.plan(question.request)
        drawn = draw_thumbnails(messages, chat.policy, plan)
    except QwenVLKitError as error:
        return replace(compared, problem=compared.problem or str(error))
    return replace(compared, thumbnails=drawn.pictures, num_pictures=drawn.num_all)


def _spread(number: int, most: int) -> list[int]:
    """At most so many indices, evenly spread over a number of things."""
    kept = min(number, most)
    return [at * number // kept for at in range(kept)]


def _shortened(text: str) -> str:
    is_long = len(text) > _MOST_CHARACTERS
    return f"{text[:_MOST_CHARACTERS]}{CUT_MARK}" if is_long else text
