"""Prints what became of all of them, by harm: `python -m tests.hostile`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from qwenvl_kit import MediaPolicy
from qwenvl_kit.media.isolation.process_pool import POOL
from tests.hostile.corpus import corpus
from tests.hostile.outcomes import Outcome, open_hostile, policy_of


def rows() -> Iterator[str]:
    """Opens them all as a policy does by default; a table with a row for each harm."""
    outcomes: dict[str, list[Outcome]] = defaultdict(list)
    bounds: dict[str, float] = defaultdict(float)
    for case in corpus():
        outcome = open_hostile(case, "by default")
        outcomes[case.harm].append(outcome)
        bounds[case.harm] = max(bounds[case.harm], _share(outcome, policy_of(case, "by default")))
    POOL.close()
    yield "| harm | files | refused | taken, harmless | slowest | most memory | of its bound |"
    yield "|---|---|---|---|---|---|---|"
    for harm, found in outcomes.items():
        refused = sum(outcome.error is not None for outcome in found)
        slowest = max(outcome.seconds for outcome in found)
        most = max(outcome.num_bytes for outcome in found)
        yield (
            f"| {harm} | {len(found)} | {refused} | {len(found) - refused} | "
            f"{slowest * 1000:.1f} ms | {most / 1e6:.1f} MB | {bounds[harm]:.0%} |"
        )


def _share(outcome: Outcome, policy: MediaPolicy) -> float:
    """The memory that a file took, as a part of what it may: bytes, pixels, and 64 MiB."""
    return outcome.num_bytes / (policy.max_bytes + 4 * policy.max_pixels + 64 * 2**20)


if __name__ == "__main__":
    print(*rows(), sep="\n")
