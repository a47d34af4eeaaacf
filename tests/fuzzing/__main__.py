"""Fuzzes all targets: `python -m tests.fuzzing [--executions 1000000] [--seed S] [TARGET ...]`."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from tests.fuzzing.mutation import inputs
from tests.fuzzing.outcomes import TARGETS, outcome


class Findings:
    """Inputs that ended in what is no error of the kit, one for each place where that happens.

    Args:
        folder: where the inputs are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, str] = {}

    def add(self, target: str, content: bytes, error: Exception) -> None:
        """Keep an input, unless one that ended in the same place is kept."""
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{target}: {type(error).__name__} at {where.filename}:{where.lineno}"
        if place not in self._seen:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{target.replace(' ', '-')}-{len(self._seen)}"
            path.write_bytes(content)
            said = "".join(traceback.format_exception(error, limit=-4))
            self._seen[place] = f"{place}, by {path}\n{said[-2000:]}"

    def __iter__(self) -> Iterator[str]:
        return iter(self._seen.values())

    def __len__(self) -> int:
        return len(self._seen)


def fuzz(name: str, contents: Iterable[bytes], findings: Findings) -> str:
    """Run one target on all inputs; a row of the table."""
    target, ends, count = TARGETS[name], Counter[str](), 0
    started = time.perf_counter()
    for content in contents:
        count += 1
        try:
            ends[outcome(target, content)] += 1
        except Exception as error:
            ends[""] += 1
            findings.add(name, content, error)
    seconds = time.perf_counter() - started
    taken, found = ends.pop("taken", 0), ends.pop("", 0)
    return (
        f"| {name} | {count:,} | {count / seconds:,.0f} | {taken:,} | {sum(ends.values()):,} "
        f"({', '.join(sorted(ends))}) | {found} |"
    )


def main() -> None:
    """Run, and say how many inputs ended how; exit status 1 if there are findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=list(TARGETS), metavar="TARGET")
    parser.add_argument("--executions", type=int, default=1_000_000, help="of all together")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--findings", type=Path, default=Path("build/fuzzing"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    findings = Findings(arguments.findings)
    print(
        "| target | executions | a second | taken | errors of the kit | findings |\n|" + "---|" * 6
    )
    total = sum(TARGETS[name].share for name in arguments.targets)
    for name in arguments.targets:
        target = TARGETS[name]
        count = round(arguments.executions * target.share / total) + 1
        changed = islice(inputs(f"{arguments.seed}/{name}", target.seeds), count)
        print(fuzz(name, changed, findings), flush=True)
    print(*findings, sep="\n", file=sys.stderr)
    sys.exit(bool(len(findings)))


if __name__ == "__main__":
    main()
