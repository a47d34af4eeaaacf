"""Nothing that the kit does with transformers is about to be removed from it."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from qwenvl_kit import ImagePart, Message, Sampling, VideoPart, VisionChat
from tests.by_hand import picture

SHORT = Sampling(max_new_tokens=3)
SEEN = [Message.user(ImagePart(picture(90, 70)), "What is this?")]
FILM = [Message.user(VideoPart([picture(56, 56, s) for s in range(3)], fps=2), "And this?")]

WAYS: dict[str, Callable[[VisionChat], object]] = {
    "text": lambda chat: chat.ask("hello", sampling=SHORT),
    "picture": lambda chat: chat.ask(SEEN, sampling=SHORT),
    "video": lambda chat: chat.ask(FILM, sampling=SHORT),
    "batch": lambda chat: chat.ask_many([SEEN, FILM, "hi"], on_error="raise", sampling=SHORT),
    "published settings": lambda chat: chat.ask(
        SEEN, sampling=replace(chat.default_sampling, max_new_tokens=3)
    ),
    "sampling": lambda chat: chat.ask(
        SEEN,
        sampling=Sampling(
            max_new_tokens=3, temperature=1.0, top_k=5, top_p=0.9, seed=1, num_alternatives=2
        ),
    ),
    "stream": lambda chat: list(chat.stream(SEEN, sampling=SHORT)),
}


@pytest.fixture
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        for category in (FutureWarning, DeprecationWarning, PendingDeprecationWarning):
            warnings.simplefilter("error", category)
        yield


@pytest.mark.usefixtures("no_warnings")
@pytest.mark.parametrize("way", WAYS)
def test_no_way_of_asking_warns_of_a_removal(chat: VisionChat, way: str) -> None:
    WAYS[way](chat)


@pytest.mark.usefixtures("no_warnings")
def test_loading_warns_of_no_removal(folder: Path) -> None:
    VisionChat.from_pretrained(folder).close()


@pytest.mark.slow
def test_a_program_whose_warnings_are_errors_loads_and_asks() -> None:
    program = "from qwenvl_kit import VisionChat; VisionChat.from_pretrained().ask('Hello')"
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr[-800:]
