"""The waits of those who read streams: for the first token, and between tokens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise

from qwenvl_kit import VisionChat
from tests.benchmarks.by_transformers import Watch, snippet
from tests.benchmarks.measuring import FEW_ROUNDS, Samples, alone, duration, percentile, row, table
from tests.benchmarks.models import Messages, Subject, greedy, opened, question, question_about
from tests.by_hand import ids_of

MODEL = "qwen3_vl:140M"
NUM_STREAMS, NUM_TOKENS = 64, 32
EVERY_SECONDS = 0.5


@dataclass
class Waits:
    """The waits of all readers in one round.

    Attributes:
        first: seconds from the arrival of each request to its first token.
        between: seconds between one token and the next, of all answers.
        whole: seconds until the last answer was there.
        answers: token ids.
    """

    first: list[float] = field(default_factory=list)
    between: list[float] = field(default_factory=list)
    whole: float = 0.0
    answers: list[Sequence[int]] = field(default_factory=list)

    def add(self, arrived: float, times: Sequence[float]) -> None:
        """The times at which one reader got its tokens."""
        self.first.append(times[0] - arrived)
        self.between += [after - before for before, after in pairwise(times)]


def section() -> list[str]:
    """Streams beside a static batch and a loop."""
    with opened(MODEL) as subject:
        rows = list(_rows(subject))
    return [
        f"{NUM_STREAMS} readers ask about small pictures of their own, {NUM_TOKENS} tokens each, "
        "all at once, each by `chat.stream` in a thread of its own. Beside the kit: one `generate` "
        "for all of them with a streamer, which nobody can join; and one `generate` after another. "
        f"In the last row a reader arrives every {EVERY_SECONDS} s. p50 is what half of the waits "
        "do not exceed, p99 what 99 in 100 do not. Median of the rounds that are told, in turn. "
        "Random model, fp32, greedy.",
        "",
        *table(
            (
                *("way", "first token, p50", "p99", "between tokens, p50", "p99", "all answers"),
                *("rounds", "same answers"),
            ),
            rows,
        ),
    ]


def _rows(subject: Subject) -> Iterator[str]:
    asked = [
        question_about(subject.draw(3, 4, seed), question(seed)) for seed in range(NUM_STREAMS)
    ]
    ways: dict[str, tuple[int, Callable[[], Waits]]] = {
        "`chat.stream`, all at once": (FEW_ROUNDS, lambda: _by_kit(subject, asked, 0.0)),
        "one `generate` for all": (FEW_ROUNDS, lambda: _in_one_batch(subject, asked)),
        "one `generate` after another": (1, lambda: _one_by_one(subject, asked)),
        "`chat.stream`, arriving in turn": (1, lambda: _by_kit(subject, asked, EVERY_SECONDS)),
    }
    _by_kit(subject, asked[:4], 0.0)  # not counted
    found: dict[str, list[Waits]] = {name: [] for name in ways}
    for round_index in range(FEW_ROUNDS):
        for name, (rounds, way) in ways.items():
            if round_index < rounds:
                subject.chat.clear_cache()
                found[name].append(alone(way))
    truth = found["one `generate` for all"][0].answers
    for name, rounds in found.items():
        same = sum(list(mine) == list(its) for mine, its in zip(rounds[0].answers, truth))
        yield row(
            name,
            _told(percentile(each.first, 0.5) for each in rounds),
            _told(percentile(each.first, 0.99) for each in rounds),
            _told(percentile(each.between, 0.5) for each in rounds),
            _told(percentile(each.between, 0.99) for each in rounds),
            _told(each.whole for each in rounds),
            str(len(rounds)),
            f"{same}/{len(truth)}",
        )


def _told(values: Iterator[float]) -> str:
    return Samples(list(values)).told(duration)


def _by_kit(subject: Subject, asked: Sequence[Messages], every_seconds: float) -> Waits:
    """Readers in threads of their own, each arriving some time after the one before."""
    waits, started = Waits(), time.perf_counter()

    def read(index: int) -> tuple[float, list[float], list[int]]:
        arrives = started + index * every_seconds
        time.sleep(max(0.0, arrives - time.perf_counter()))
        times, ids = _stream(subject.chat, asked[index])
        return arrives, times, ids

    with ThreadPoolExecutor(len(asked)) as pool:
        for arrived, times, ids in pool.map(read, range(len(asked))):
            waits.add(arrived, times)
            waits.answers.append(ids)
    waits.whole = time.perf_counter() - started
    return waits


def _stream(chat: VisionChat, messages: Messages) -> tuple[list[float], list[int]]:
    times = []
    with chat.stream(messages, sampling=greedy(NUM_TOKENS)) as stream:
        for _ in stream:
            times.append(time.perf_counter())
        return times, ids_of(stream.reply)


def _in_one_batch(subject: Subject, asked: Sequence[Messages]) -> Waits:
    waits, watch, started = Waits(), Watch(), time.perf_counter()
    waits.answers = list(snippet(subject, asked, NUM_TOKENS, streamer=watch))
    for _ in asked:
        waits.add(started, watch.times)
    waits.whole = time.perf_counter() - started
    return waits


def _one_by_one(subject: Subject, asked: Sequence[Messages]) -> Waits:
    waits, started = Waits(), time.perf_counter()
    for messages in asked:
        watch = Watch()
        waits.answers += snippet(subject, [messages], NUM_TOKENS, streamer=watch)
        waits.add(started, watch.times)
    waits.whole = time.perf_counter() - started
    return waits
