"""An example: a conversation with the answers that a model is to learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from numbers import Real
from typing import Any, Literal, TypeAlias, Union

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.errors import TrainingDataError
from qwenvl_kit.formats.dicts import MessageLike, from_dicts
from qwenvl_kit.formats.keys import shown
from qwenvl_kit.messages.message import Message, TextPart, with_system_part
from qwenvl_kit.messages.thinking import ThinkingSwitch
from qwenvl_kit.messages.tool_parts import ToolCall
from qwenvl_kit.options import BudgetChoice, as_budget
from qwenvl_kit.tools.functions import with_tools
from qwenvl_kit.training.examples.places import UnwrittenPart

TrainedAnswers: TypeAlias = Union[Literal["all", "last"], tuple[int, ...]]
"""The answers of a conversation that are learned: all, the last, or those at these indices."""

_MOST_WEIGHT = 1e9


@explains_wrong_arguments
@dataclass(frozen=True)
class Example:
    """A conversation with the answers that a model is to learn.

        Example([Message.user(ImagePart("cat.jpg"), "What is this?"), Message.assistant("A cat.")])

    Everything that `chat.ask` takes may stand before an answer: the prompt that is trained is the
    one that `ask` would send.

    Attributes:
        messages: the conversation, as messages or dicts; the last is the model's answer.
        weight: the weight of its loss, relative to that of other examples.
        answers: the answers that are learned: "all", "last", or a tuple of indices of messages.
        tools: functions that the model may call in it, as in `Request`.
        thinking: True or False where the model's chat template switches thinking; None for the
            checkpoint's default.
        budget: the visual tokens that its pictures may take; None for that of the call.
        where: its place, such as `train.jsonl:3`; it does not count when examples are compared.

    Raises:
        TrainingDataError: there is no answer, an answer is empty or follows no question, or the
            weight is no number above 0.
        MessageError: the messages have another form.
    """

    messages: tuple[Message, ...]
    weight: float = 1.0
    _: KW_ONLY
    answers: TrainedAnswers = "all"
    tools: Sequence[Callable[..., Any]] = ()
    thinking: bool | None = None
    budget: BudgetChoice | None = None
    where: str = field(default="", compare=False)

    def __init__(
        self,
        messages: Sequence[MessageLike],
        weight: float = 1.0,
        *,
        answers: TrainedAnswers = "all",
        tools: Sequence[Callable[..., Any]] = (),
        thinking: bool | None = None,
        budget: BudgetChoice | None = None,
        where: str = "",
    ) -> None:
        if isinstance(messages, (str, Mapping, Message)):
            raise TrainingDataError(
                f"messages of type {type(messages).__name__} were given",
                expected="a question and its answer, such as [Message.user(...), "
                "Message.assistant(...)]",
            )
        is_number = isinstance(weight, Real) and not isinstance(weight, bool)
        if not is_number or not 0 < weight <= _MOST_WEIGHT:
            raise TrainingDataError(
                f"weight={shown(weight)} was given", expected="a number above 0, at most 1e9"
            )
        if thinking is not None and not isinstance(thinking, bool):
            raise TrainingDataError(
                f"thinking={shown(thinking)} was given", expected="True, False or None"
            )
        conversation = from_dicts(messages)
        values = {
            "messages": conversation,
            "weight": weight,
            "answers": answers if isinstance(answers, str) else tuple(answers),
            "tools": tuple(tools),
            "thinking": thinking,
            "budget": None if budget is None else as_budget(budget),
            "where": where,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        _check(conversation, self.answers)

    @property
    def answer_indices(self) -> tuple[int, ...]:
        """The indices of the messages that are learned."""
        if isinstance(self.answers, tuple):
            return self.answers
        found = _assistant_indices(self.messages)
        return found if self.answers == "all" else found[-1:]

    def conversation(self) -> tuple[Message, ...]:
        """The messages, with the tools that they offer and the switch of thinking."""
        messages: Sequence[Message] = self.messages
        if self.thinking is not None:
            messages = with_system_part(messages, ThinkingSwitch(self.thinking))
        return tuple(with_tools(messages, self.tools) if self.tools else messages)


def _assistant_indices(messages: Sequence[Message]) -> tuple[int, ...]:
    return tuple(at for at, message in enumerate(messages) if message.role == "assistant")


def _check(messages: Sequence[Message], answers: object) -> None:
    """Check that a conversation has answers to learn, each after a question."""
    found = _assistant_indices(messages)
    if not found:
        raise TrainingDataError(
            "the conversation has no answer to learn", expected="an assistant's message"
        )
    last = messages[-1]
    if last.role != "assistant":
        raise TrainingDataError(
            f"the last message is of the role {last.role!r}, and nothing answers it",
            expected="an assistant's message as the last one",
        )
    for at in found:
        _check_answer(messages, at)
    if answers in ("all", "last"):
        return
    if not isinstance(answers, tuple) or not answers or not set(answers) <= set(found):
        raise TrainingDataError(
            f"answers={shown(answers)} was given",
            expected=f"'all', 'last', or some of the assistant's messages {found}",
        )


def _check_answer(messages: Sequence[Message], at: int) -> None:
    where = f"messages[{at}]"
    before = messages[at - 1].role if at else None
    if before in (None, "system"):
        raise TrainingDataError(
            "the answer follows no question",
            expected="a user's message before it",
            hint="text without a question is for pre-training, which the kit does not do",
            where=where,
        )
    if before == "assistant":
        raise TrainingDataError(
            "two assistant's messages follow each other",
            expected="one message with all that the model says in a turn",
            where=where,
        )
    if not any(map(_says_something, messages[at].parts)):
        raise TrainingDataError("the answer is empty", expected="text or tool calls", where=where)


def _says_something(part: object) -> bool:
    if isinstance(part, (ToolCall, UnwrittenPart)):
        return True
    return isinstance(part, TextPart) and bool(part.text.strip())
