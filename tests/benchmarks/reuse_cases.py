"""The comparisons of the section "Reuse": each makes two sides that time themselves."""

from __future__ import annotations

import itertools
import json
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from qwenvl_kit import Message, Reply, Request, Sampling, VisionChat
from qwenvl_kit.backends.local import LocalBackend
from qwenvl_kit.formats.dicts import to_qwen
from tests.benchmarks.reuse_models import (
    Answers,
    Messages,
    Run,
    Subject,
    dictated,
    question_about,
    snippet,
    timed,
    without_utilities,
)
from tests.by_hand import ids_of

ROOT = Path(__file__).parents[2]
MAX_REQUESTS = int(os.environ.get("QWENVL_KIT_BENCH_REQUESTS", "64"))
LARGE_SIDE = 32
"""Visual tokens along each side of the large picture."""
PREFIX_TOKENS = 4000
NUM_PAIRS = 8
"""Asks of each side in a round, in turn, where a hundredth matters."""
THINGS = (
    "cars", "trees", "people", "birds", "doors", "windows", "lamps", "signs", "dogs", "clouds",
    "boats", "chairs", "bottles", "flowers", "bicycles", "books", "plates", "hats", "bags", "kites",
)  # fmt: skip

Side: TypeAlias = Callable[[], Run]


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        title: what is compared, the kit's side first.
        kit: one round of the kit.
        other: one round of what it is compared with.
        num_pairs: how often both are run, in turn, in each round.
        is_cost: it is asked what the kit's way costs, not what it gains.
    """

    title: str
    kit: Side
    other: Side
    num_pairs: int = 1
    is_cost: bool = False


def questions(subject: Subject) -> Iterator[Case]:
    """Many questions about one picture, and the second of two."""
    asked = _questions(subject)
    sampling = _sampling(16)
    kit = _CountingVision(subject, lambda: _ask_many(subject.chat, asked, sampling))
    yield Case(
        f"{len(asked)} questions, one picture: `ask_many` / published snippet in a loop",
        lambda: _cold(subject, kit),
        lambda: timed(lambda: [_first(snippet(subject, [one], 16)) for one in asked]),
    )
    yield Case(
        "first token of a new question about that picture, in a new conversation: as the second / "
        "as the first",
        lambda: _after(subject, asked[0], asked[1]),
        lambda: _cold(subject, lambda: _first_token(subject.chat, asked[1])),
    )


def batch(subject: Subject) -> Iterator[Case]:
    """The same questions against one batch, in which the picture stands in every row."""
    asked = _questions(subject)
    yield Case(
        f"{len(asked)} questions, one picture: `ask_many` / one padded batch",
        lambda: _cold(subject, lambda: _ask_many(subject.chat, asked, _sampling(16))),
        lambda: timed(lambda: snippet(subject, asked, 16)),
    )


def turns(subject: Subject) -> Iterator[Case]:
    """A late turn of a conversation."""
    image = subject.draw_file(LARGE_SIDE, LARGE_SIDE, seed=1)
    history: list[Messages] = []

    def kit() -> Run:
        talk = subject.chat.start()
        talk.ask(_question(0), image, sampling=_sampling(16))
        for turn in range(1, 7):
            talk.ask(_question(turn), sampling=_sampling(16))
        history[:] = [to_qwen([*talk.messages, Message.user(_question(7))])]
        return _first_token(subject.chat, history[0])

    yield Case(
        "first token of turn 8 about a picture: conversation / its whole history by `generate`",
        lambda: _cold(subject, kit),
        lambda: timed(lambda: snippet(subject, history, 1)),
    )


def features(subject: Subject) -> Iterator[Case]:
    """A picture seen before, in a prompt that begins otherwise: it alone is known."""
    image = subject.draw_file(LARGE_SIDE, LARGE_SIDE, seed=2)
    before = question_about(image, _question(0), "Answer in one word, and in English.")
    now = question_about(image, _question(1), "You describe pictures to the blind.")
    yield Case(
        "first token about a picture after another system message: seen before / never seen",
        lambda: _after(subject, before, now),
        lambda: _cold(subject, lambda: _first_token(subject.chat, now)),
    )


def text(subject: Subject) -> Iterator[Case]:
    """A long text before a conversation."""
    long = _long_text(subject)
    history: list[Messages] = []

    def kit() -> Run:
        talk = subject.chat.start(long)
        talk.ask(_question(0), sampling=_sampling(16))
        history[:] = [to_qwen([*talk.messages, Message.user(_question(1))])]
        return _first_token(subject.chat, history[0])

    yield Case(
        f"first token of turn 2 after a text of {PREFIX_TOKENS:,} tokens: conversation / its "
        "whole history by `generate`",
        lambda: _cold(subject, kit),
        lambda: timed(lambda: snippet(subject, history, 1)),
    )


def mixed(subject: Subject) -> Iterator[Case]:
    """Requests of all sizes whose answers are mostly short."""
    asked, lengths = _mixed_requests(subject)
    requests = [
        Request(messages, sampling=_sampling(length)) for messages, length in zip(asked, lengths)
    ]

    def by_batch() -> Answers:
        answers = snippet(subject, asked, max(lengths))
        return [answer[:length] for answer, length in zip(answers, lengths)]

    def one_by_one() -> Answers:
        return [_first(snippet(subject, [one], length)) for one, length in zip(asked, lengths)]

    for name, other in (("one padded batch", by_batch), ("snippet in a loop", one_by_one)):
        yield Case(
            f"{len(asked)} mixed requests: `ask_many` / {name}",
            lambda: _cold(subject, lambda: _ask_many(subject.chat, requests)),
            lambda other=other: timed(other),  # type: ignore[misc]
        )


def off(subject: Subject) -> Iterator[Case]:
    """Keeping what is never used again."""
    forgetful = VisionChat(LocalBackend(subject.backend._loaded, max_cache_bytes=0))
    yield Case(
        "pictures that never return: `ask` with a cache / without",
        _AskingAnew(subject, lambda image: _ask(subject.chat, image, 32)),
        _AskingAnew(subject, lambda image: _ask(forgetful, image, 32)),
        NUM_PAIRS,
        is_cost=True,
    )


def single(subject: Subject) -> Iterator[Case]:
    """One request, where there is nothing to share."""
    yield Case(
        "one picture, at most 32 tokens: `ask` / processor and `generate`",
        _AskingAnew(subject, lambda image: _ask(subject.chat, image, 32)),
        _AskingAnew(subject, lambda image: without_utilities(subject, image, _question(0), 32)),
        NUM_PAIRS,
        is_cost=True,
    )


def journal(subject: Subject) -> Iterator[Case]:
    """Writing down results while they are made."""
    images = [_middle_picture(subject, seed) for seed in range(min(16, MAX_REQUESTS))]
    requests = [
        Request(question_about(image, _question(at)), id=str(at)) for at, image in enumerate(images)
    ]
    numbers = itertools.count()

    def kit() -> Run:
        path = subject.folder / f"journal-{next(numbers)}.jsonl"
        return _ask_many(subject.chat, requests, _sampling(8), journal=path)

    yield Case(
        f"{len(requests)} small requests: `ask_many` with a journal / without",
        lambda: _cold(subject, kit),
        lambda: _cold(subject, lambda: _ask_many(subject.chat, requests, _sampling(8))),
        is_cost=True,
    )


def lookup(subject: Subject) -> Iterator[Case]:
    """Texts as they are read off pictures, which the model is made to write."""
    image, wording = subject.draw_print(), "Read all the text in this image."
    cells = [
        {"row": row, "item": thing, "price": f"{row * 7 % 50}.{row * 13 % 90 + 10}"}
        for row, thing in enumerate(THINGS, 1)
    ]
    texts = {
        "a table as JSON": json.dumps(cells[: min(10, MAX_REQUESTS)]),
        "a page of prose": (ROOT / "LICENSE").read_text()[:800],
    }

    def reading(ids: Sequence[int], sampling: Sampling) -> Run:
        with dictated(subject, [*ids]):
            return timed(lambda: [ids_of(subject.chat.ask(wording, image, sampling=sampling))])

    for name, text in texts.items():
        ids = subject.backend.processor.tokenizer(text)["input_ids"]
        plain = _sampling(len(ids))
        ahead = replace(plain, prompt_lookup_tokens=10)
        yield Case(
            f"{name}, {len(ids)} tokens, dictated: prompt lookup / without",
            lambda ids=ids, ahead=ahead: _cold(  # type: ignore[misc]
                subject, lambda: reading(ids, ahead)
            ),
            lambda ids=ids, plain=plain: _cold(  # type: ignore[misc]
                subject, lambda: reading(ids, plain)
            ),
        )


class _CountingVision:
    """A side that also counts how often the vision encoder runs."""

    def __init__(self, subject: Subject, side: Side) -> None:
        self._encoder = subject.backend.model.model.visual
        self._side = side

    def __call__(self) -> Run:
        calls: list[int] = []
        handle = self._encoder.register_forward_pre_hook(lambda *_: calls.append(1))
        try:
            return replace(self._side(), note=f"vision encoder called {len(calls)}x")
        finally:
            handle.remove()


class _AskingAnew:
    """A side that is given a picture of its own each time; the other side is given the same."""

    def __init__(self, subject: Subject, answer: Callable[[Any], Answers]) -> None:
        self._subject = subject
        self._answer = answer
        self._seeds = itertools.count(1000)

    def __call__(self) -> Run:
        image = _middle_picture(self._subject, next(self._seeds))
        return timed(lambda: self._answer(image))


def _sampling(max_new_tokens: int) -> Sampling:
    return Sampling(max_new_tokens=max_new_tokens, max_cycle_tokens=None)


def _question(index: int) -> str:
    return f"How many {THINGS[index]} are there in the picture, and what colour do they have?"


def _questions(subject: Subject) -> list[Messages]:
    image = subject.draw_file(LARGE_SIDE, LARGE_SIDE, seed=0)
    return [
        question_about(image, _question(index)) for index in range(min(len(THINGS), MAX_REQUESTS))
    ]


def _middle_picture(subject: Subject, seed: int) -> Any:
    """448 x 448 px, or what the model takes as it is."""
    side = 448 // subject.token_side_px
    fits = side**2 <= subject.max_image_tokens
    return subject.draw(*((side, side) if fits else (8, 7)), seed)


def _long_text(subject: Subject) -> str:
    words = itertools.cycle(THINGS)
    tokenize, lines = subject.backend.processor.tokenizer.tokenize, list[str]()
    num_tokens = 0
    while num_tokens < PREFIX_TOKENS:
        lines.append(f"There are {len(lines)} {next(words)} in the park.")
        num_tokens += len(tokenize(lines[-1] + "\n"))
    return "\n".join(lines)


def _mixed_requests(subject: Subject) -> tuple[list[Messages], list[int]]:
    """Questions about pictures of all sizes, and how long each answer may be."""
    chance, largest = random.Random(0), 448 // subject.token_side_px
    asked, lengths = list[Messages](), list[int]()
    for index in range(min(64, MAX_REQUESTS)):
        columns, rows = chance.randint(2, largest), chance.randint(2, largest)
        path = subject.draw_file(columns, rows, seed=100 + index)
        asked.append(question_about(path, _question(chance.randrange(len(THINGS)))))
        lengths.append(chance.randint(96, 128) if index % 5 == 2 else chance.randint(4, 16))
    return asked, lengths


def _cold(subject: Subject, side: Side) -> Run:
    """A side that begins with nothing kept."""
    subject.chat.clear_cache()
    return side()


def _after(subject: Subject, before: Messages, now: Messages) -> Run:
    """The first token of a conversation, when another has been had."""
    subject.chat.clear_cache()
    subject.chat.ask(before, sampling=_sampling(16))
    return _first_token(subject.chat, now)


def _first_token(chat: VisionChat, messages: Messages) -> Run:
    started = time.perf_counter()
    with chat.stream(messages, sampling=_sampling(1)) as stream:
        next(stream)
        seconds, reply = time.perf_counter() - started, stream.reply
    usage = reply.usage
    note = f"{usage.reused_tokens} of {usage.prompt_tokens} prompt tokens reused"
    return Run(seconds, [ids_of(reply)], note)


def _ask(chat: VisionChat, image: Any, max_new_tokens: int) -> Answers:
    messages = question_about(image, _question(0))
    return [ids_of(chat.ask(messages, sampling=_sampling(max_new_tokens)))]


def _ask_many(
    chat: VisionChat, requests: Sequence[Any], sampling: Sampling | None = None, **settings: Any
) -> Run:
    def act() -> Answers:
        replies: list[Reply] = chat.ask_many(
            requests, sampling=sampling, on_error="raise", **settings
        )
        return [ids_of(reply) for reply in replies]

    return timed(act)


def _first(answers: Answers) -> Sequence[int]:
    return answers[0]


CASES: dict[str, Callable[[Subject], Iterator[Case]]] = {
    "questions": questions,
    "batch": batch,
    "turns": turns,
    "features": features,
    "text": text,
    "mixed": mixed,
    "off": off,
    "single": single,
    "journal": journal,
    "lookup": lookup,
}
LARGE_PICTURES = ("questions", "batch", "turns", "features", "mixed")
