"""Much of the same: whether a unit costs at the end what it cost at the start."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from qwenvl_kit import Message
from tests.benchmarks.by_transformers import Watch, snippet
from tests.benchmarks.measuring import Growth, alone, cpu_seconds, duration, row, table
from tests.benchmarks.models import Subject, greedy, opened, question, question_about
from tests.by_hand import ids_of

MODEL = "qwen3_vl:40M"
NUM_REQUESTS, EDGE_REQUESTS = 10_000, 1_000
NUM_TURNS, EDGE_TURNS = 100, 10
NUM_TOKENS, EDGE_TOKENS = 4_000, 500


def section() -> list[str]:
    """Ten thousand requests, a hundred turns, four thousand tokens."""
    with opened(MODEL) as subject:
        rows = [*_requests(subject), *_turns(subject), *_tokens(subject)]
        name = subject.name
    return [
        f"One run each, in processor seconds of this process; random model, {name}, fp32, greedy. "
        "A cost is constant if that of the last units is within 10% of that of the first. Each "
        "token looks back at all before it, and each turn at all turns, so that some growth is "
        "the model's own: the same by transformers stands beside.",
        "",
        *table(("work", "unit", "first units", "last units", "last over first"), rows),
    ]


def _requests(subject: Subject) -> Iterator[str]:
    """Requests from a generator, each with a short answer."""
    marks = [cpu_seconds()]

    def asked() -> Iterator[Message]:
        for index in range(NUM_REQUESTS):
            yield Message.user(f"{index}: {question(index)}")

    def act() -> None:
        done = 0
        with subject.chat.stream_many(asked(), sampling=greedy(2)) as stream:
            for event in stream:
                done += event.result is not None
                if event.result is not None and done in {
                    EDGE_REQUESTS,
                    NUM_REQUESTS - EDGE_REQUESTS,
                    NUM_REQUESTS,
                }:
                    marks.append(cpu_seconds())

    marks[0] = cpu_seconds()
    alone(act)
    yield _row(
        f"{NUM_REQUESTS:,} requests by `stream_many`",
        f"a request, {EDGE_REQUESTS:,} of each end",
        Growth((marks[1] - marks[0]) / EDGE_REQUESTS, (marks[3] - marks[2]) / EDGE_REQUESTS),
    )


def _turns(subject: Subject) -> Iterator[str]:
    """A conversation with short answers."""
    image = subject.draw_file(8, 8, seed=0)

    def act() -> list[float]:
        talk, seconds = subject.chat.start(), []
        talk.ask(question(0), image, sampling=greedy(8))
        for turn in range(1, NUM_TURNS + 1):
            started = cpu_seconds()
            talk.ask(question(turn), sampling=greedy(8))
            seconds.append(cpu_seconds() - started)
        return seconds

    yield _row(
        f"conversation of {NUM_TURNS} turns",
        f"a turn, {EDGE_TURNS} of each end",
        _edges(alone(act), EDGE_TURNS),
    )


def _tokens(subject: Subject) -> Iterator[str]:
    """One long answer, by the kit and by transformers."""
    asked = question_about(None, question(0))
    answers = dict[str, Sequence[int]]()

    def by_kit() -> list[float]:
        times = []
        with subject.chat.stream(asked, sampling=greedy(NUM_TOKENS)) as stream:
            for _ in stream:
                times.append(cpu_seconds())
            answers["kit"] = ids_of(stream.reply)
        return times

    def by_generate() -> list[float]:
        watch = Watch(cpu_seconds)
        answers["generate"] = snippet(subject, [asked], NUM_TOKENS, streamer=watch)[0]
        return watch.times

    ways: dict[str, Callable[[], list[float]]] = {"kit": by_kit, "generate": by_generate}
    found = {name: alone(way) for name, way in ways.items()}
    told = "same tokens" if list(answers["kit"]) == list(answers["generate"]) else "other tokens"
    for name, title in (("kit", "`chat.stream`"), ("generate", "`generate`")):
        steps = [after - before for before, after in pairwise(found[name])]
        yield _row(
            f"answer of {NUM_TOKENS:,} tokens by {title} ({told})",
            f"a token, {EDGE_TOKENS} of each end",
            _edges(steps, EDGE_TOKENS),
        )


def _edges(seconds: Sequence[float], count: int) -> Growth:
    """The mean cost of the first units and of the last."""
    count = min(count, len(seconds) // 2)
    return Growth(sum(seconds[:count]) / count, sum(seconds[-count:]) / count)


def _row(work: str, unit: str, growth: Growth) -> str:
    line = row(work, unit, duration(growth.start), duration(growth.end), str(growth))
    print(line, f"({time.strftime('%H:%M:%S')})", flush=True)
    return line
