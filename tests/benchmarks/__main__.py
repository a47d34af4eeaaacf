"""Measures the sections of docs/benchmarks.md: `nox -s bench [-- SECTION ...]`.

    nox -s bench                     all that can be measured here
    nox -s bench -- Questions        one section, or several
    nox -s bench -- --continue       all but those that were measured today
    nox -s bench -- --list           the sections, and how long each takes

Each section is measured in a process of its own and written as soon as it is there, so that one
that fails costs no other.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.page import PAGE, SECTIONS, Section, is_of_today, section_named, write


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the sections that are named, or all; the number of those that failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("sections", nargs="*", metavar="SECTION")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--continue", action="store_true", dest="goes_on")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    named = [section_named(name) for name in options.sections]
    if options.in_this_process:
        for section in named:
            measure(section, options.page)
        return 0
    if options.list:
        print("\n".join(f"{section.minutes:4g} minutes  {section.name}" for section in SECTIONS))
        return 0
    return len(_measure_all(named, options.page, options.goes_on))


def _measure_all(named: Sequence[Section], page: Path, goes_on: bool) -> list[str]:
    """The names of the sections that failed."""
    failed = []
    for section in named or [section for section in SECTIONS if not section.missing]:
        if goes_on and is_of_today(section.name, page):
            print(f"{section.name}: measured today", flush=True)
            continue
        print(f"{section.name}: about {section.minutes:g} minutes", flush=True)
        started = time.monotonic()
        command = ("-m", "tests.benchmarks", "--in-this-process", "--page", str(page), section.name)
        done = subprocess.run([sys.executable, *command], check=False)
        outcome = "failed" if done.returncode else "measured"
        print(f"{section.name}: {outcome} in {(time.monotonic() - started) / 60:.1f} minutes")
        if done.returncode:
            failed.append(section.name)
    if failed:
        print(f"failed: {', '.join(failed)}", flush=True)
    return failed


def measure(section: Section, page: Path) -> None:
    """Measure one section here, and write it.

    Raises:
        SystemExit: a package that it needs is not installed.
    """
    if section.missing:
        raise SystemExit(f"{section.name} needs {', '.join(section.missing)}")
    module = importlib.import_module(f"tests.benchmarks.sections.{section.module}")
    write(section.name, module.section(), page)


if __name__ == "__main__":
    sys.exit(main())
