"""Prints what became of all of them, by harm: `python -m tests.hostile`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.hostile.corpus import corpus
from tests.hostile.outcomes import Outcome, open_hostile


def rows() -> Iterator[str]:
    """Opens them all here; a table with a row for each harm."""
    outcomes: dict[str, list[Outcome]] = defaultdict(list)
    for case in corpus():
        outcomes[case.harm].append(open_hostile(case, apart=False))
    yield "| harm | files | refused | taken, harmless | slowest | most memory |"
    yield "|---|---|---|---|---|---|"
    for harm, found in outcomes.items():
        refused = sum(outcome.error is not None for outcome in found)
        slowest = max(outcome.seconds for outcome in found)
        most = max(outcome.num_bytes for outcome in found)
        yield (
            f"| {harm} | {len(found)} | {refused} | {len(found) - refused} | "
            f"{slowest * 1000:.1f} ms | {most / 1e6:.1f} MB |"
        )


if __name__ == "__main__":
    print(*rows(), sep="\n")
