"""Small benchmarks and chats for the tests of evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import PIL.Image

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.evaluation import Benchmark

WORDS = ("red", "green", "blue", "black")


def rows(number: int = 8) -> list[dict[str, Any]]:
    """Rows about pictures of one colour, two questions a picture."""
    return [
        {
            "id": f"q{at}",
            "question": f"Which colour is number {at}?",
            "image": PIL.Image.new("RGB", (56, 56), WORDS[at // 2 % len(WORDS)]),
            "answer": WORDS[at // 2 % len(WORDS)],
            "kind": "even" if at % 2 == 0 else "odd",
            "picture": str(at // 2),
        }
        for at in range(number)
    ]


def benchmark(number: int = 8, **options: Any) -> Benchmark:
    """Their benchmark, with a group and a cluster."""
    given: Mapping[str, Any] = {"groups": ("kind",), "cluster": "picture", "name": "colours"}
    return Benchmark(rows(number), **{**given, **options})


def question_of(request: BackendRequest) -> str:
    """The text that was asked last."""
    return request.messages[-1].text


def number_of(request: BackendRequest) -> int:
    """The number in the question of a row."""
    return int(question_of(request).partition("number ")[2].partition("?")[0])


def right_answer(request: BackendRequest) -> str:
    """The right answer to the question of a row."""
    return WORDS[number_of(request) // 2 % len(WORDS)]


def chat_that(answer: Callable[[BackendRequest], str], **options: Any) -> VisionChat:
    """A chat whose answers a function gives."""
    return VisionChat(ScriptedBackend(answer, **options))
