"""The program with a model that is written beforehand: `python -m tests.command_line.stand_in`."""

from __future__ import annotations

import sys
import time
from typing import Any

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.command_line.program import main
from qwenvl_kit.errors import GenerationError

HOSTILE = "red\x1b[2J\x1b]0;owned\x07 \x9b31m \u202etxt \x08\x00 end\r\nnext\tcell"
WIDE = "红色的圆 🔴 é naïve"

CHATS: list[VisionChat] = []
LOADED: list[dict[str, Any]] = []


ANSWERS = {
    "hostile": HOSTILE,
    "wide": WIDE,
    "Find": "<|object_ref_start|>a cup<|object_ref_end|>"
    "<|box_start|>(100,200),(500,600)<|box_end|>",
    "Extract": '{"total": 12.5, "shop": "Łódź"}',
}
"""Answers by a word of the question."""


def answer(request: BackendRequest) -> str:
    question = request.messages[-1].text
    if "fail" in question:
        raise GenerationError("the device went away", hint="another device")
    if "how many turns" in question:
        return f"{len(request.messages)} messages"
    known = (text for word, text in ANSWERS.items() if word in question)
    return next(known, f"I was asked: {question}")


class SlowBackend(ScriptedBackend):
    """A backend that takes a moment for each word, if it is asked to answer word by word."""

    def _complete(self, request: Any, observer: Any) -> Any:
        if observer is not None and "word by word" in request.messages[-1].text:
            told = observer.on_delta

            def slow(delta: Any) -> None:
                told(delta)
                time.sleep(0.05)

            observer.on_delta = slow
        return super()._complete(request, observer)


def load(*given: Any, **settings: Any) -> VisionChat:
    LOADED.append({**settings, "model": given[0]})
    chat = VisionChat(
        SlowBackend(answer), media=settings.get("media"), budget=settings.get("budget")
    )
    CHATS.append(chat)
    return chat


def requests() -> list[BackendRequest]:
    """The requests that the last model got."""
    backend = CHATS[-1]._backend
    assert isinstance(backend, ScriptedBackend)
    return backend.requests


if __name__ == "__main__":
    VisionChat.from_pretrained = load  # type: ignore[method-assign, assignment]
    VisionChat.connect = load  # type: ignore[method-assign, assignment]
    sys.exit(main())
