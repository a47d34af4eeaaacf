"""An example is checked when it is built, and says which of its answers are learned."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from qwenvl_kit import Message, PixelBudget, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import QwenVLKitError, TrainingDataError
from qwenvl_kit.messages.thinking_parts import ThinkingPart
from qwenvl_kit.training import Example, LabelPart, PlacePart

TURNS = [Message.user("q"), Message.assistant("a"), Message.user("r"), Message.assistant("b")]


def weather(city: str) -> str:
    """Return the weather of a city."""
    return f"sun in {city}"


def test_all_answers_are_learned_by_default_or_the_last_or_those_that_are_named() -> None:
    assert Example(TURNS).answer_indices == (1, 3)
    assert Example(TURNS, answers="last").answer_indices == (3,)
    assert Example(TURNS, answers=(1,)).answer_indices == (1,)


def test_dicts_are_messages_too() -> None:
    dicts = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    assert Example(dicts) == Example(TURNS[:2])


def test_the_place_of_an_example_does_not_count_when_it_is_compared() -> None:
    assert Example(TURNS, where="a:1") == Example(TURNS, where="b:2")


def test_tools_and_the_switch_of_thinking_are_said_as_in_a_request() -> None:
    example = Example(TURNS, tools=[weather], thinking=True, budget="quick")
    system = example.conversation()[0]
    assert system.role == "system"
    assert len(system.parts) == 2
    assert example.budget == PixelBudget(256, 512)


@pytest.mark.parametrize(
    ("messages", "options", "words"),
    [
        ("a question", {}, "messages of type str"),
        (TURNS[0], {}, "messages of type Message"),
        (TURNS[:1], {}, "no answer to learn"),
        (TURNS[:3], {}, "nothing answers it"),
        (TURNS[1:], {}, "follows no question"),
        ([TURNS[0], Message.assistant(" ")], {}, "the answer is empty"),
        ([TURNS[0], Message.assistant(ThinkingPart("hm"))], {}, "the answer is empty"),
        ([*TURNS, Message.assistant("c")], {}, "follow each other"),
        (TURNS, {"weight": 0}, "weight=0"),
        (TURNS, {"weight": float("nan")}, "weight=nan"),
        (TURNS, {"weight": True}, "weight=True"),
        (TURNS, {"weight": 10**400}, "weight=1"),
        (TURNS, {"answers": "first"}, "answers='first'"),
        (TURNS, {"answers": (0,)}, "answers=(0,)"),
        (TURNS, {"answers": ()}, "answers=()"),
        (TURNS, {"thinking": "yes"}, "thinking='yes'"),
    ],
)
def test_what_cannot_be_learned_is_refused(
    messages: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(TrainingDataError) as caught:
        Example(messages, **options)
    assert words in str(caught.value)
    assert caught.value.expected


@pytest.mark.parametrize("part", [PlacePart((1, 2, 3, 4)), LabelPart("dog")])
def test_a_place_cannot_be_asked_before_it_is_written(part: Any) -> None:
    chat = VisionChat(ScriptedBackend(["yes"]))
    with pytest.raises(QwenVLKitError, match="no text before the model's family is known"):
        chat.ask([Message.user("Is it in ", part, "?")])


@pytest.mark.parametrize("part", [PlacePart((1, 2.5), image_index=1), LabelPart("dog")])
def test_places_are_values(part: Any) -> None:
    assert pickle.loads(pickle.dumps(part)) == part
    assert hash(pickle.loads(pickle.dumps(part))) == hash(part)
    assert PlacePart((1, 2)) != PlacePart((1, 2), image_index=1) != LabelPart("dog")


@pytest.mark.parametrize(
    ("numbers", "options", "words"),
    [
        ((1, 2, 3), {}, "the place (1, 2, 3)"),
        ("1234", {}, "the place '1234'"),
        ((1, 2, 3, float("inf")), {}, "the place"),
        ((1, 2, 3, 10**400), {}, "the place"),
        ((3, 2, 1, 4), {}, "has no area"),
        ((1, 2), {"image_index": -1}, "image_index=-1"),
    ],
)
def test_numbers_that_are_no_place_are_refused(
    numbers: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(TrainingDataError) as caught:
        PlacePart(numbers, **options)
    assert words in str(caught.value)
