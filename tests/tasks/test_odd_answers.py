"""Whatever a model writes, a task gives a typed value or an error of the kit."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import PIL.Image
import pytest

from qwenvl_kit import Sampling, VideoPart, VisionChat
from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import AnswerError, QwenVLKitError
from qwenvl_kit.tasks import (
    ask_choice,
    ask_number,
    ask_video,
    ask_yes_no,
    chart_to_table,
    classify,
    compare,
    compare_by_aspects,
    count,
    describe,
    document_qa,
    extract,
    find_differences,
    judge_description,
    locate,
    locate_3d,
    next_action,
    outline,
    point_at,
    read_table,
    read_text,
    recognize,
    stream_extract,
    summarize_video,
    to_code,
    trace_path,
    translate_text_in_image,
    write_from_image,
)
from qwenvl_kit.tasks.answer_scores import ScoredAnswers

RED = PIL.Image.new("RGB", (56, 56), "red")
BLUE = PIL.Image.new("RGB", (56, 56), "blue")
FILM = VideoPart([RED, BLUE], fps=1)


@dataclass
class Receipt:
    """What is extracted."""

    total: float
    number: int
    date: str | None


ODD = (
    *("", " ", "\n\n", "None", "null", "true", "NaN", "Infinity", "-inf", "1e999", "9" * 5000),
    *("-3", "３", "1,234", "1.5", "about 12", "十二", "0x10", "1_000", "٣", "²", "½"),
    *("{", "[", "[[[[" * 500, '{"a":', '{"total": 1e999, "number": 1e400, "date": 3}'),
    '{"total": NaN, "number": ' + "9" * 5000 + ', "date": null}',
    *("{}", "[]", "[null]", "[1, 2", '[{"bbox_2d": [1e999, NaN, -1, "x"], "label": 3}]'),
    '[{"bbox_2d": [' + "9" * 5000 + ", 0, 1, 2]}]",
    '[{"point_2d": [1e308, -1e308], "label": null}]',
    "<|box_start|>(1e999,2),(3,4)<|box_end|>",
    "(" + "9" * 5000 + ",1),(2,3)",
    *("<tool_call>", "<tool_call>{}</tool_call>", '<tool_call>{"name": 3}</tool_call>'),
    '<tool_call>{"name": "computer_use", "arguments": {"action": "left_click", '
    '"coordinate": [1e999, null]}}</tool_call>',
    '<tool_call>{"name": "computer_use", "arguments": {"action": "wait", "time": 1e999}}'
    "</tool_call>",
    '<tool_call>{"name": "computer_use", "arguments": {"action": "scroll", "pixels": '
    + "9" * 5000
    + "}}</tool_call>",
    *(
        "\ud800",
        "\x00",
        "<think>",
        "</think>",
        "|a|b|\n|-|-|\n|1|",
        "<table><tr><td colspan=99999999999>",
    ),
    '{"columns": ["a"], "rows": [["1", "2"], []]}',
    *("[page 99999999999]", "[99:99:99] x", "[00:01 - 1e999] y", "yes and no", "A" * 10_000),
)

TASKS: dict[str, Callable[[VisionChat], Any]] = {
    "ask_choice": lambda chat: ask_choice(chat, "What?", ["a", "b"], RED).probabilities,
    "ask_number": lambda chat: ask_number(chat, "How many?", RED),
    "ask_video": lambda chat: ask_video(chat, FILM, "What?"),
    "ask_yes_no": lambda chat: bool(ask_yes_no(chat, "Is it?", RED)),
    "chart_to_table": lambda chat: chart_to_table(chat, RED),
    "classify": lambda chat: classify(chat, RED, ["a", "b"]).probabilities,
    "compare": lambda chat: compare(chat, RED, BLUE),
    "compare_by_aspects": lambda chat: compare_by_aspects(chat, RED, BLUE),
    "count": lambda chat: count(chat, RED, "cups"),
    "describe": lambda chat: describe(chat, RED),
    "document_qa": lambda chat: document_qa(chat, [RED, BLUE], ["What?"]),
    "extract": lambda chat: extract(chat, RED, Receipt),
    "find_differences": lambda chat: find_differences(chat, RED, BLUE),
    "judge_description": lambda chat: judge_description(chat, RED, "A red square."),
    "locate": lambda chat: locate(chat, RED, "cups"),
    "locate_3d": lambda chat: locate_3d(chat, RED, "cups"),
    "next_action": lambda chat: next_action(chat, RED, "go on"),
    "outline": lambda chat: outline(chat, RED, "cups"),
    "point_at": lambda chat: point_at(chat, RED, "cups"),
    "recognize": lambda chat: recognize(chat, RED, "cups", names=["en", "zh"]),
    "recognize a type": lambda chat: recognize(chat, RED, Receipt),
    "trace_path": lambda chat: trace_path(chat, RED, "go on"),
    "read_table": lambda chat: read_table(chat, RED),
    "read_text": lambda chat: read_text(chat, RED),
    "read_text by lines": lambda chat: read_text(chat, RED, form="lines"),
    "stream_extract": lambda chat: list(stream_extract(chat, RED, Receipt)),
    "summarize_video": lambda chat: summarize_video(chat, FILM),
    "to_code": lambda chat: to_code(chat, RED),
    "to_code mermaid": lambda chat: to_code(chat, RED, "mermaid"),
    "to_code python": lambda chat: to_code(chat, RED, "matplotlib"),
    "to_code svg": lambda chat: to_code(chat, RED, "svg"),
    "translate_text_in_image": lambda chat: translate_text_in_image(chat, RED),
    "write_from_image": lambda chat: write_from_image(chat, RED),
    "write_from_image by form": lambda chat: write_from_image(chat, RED, form="七言律诗"),
    "write_from_image by length": lambda chat: write_from_image(chat, RED, words=20),
}


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize("task", TASKS)
def test_an_odd_answer_is_a_value_or_an_error_of_the_kit(task: str, family: str) -> None:
    answer = ""
    chat = VisionChat(
        ScriptedBackend(lambda _: answer, family=family, context_tokens=2**20), calibrator=None
    )
    for answer in ODD:  # noqa: B007  # the script reads it
        try:
            result = TASKS[task](chat)
        except QwenVLKitError as error:
            assert str(error)  # noqa: PT017
            assert len(str(error)) < 2000  # noqa: PT017
        else:
            assert repr(result)
            shows_itself = getattr(result, "_repr_html_", None)
            assert shows_itself is None or "<script" not in shows_itself()


@pytest.mark.parametrize(
    "answer",
    ["1e999", "NaN", "inf", "", "9" * 5000, "-3", "1,234", "1.5", "about 12", "十二", "٣", "+3"],
)
def test_what_is_no_count_is_an_answer_error_that_has_the_reply(answer: str) -> None:
    chat = VisionChat(ScriptedBackend([answer]))
    with pytest.raises(AnswerError, match="expected a whole number of 0 or more") as caught:
        count(chat, RED, "cups")
    assert getattr(caught.value.reply, "text", None) == answer


@pytest.mark.parametrize(
    ("answer", "number"), [("3", 3), (" 12\n", 12), ("３", 3), ("-2.50", -2.5), ("-0", 0)]
)
def test_a_number_is_read_as_it_is_written(answer: str, number: float) -> None:
    chat = VisionChat(ScriptedBackend([answer] * 2))
    value = ask_number(chat, "How much?", RED).value
    assert value == number
    assert isinstance(value, float)
    if "." not in answer:
        value = ask_number(VisionChat(ScriptedBackend([answer])), "?", RED, whole=True).value
        assert value == number
        assert isinstance(value, int)


@pytest.mark.parametrize("answer", ["1e999", "NaN", "", "9" * 5000, "1,234", "about 12", "1.5.2"])
def test_ask_number_gives_a_finite_number_or_an_answer_error(answer: str) -> None:
    with pytest.raises(AnswerError, match="expected a number"):
        ask_number(VisionChat(ScriptedBackend([answer])), "How much?", RED)


def test_a_number_that_was_cut_short_is_no_number() -> None:
    chat = VisionChat(ScriptedBackend(["12 345"]))
    with pytest.raises(AnswerError, match=r"cut short \(length\)"):
        count(chat, RED, "cups", sampling=Sampling(max_new_tokens=1))


def test_a_backend_that_breaks_its_constraint_gives_no_scores() -> None:
    chat = VisionChat(ScriptedBackend(lambda _: "something else"))
    with pytest.raises(AnswerError, match="something else"):
        classify(chat, RED, ["cat", "dog"])


@pytest.mark.parametrize("logprob", [-math.inf, math.nan])
def test_answers_that_have_no_probability_are_an_error(logprob: float) -> None:
    def script(request: BackendRequest) -> str:
        return str(request.constraint and request.constraint.only_answer)

    with pytest.raises(AnswerError, match="probab"):
        ask_yes_no(VisionChat(ScriptedBackend(script, logprob=logprob)), "Is it?", RED)


@dataclass
class Items:
    """A long list."""

    names: list[str]


def test_a_streamed_answer_is_read_once_however_often_it_is_shown() -> None:
    """By calls of functions, since times are for benchmarks."""

    def num_calls(num_names: int) -> int:
        answer = json.dumps({"names": ["a b c"] * num_names})
        chat = VisionChat(ScriptedBackend([answer], context_tokens=2**20))
        calls = 0

        def count_call(_: object, event: str, __: object) -> None:
            nonlocal calls
            calls += event in ("call", "c_call")

        sampling = Sampling(max_new_tokens=10_000, max_cycle_tokens=None)
        shown = stream_extract(chat, RED, Items, sampling=sampling)
        sys.setprofile(count_call)
        try:
            *_, value = shown
        finally:
            sys.setprofile(None)
        assert value.names == ["a b c"] * num_names
        return calls

    assert num_calls(600) < 2.6 * num_calls(300)


def test_probabilities_of_many_answers_are_computed_once() -> None:
    scored = ScoredAnswers(tuple("abc"), (-1.0, -2.0, -math.inf), ())
    assert scored.probabilities is scored.probabilities
    assert sum(scored.probabilities) == pytest.approx(1.0)
    assert scored.probabilities[2] == 0.0
