"""Sides that take turns, and the statistics of their times: all sections measure by this module.

QWENVL_KIT_BENCH_ROUNDS says how many rounds, to try something out.
"""

from __future__ import annotations

import math
import os
import resource
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

ROUNDS = int(os.environ.get("QWENVL_KIT_BENCH_ROUNDS", "7"))
FEW_ROUNDS = min(3, ROUNDS)
"""Rounds of what takes so long that seven would take a section beyond its minutes."""

CONSTANT_WITHIN = 0.10
"""A cost is called constant if it changes by no more than this share."""

_WAIT_SECONDS = 60.0

_T = TypeVar("_T")


@dataclass(frozen=True)
class Run:
    """One side in one round.

    Attributes:
        seconds: the time that is compared, by the clock on the wall.
        cpu_seconds: processor seconds of this process and of children that ended meanwhile; other
            load on the machine changes them less. None where another process did the work.
        answers: the results that both sides must share.
        note: a remark for the last column.
    """

    seconds: float
    cpu_seconds: float | None = None
    answers: Sequence[Any] = ()
    note: str = ""


Side: TypeAlias = Callable[[], Run]


@dataclass(frozen=True)
class Case:
    """The kit beside other ways to the same answers.

    Attributes:
        title: the task, the kit's call included.
        kit: one round of the kit.
        others: one round of each other way, by its name.
        slow: the rounds of others that would take minutes in all, by their names; they have no
            round that is not counted.
        num_pairs: runs of each side in a round, in turn, where a hundredth matters.
        are_drawn: True if answers are drawn at random, so that they differ by right.
    """

    title: str
    kit: Side
    others: Mapping[str, Side]
    slow: Mapping[str, int] = field(default_factory=dict)
    num_pairs: int = 1
    are_drawn: bool = False


@dataclass(frozen=True)
class Outcome:
    """The kit and one other side over the rounds in which both ran, a run of each at a time.

    Attributes:
        kit: runs of the kit, by round.
        other: runs of the other side, by round.
    """

    kit: Sequence[Sequence[Run]]
    other: Sequence[Sequence[Run]]

    @property
    def ratios(self) -> list[float]:
        """Round by round, the other side's time over the kit's, sorted: above 1 the kit wins."""
        return sorted(_total(theirs) / _total(ours) for ours, theirs in zip(self.kit, self.other))

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return statistics.median(self.ratios)

    @property
    def cpu_ratio(self) -> float | None:
        """The same of processor seconds; None where they are not known."""
        pairs = [
            (_cpu_total(ours), _cpu_total(theirs)) for ours, theirs in zip(self.kit, self.other)
        ]
        known = [theirs / ours for ours, theirs in pairs if ours and theirs]
        return statistics.median(known) if len(known) == len(pairs) else None

    @property
    def is_different(self) -> bool:
        """Whether all rounds agree on the faster side; one round alone agrees with itself."""
        return self.ratios[0] > 1 or self.ratios[-1] < 1

    @property
    def agreement(self) -> tuple[int, int]:
        """The number of answers that are the same, and of all."""
        same = [
            _plain(mine) == _plain(its)
            for ours, theirs in zip(self.kit, self.other)
            for run, other in zip(ours, theirs)
            if other.answers  # a side that only begins has none
            for mine, its in zip(run.answers, other.answers, strict=True)
        ]
        return sum(same), len(same)


def timed(act: Callable[[], Sequence[Any] | None], note: str = "") -> Run:
    """Do it, and say what time it took."""
    cpu, started = cpu_seconds(), time.perf_counter()
    answers = act()
    seconds = time.perf_counter() - started
    return Run(seconds, cpu_seconds() - cpu, () if answers is None else answers, note)


