"""What is gained where work is not done twice, and what it costs where nothing can be gained.

QWENVL_KIT_BENCH_MODELS says which models (see `reuse_models`), QWENVL_KIT_BENCH_CASES which of
`CASES`, QWENVL_KIT_BENCH_ROUNDS how many rounds, and QWENVL_KIT_BENCH_REQUESTS, to try something
out, how many requests a case has at most. `python -m tests.benchmarks.reuse` prints the tables and
writes no page. Rows on the page stay that are not measured anew: all of them take hours.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.benchmarks.reuse_cases import CASES, LARGE_PICTURES, LARGE_SIDE, NUM_PAIRS, Case
from tests.benchmarks.reuse_models import Run, Subject, alone, chosen_models, opened

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
COSTS = "What it costs where nothing can be gained"
ROUNDS = int(os.environ.get("QWENVL_KIT_BENCH_ROUNDS", "5"))


def section() -> list[str]:
    """The tables of all chosen cases on all chosen models, and what the page has of others."""
    gains, costs = (_rows_of(table) for table in _tables_on_page())
    skipped = list[str]()
    named = os.environ.get("QWENVL_KIT_BENCH_CASES", ",".join(CASES)).split(",")
    for model in chosen_models():
        with opened(model) as subject:
            for name in named:
                reason = _obstacle(subject, name)
                if reason:
                    skipped.append(f"`{name}` ({subject.name}: {reason})")
                    continue
                for case in CASES[name](subject):
                    row = f"| {subject.name} | {case.title} | {_measured(subject, case)} |"
                    print(row, file=sys.stderr, flush=True)
                    (costs if case.is_cost else gains)[_key(row)] = row
    note = [f"Not measured: {'; '.join(skipped)}."] if skipped else []
    tables = _tables(_by_model(gains), _by_model(costs))
    return "\n\n".join([_introduction(), *tables, *note]).split("\n")


def _tables_on_page() -> tuple[str, str]:
    """The two tables of the section as it stands; either may be empty."""
    _, _, section = PAGE.read_text(encoding="utf-8").partition("\n## Reuse\n")
    gains, _, costs = section.partition("\n## ")[0].partition(COSTS)
    return gains, costs


def _rows_of(table: str) -> dict[str, str]:
    """Its rows by their model and case."""
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return {_key(line): line for line in lines if not line.startswith("| model")}


def _by_model(rows: dict[str, str]) -> list[str]:
    """The rows of one model after another, each in the order in which they came."""
    return sorted(rows.values(), key=lambda row: row.split("|")[1])


def _key(row: str) -> str:
    return "|".join(row.split("|")[1:3])


def _introduction() -> str:
    return (
        "Random models of each family's shape unless the embedded one is named. The large picture "
        f"has {LARGE_SIDE**2:,} visual tokens and is a JPEG file that both sides open; its "
        "questions are answered with 16 tokens each. The mixed requests show pictures with sides "
        "of 56 to 448 px; four answers in five have 4 to 16 tokens, the others 96 to 128. The "
        "kit's cache is empty before each round unless a case says otherwise. Answers are greedy, "
        "and compared by their token ids. In one process, taking turns, each side in a thread of "
        "its own so that neither finds the other's helpers at work, the same weights; medians."
    )


def _tables(gains: Sequence[str], costs: Sequence[str]) -> Iterator[str]:
    columns = (
        "| model | case | kit | other | ratio | spread | rounds | same tokens | |\n|" + "---|" * 9
    )
    if gains:
        yield "\n".join([columns, *gains])
    if costs:
        yield (
            f"{COSTS}: here the ratio is the kit's time over the other's, below 1 the kit is "
            f"faster. Where single requests are asked, {NUM_PAIRS} of each side, in turn, are a "
            "round."
        )
        yield "\n".join([columns, *costs])


def _obstacle(subject: Subject, name: str) -> str | None:
    """Why a case cannot be measured on a model."""
    if name in LARGE_PICTURES and subject.max_image_tokens < LARGE_SIDE**2:
        return f"its pictures have at most {subject.max_image_tokens} visual tokens"
    if name == "text" and not subject.name.startswith("qwen3_5"):
        return "for models with a recurrent state"
    return None


def _measured(subject: Subject, case: Case) -> str:
    """The other columns of a row; the sides take turns, after one round that is not counted."""
    subject.chat.clear_cache()
    alone(case.kit), alone(case.other)
    rounds = [
        [(alone(case.kit), alone(case.other)) for _ in range(case.num_pairs)] for _ in range(ROUNDS)
    ]
    times = [[sum(run.seconds for run in side) for side in zip(*pairs)] for pairs in rounds]
    ratios = sorted(k / o if case.is_cost else o / k for k, o in times)
    kit, other = (statistics.median(side) / case.num_pairs for side in zip(*times))
    unit = "" if case.is_cost else "x"
    return (
        f"{kit * 1000:.0f} ms | {other * 1000:.0f} ms | "
        f"**{statistics.median(ratios):.2f}{unit}** | {ratios[0]:.2f} - {ratios[-1]:.2f} | "
        f"{ROUNDS} | "
        f"{_num_same([pair for pairs in rounds for pair in pairs])} | {rounds[-1][-1][0].note}"
    )


def _num_same(pairs: Sequence[tuple[Run, Run]]) -> str:
    """How many answers have the same tokens, of how many."""
    same = [
        list(ours) == list(theirs)
        for kit, other in pairs
        for ours, theirs in zip(kit.answers, other.answers)
    ]
    return f"{sum(same)}/{len(same)}"


if __name__ == "__main__":
    print("\n".join(section()))
