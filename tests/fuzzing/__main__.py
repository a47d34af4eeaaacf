"""Fuzzes all targets: `python -m tests.fuzzing [--executions 1000000] [--seed S] [TARGET ...]`."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
import warnings
from collections import Counter
from itertools import islice

from tests.fuzzing.mutation import inputs
from tests.fuzzing.targets import TARGETS, outcome


def main() -> None:
    """Run, and say how many inputs ended how; exit status 1 if there are findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=list(TARGETS), metavar="TARGET")
    parser.add_argument("--executions", type=int, default=1_000_000, help="of all together")
    parser.add_argument("--seed", default="1")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    findings: list[str] = []
    print(
        "| target | executions | a second | taken | errors of the kit | findings |\n|" + "---|" * 6
    )
    for name in arguments.targets:
        target, ends, found = TARGETS[name], Counter[str](), 0
        count = arguments.executions // len(arguments.targets) + 1
        started = time.perf_counter()
        for content in islice(inputs(f"{arguments.seed}/{name}", target.seeds), count):
            try:
                ends[outcome(target, content)] += 1
            except Exception:
                found += 1
                findings.append(f"{name}: {content!r}\n{traceback.format_exc(limit=-4)}")
        seconds = time.perf_counter() - started
        taken = ends.pop("taken", 0)
        print(
            f"| {name} | {count:,} | {count / seconds:,.0f} | {taken:,} | {sum(ends.values()):,} "
            f"({', '.join(sorted(ends))}) | {found} |",
            flush=True,
        )
    for finding in findings[:20]:
        print(finding, file=sys.stderr)
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