def cpu_seconds() -> float:
    """Processor seconds of this process, all its threads, and its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def alone(act: Callable[[], _T]) -> _T:
    """Do it in a thread of its own, when no other thread that has computed is left.

    Each thread that computes has a team of helpers. Where there are more of them than cores,
    OpenMP lets them wait in another way, which makes every step of a model slower or, on a busy
    machine, much faster: a side must not find the other side's team.
    """
    deadline = time.monotonic() + _WAIT_SECONDS
    while busy := [t.name for t in threading.enumerate() if t.name.startswith("qwenvl_kit")]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"these threads do not end: {', '.join(busy)}")
        time.sleep(0.02)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(act).result()


def at_once(act: Callable[[], _T]) -> _T:
    """Do it in this thread: for sides that compute in no thread of the kit."""
    return act()


def measure(
    case: Case, runner: Callable[[Side], Run] = alone, rounds: int = ROUNDS
) -> dict[str, Outcome]:
    """Let the sides take turns, and return the outcome against each other side, by its name.

    There is one round before that is not counted, but for what is slow.
    """
    runner(case.kit)
    for name, side in case.others.items():
        if name not in case.slow:
            runner(side)
    ours = list[list[Run]]()
    theirs: dict[str, list[list[Run]]] = {name: [] for name in case.others}
    for round_index in range(rounds):
        now = [name for name in case.others if round_index < case.slow.get(name, rounds)]
        ours.append([])
        for name in now:
            theirs[name].append([])
        for _ in range(case.num_pairs):
            ours[-1].append(runner(case.kit))
            for name in now:
                theirs[name][-1].append(runner(case.others[name]))
    return {name: Outcome(ours[: len(runs)], runs) for name, runs in theirs.items()}


COLUMNS = (
    "case", "beside it", "kit", "other", "ratio", "spread", "by processor time", "rounds",
    "same answers", "",
)  # fmt: skip


def rows_of(case: Case, outcomes: Mapping[str, Outcome]) -> Iterator[str]:
    """A row of the table for each other side."""
    for name, outcome in outcomes.items():
        same, all_answers = outcome.agreement
        agreement = "drawn" if case.are_drawn else f"{same}/{all_answers}" if all_answers else ""
        yield row(
            case.title,
            name,
            duration(_median(outcome.kit)),
            duration(_median(outcome.other)),
            told_ratio(outcome),
            told_spread(outcome),
            "" if outcome.cpu_ratio is None else f"{outcome.cpu_ratio:.2f}x",
            str(len(outcome.kit)),
            agreement,
            outcome.kit[-1][-1].note,
        )


def measured_rows(
    cases: Iterable[Case], runner: Callable[[Side], Run] = alone, rounds: int = ROUNDS
) -> Iterator[str]:
    """Rows of all cases, each told on standard error as soon as it is there."""
    for case in cases:
        for line in rows_of(case, measure(case, runner, rounds)):
            print(line, file=sys.stderr, flush=True)
            yield line


def told_ratio(outcome: Outcome) -> str:
    """The ratio in words: where the spread includes 1, there is no difference."""
    ratio = f"{outcome.ratio:.2f}x"
    if len(outcome.kit) == 1:
        return f"{ratio}, one round"
    return f"**{ratio}**" if outcome.is_different else f"{ratio}, no difference"


def told_spread(outcome: Outcome) -> str:
    """The smallest ratio and the largest."""
    return f"{outcome.ratios[0]:.2f} - {outcome.ratios[-1]:.2f}"


def row(*cells: str) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def table(columns: Sequence[str], rows: Iterable[str]) -> list[str]:
    """A Markdown table."""
    return [row(*columns), "|" + "---|" * len(columns), *rows]


def case_table(
    cases: Iterable[Case], runner: Callable[[Side], Run] = alone, rounds: int = ROUNDS
) -> list[str]:
    """Measure cases, and return their table."""
    return table(COLUMNS, measured_rows(cases, runner, rounds))


def duration(seconds: float) -> str:
    """A time in the unit in which three digits say it."""
    if seconds >= 10:
        return f"{seconds:.1f} s"
    milliseconds = seconds * 1000
    return f"{milliseconds:.{0 if milliseconds >= 100 else 1 if milliseconds >= 10 else 2}f} ms"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed (nearest rank)."""
    if not values or not 0 < share <= 1:
        raise ValueError(f"{len(values)} values and the share {share} were given")
    return sorted(values)[math.ceil(share * len(values)) - 1]


@dataclass(frozen=True)
class Growth:
    """The cost of one unit at the start of some work, and at its end.

    Attributes:
        start: cost of a unit among the first, in seconds.
        end: cost of a unit among the last.
    """

    start: float
    end: float

    @property
    def ratio(self) -> float:
        """The cost at the end over that at the start."""
        return self.end / self.start

    @property
    def is_constant(self) -> bool:
        """Whether the cost of a unit changes by no more than 10%."""
        return abs(self.ratio - 1) <= CONSTANT_WITHIN + 1e-9  # 1.1 has no exact form

    def __str__(self) -> str:
        """The ratio and the verdict."""
        if self.is_constant:
            return f"{self.ratio:.2f}, constant within {CONSTANT_WITHIN:.0%}"
        return f"{self.ratio:.2f}, {'grows' if self.ratio > 1 else 'falls'}"


@dataclass
class Samples:
    """Values of the same thing in several rounds."""

    values: list[float] = field(default_factory=list)

    def add(self, value: float) -> None:
        """Keep one more."""
        self.values.append(value)

    def told(self, form: Callable[[float], str] = duration) -> str:
        """The median, with the smallest and the largest."""
        middle, least, most = statistics.median(self.values), min(self.values), max(self.values)
        if len(self.values) == 1:
            return form(middle)
        return f"{form(middle)} ({form(least)} - {form(most)})"


def with_note(run: Run, note: str) -> Run:
    """The same run with a remark."""
    return replace(run, note=note)


def _plain(answer: Any) -> Any:
    """Token ids in whatever they came; an array is equal where all of it is."""
    if isinstance(answer, str | bytes):
        return answer.strip()
    return list(answer) if isinstance(answer, Sequence) else answer


def _total(runs: Sequence[Run]) -> float:
    return sum(run.seconds for run in runs)


def _cpu_total(runs: Sequence[Run]) -> float | None:
    seconds = [run.cpu_seconds for run in runs]
    return None if None in seconds else sum(seconds)  # type: ignore[arg-type]


def _median(rounds: Sequence[Sequence[Run]]) -> float:
    return statistics.median(_total(runs) / len(runs) for runs in rounds)
